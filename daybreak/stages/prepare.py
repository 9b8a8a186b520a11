"""Prepare: from what people have to facts of the text (scan) and to tokens on disk (encode)."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from daybreak.core.errors import DataError
from daybreak.core.run import Run, write_json
from daybreak.core.types import Corpus, Request, TokenizerChoice
from daybreak.data import scan as scanning
from daybreak.data import shards, sources, tokenizers
from daybreak.models import ngram
from daybreak.stages import vocabulary

CJK_FROM = 0.3  # share of the characters from which the baseline counts characters, not bytes
NGRAM_ORDER = {"byte": 8, "character": 4}
# How much of the text is looked at, for each second of the budget: every figure of the text may cost about a percent.
PREPARING_SECONDS = 600.0  # what `prepare` is looked at as, having no budget
SAMPLE_BYTES_PER_SECOND = 15_000
PACKED_BYTES_PER_SECOND = 2_500
COUNTED_BYTES_PER_SECOND = 25_000
READING_SHARE = 0.25  # of the budget, for the first of three readings
PART = 6  # of the counted text, for how fast its figure falls with more


def scan(run: Run, request: Request) -> Corpus:
    """Reads the text once and writes its facts and a tokenizer's merges. Raises DaybreakError."""
    paths = _paths(run, request)
    seconds = request.seconds or PREPARING_SECONDS
    heldout = Path(request.heldout) if request.heldout else None
    named = [Path(source) for source in request.sources if Path(source).is_file()]
    scanned = scanning.scan(
        paths,
        heldout=heldout,
        named=named,
        sample_bytes=_within(seconds * SAMPLE_BYTES_PER_SECOND, 5e5, scanning.SAMPLE_BYTES),
        seconds=READING_SHARE * seconds if request.seconds else math.inf,
    )
    largest = vocabulary.largest_vocabulary(scanned.bytes, seconds)
    unseen = list(scanned.heldout_sample)
    unit = "character" if scanned.languages.get("cjk", 0.0) > CJK_FROM else "byte"
    counted = _within(seconds * COUNTED_BYTES_PER_SECOND, 5e5, 2e7)
    packed = _within(seconds * PACKED_BYTES_PER_SECOND, 2e5, scanning.PACKED_BYTES)
    # What counts and packs leaves Python alone for most of its time, as learning a tokenizer does.
    with ThreadPoolExecutor(1) as beside:
        figure = beside.submit(ngram_figure, scanned.sample, unseen, unit=unit, most_bytes=counted)
        xz = beside.submit(scanning.xz_bits_per_byte, scanned.sample, packed)
        found = vocabulary.learnt(request, scanned.sample, unseen, largest=largest, chinese=unit == "character")
        fitted = min(counted, sum(len(text.encode()) for text in scanned.sample))
        _, part_bits, part = ngram_figure(scanned.sample, unseen, unit=unit, most_bytes=fitted // PART)
        order, bits, fitted = figure.result()
    run.make()
    found.tokenizer.save(run.merges_file)
    corpus = Corpus(
        sources=tuple(str(path) for path in scanned.paths),
        heldout=str(heldout or ""),
        threshold=scanned.threshold,
        digest=scanned.digest,
        files=scanned.files,
        documents=scanned.documents,
        bytes=scanned.bytes,
        heldout_documents=scanned.heldout_documents,
        heldout_bytes=scanned.heldout_bytes,
        replaced_bytes=scanned.replaced_bytes,
        languages=scanned.languages,
        bytes_per_token=found.bytes_per_token,
        tokens_per_second=found.tokens_per_second,
        bytes_per_second=scanned.bytes_per_second,
        xz_bits_per_byte=xz.result(),
        ngram_bits_per_byte=bits,
        ngram_unit=unit,
        ngram_order=order,
        ngram_bytes=fitted,
        ngram_fall=max(0.0, math.log(part_bits / bits) / math.log(fitted / part)) if part < fitted else 0.1,
        notes=(*scanned.notes, *found.notes),
        tokenizer=found.kind,
        end_of_text=found.end_of_text,
        bytes_per_token_tried=found.tried,
    )
    write_json(run.corpus_file, corpus.to_json())
    return corpus


def encode(run: Run, corpus: Corpus, choice: TokenizerChoice) -> tuple[shards.Tokens, shards.Tokens]:
    """Training and held-out tokens, from the folder where they stand there already. Raises DataError."""
    tokenizer = tokenizers.Tokenizer.load(run.merges_file).truncated(choice.vocabulary)
    tokenizer.save(run.tokenizer_file)
    paths = [Path(path) for path in corpus.sources]
    heldout = Path(corpus.heldout) if corpus.heldout else None
    folder = run.corpus_folder
    names = [f"{part}-{tokenizer.vocabulary}" for part in ("train", "heldout")]
    if not all((folder / f"{name}.json").exists() for name in names):
        kept_aside: list[sources.Document] = []
        documents = scanning.documents(paths, corpus.threshold, heldout, aside=kept_aside.append)
        shards.write(folder, names[0], documents, tokenizer)
        shards.write(folder, names[1], scanning.in_hash_order(kept_aside), tokenizer)
    train, held = (shards.Tokens(folder, name) for name in names)
    for name, tokens, size in (("heldout", held, corpus.heldout_bytes), ("train", train, corpus.bytes)):
        if tokens.bytes != size:
            (folder / f"{name}-{tokenizer.vocabulary}.json").unlink(missing_ok=True)  # encoded anew next time
            raise DataError(
                "the text has changed since it was scanned",
                received=f"{tokens.bytes:,} bytes now, {size:,} then",
                attempt="the same command with another --out, or with the text as it was",
            )
    return train, held


def ngram_figure(sample: tuple[str, ...], heldout: list[str], *, unit: str, most_bytes: int) -> tuple[int, float, int]:
    """Best order, bits per byte on the held-out documents, and bytes counted, of interpolated Kneser-Ney."""
    seen, fitted = [], 0
    for text in sample:
        if fitted >= most_bytes:
            break
        seen.append(text)
        fitted += len(text.encode())
    escape = 0.0
    if unit == "character":
        characters = ngram.CharacterVocabulary.learn("".join(seen))
        size = characters.size
        train, test = ([characters.encode(text) for text in texts] for texts in (seen, heldout))
        escape = sum(characters.escape_nats(text) for text in heldout)
    else:
        size = 256
        train, test = ([np.frombuffer(t.encode(), np.uint8) for t in texts] for texts in (seen, heldout))
    # An opening mark gives the first token of a document something to be counted after.
    streams = [_opened(texts, size) for texts in (train, test)]
    model = ngram.KneserNey.fit(streams[0][0], order=NGRAM_ORDER[unit], vocabulary=size + 1, starts=streams[0][1])
    probabilities = model.probabilities(streams[1][0], starts=streams[1][1])
    inside = streams[1][0] != size
    nats = -np.log(probabilities[:, inside]).sum(1) + escape
    best = int(nats.argmin())
    return best + 1, float(nats[best] / np.log(2) / sum(len(text.encode()) for text in heldout)), fitted


def _opened(documents: list[np.ndarray], mark: int) -> tuple[np.ndarray, np.ndarray]:
    """One stream with `mark` before every document, and where they start."""
    sizes = np.array([len(document) + 1 for document in documents], np.int64)
    stream = np.concatenate([np.concatenate(([mark], document)) for document in documents]).astype(np.uint32)
    return stream, np.concatenate(([0], np.cumsum(sizes)[:-1]))


def _within(value: float, least: float, most: float) -> int:
    return int(min(most, max(least, value)))


def _paths(run: Run, request: Request) -> list[Path]:
    if not request.sources:
        return sources.builtin_sources()
    if request.sources == ("-",):
        return [run.standard_input_file]
    return sources.find(request.sources)
