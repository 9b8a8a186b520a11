"""Encode: from cleaned text on disk to tokens on disk, part by part."""

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daybreak.core.errors import DataError, ResourceError
from daybreak.core.run import Run, read_json
from daybreak.core.types import Corpus, TokenizerChoice
from daybreak.data import scan as scanning
from daybreak.data import shards, sources, store, workers
from daybreak.data.cleaning import Document
from daybreak.data.tokenizers import base, load_tokenizer
from daybreak.data.tokenizers.byte_level import cores


def encode(run: Run, corpus: Corpus, choice: TokenizerChoice) -> tuple[shards.Tokens, shards.Tokens]:
    """Training and held-out tokens, from the folder where they stand there already. Raises DataError."""
    tokenizer = load_tokenizer(run.merges_file).truncated(choice.vocabulary)
    tokenizer.save(run.tokenizer_file)
    folder = run.corpus_folder
    names = [f"{part}-{tokenizer.vocabulary}" for part in ("train", "heldout")]
    if not (folder / f"{names[1]}.json").exists():
        _, unseen = texts_of(run, corpus)
        shards.write(folder, names[1], unseen, tokenizer)
    if not (folder / f"{names[0]}.json").exists():
        _encoded(run, corpus, names[0], tokenizer)
    train, held = (shards.Tokens(folder, name) for name in names)
    for name, tokens, size in (("heldout", held, corpus.heldout_bytes), ("train", train, corpus.bytes)):
        if tokens.bytes != size:
            (folder / f"{name}-{tokenizer.vocabulary}.json").unlink(missing_ok=True)  # encoded anew next time
            raise DataError(
                "the text has changed since it was scanned",
                received=f"{tokens.bytes:,} bytes now, {size:,} when it was scanned",
                attempt="name another folder with --out, or restore the text",
            )
    return train, held


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A part of the training text to be encoded, for one process."""

    documents_folder: Path
    folder: Path
    tokenizer_file: Path
    key: str  # of the part
    inside: bytes  # packed bits: which of its documents are trained on
    documents: int
    before: bool  # whether the document before the part is trained on: then it may be continued

    @functools.cached_property
    def name(self) -> str:
        """A hash of the inputs, so that equal documents with an equal tokenizer are encoded once."""
        whole = hashlib.blake2b(digest_size=10)
        for data in (self.tokenizer_file.read_bytes(), self.key.encode(), self.inside, bytes([self.before])):
            whole.update(hashlib.blake2b(data).digest())
        return f"shard-{whole.hexdigest()}"


def _encoded(run: Run, corpus: Corpus, name: str, tokenizer: base.Tokenizer) -> None:
    """Writes the shards of the training part, each made once, and their index."""
    whole = whole_of(run)
    trained, _ = scanning.places_of(whole, corpus.threshold)
    work = []
    for index, part in enumerate(whole.parts):
        inside, before = scanning.within(whole, trained, index)
        work.append(
            Encoding(
                documents_folder=run.documents_folder,
                folder=run.corpus_folder,
                tokenizer_file=run.tokenizer_file,
                key=part.key,
                inside=np.packbits(inside).tobytes(),
                documents=len(inside),
                before=before,
            )
        )
    todo = [one for one in work if not shards.written(run.corpus_folder, one.name)]
    processes = 1 if corpus.bytes < workers.APART_BYTES else min(len(todo), cores())
    address = request.cluster if (request := run.request()) else ""
    made = workers.each(encode_part, todo, processes=processes, address=address, what=lambda one: one.name)
    with contextlib.closing(made) as results:
        for result in results:
            if isinstance(result, workers.Failed):
                raise ResourceError(
                    "a part of the text cannot be encoded",
                    received=result.reason,
                    attempt="free some memory, or repeat the command: finished parts are kept",
                )
    shards.join(run.corpus_folder, name, [one.name for one in work], tokenizer)
    if corpus.groups:
        names = {one.key: one.name for one in work}
        told = read_json(run.documents_folder / "parts.json", "run `daybreak prepare` with another --out")
        for number, group in enumerate(told["groups"]):
            shards.join(run.corpus_folder, f"{name}-{number}", [names[key] for key in group], tokenizer)


def encode_part(work: Encoding) -> int:
    """Its documents."""
    part = store.Stored(work.documents_folder, work.key)
    inside = np.unpackbits(np.frombuffer(work.inside, np.uint8), count=work.documents).astype(bool)
    tokenizer = _loaded(work.tokenizer_file, work.tokenizer_file.stat().st_mtime_ns)
    documents = scanning.documents_of(part, inside, work.before)
    return shards.write(work.folder, work.name, documents, tokenizer).documents


@functools.lru_cache(maxsize=1)  # to make it ready takes as long as to encode a megabyte
def _loaded(path: Path, _changed: int) -> base.Tokenizer:
    return load_tokenizer(path)


def whole_of(run: Run) -> scanning.Whole:
    """The cleaned text of a run, as it was scanned. Raises UsageError and ResourceError."""
    told = read_json(run.documents_folder / "parts.json", "run `daybreak prepare` with another --out")
    whole = scanning.Whole(run.documents_folder, told["keys"])
    bits = np.load(run.documents_folder / "kept.npy", allow_pickle=False)
    whole.kept = np.unpackbits(bits, count=told["documents"]).astype(bool)
    return whole


def texts_of(run: Run, corpus: Corpus) -> tuple[Iterator[Document], list[Document]]:
    """The documents of the training part, and the held-out ones in the order in which they are scored."""
    whole = whole_of(run)
    trained, held = scanning.places_of(whole, corpus.threshold)
    parts = range(len(whole.parts))
    if corpus.heldout:
        path = Path(corpus.heldout)
        unseen = list(sources.Reading([path], named=[path]))
    else:
        unseen = [document for part in parts for document in scanning.documents(whole, held, part)]
    training = (document for part in parts for document in scanning.documents(whole, trained, part))
    return training, scanning.in_hash_order(unseen)
