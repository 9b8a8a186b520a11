"""Prepare: from what people have to facts of the text (scan) and to tokens on disk (encode)."""

import contextlib
import functools
import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daybreak import techniques
from daybreak.core import units
from daybreak.core.errors import BudgetTooShort, DataError, ResourceError, UsageError, nearest
from daybreak.core.run import Run, read_json, write_json
from daybreak.core.types import Account, Corpus, Request, TechniqueChoice, TokenizerChoice
from daybreak.data import cluster, shards, sources, store, tokenizers, workers
from daybreak.data import scan as scanning
from daybreak.data.cleaning import Cleaning, Document
from daybreak.data.tokenizing.byte_level import cores
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
PART_BYTES = 1 << 22  # of files that are read together: what is lost where a process is stopped
APART_BYTES = 6_000_000  # of text from which several processes clean and encode it: to start one takes half a second
PART = 6  # of the counted text, for how fast its figure falls with more


def scanned(run: Run, request: Request) -> Corpus:
    """The facts of the run's text: those that are there, unless the files or what is asked have changed.

    Raises DataError.
    """
    if run.corpus_file.exists():
        told = read_json(run.documents_folder / "parts.json", "another --out")
        cleaning, _ = cleaning_of(request)
        if told["made_of"] == [work.key for work in _work(run, request, cleaning)]:
            return run.corpus()
        for old in (*run.corpus_folder.glob("train-*.json"), *run.corpus_folder.glob("heldout-*.json")):
            old.unlink()
    return scan(run, request)


def scan(run: Run, request: Request) -> Corpus:
    """Reads and cleans the text once, and writes its facts and a tokenizer's merges. Raises DataError."""
    begun = time.perf_counter()
    seconds = request.seconds or PREPARING_SECONDS
    heldout = Path(request.heldout) if request.heldout else None
    run.make()
    cleaning, steps = cleaning_of(request)
    check_weights(request)
    groups = _groups(run, request, cleaning)
    work = [one for group in groups for one in group]
    keys = _made(run, work, READING_SHARE * seconds if request.seconds else math.inf, request.cluster)
    whole = scanning.Whole(run.documents_folder, keys)
    accounts = store.total(part.facts.accounts for part in whole.parts)
    notes = (*_notes(whole), *_much_taken(accounts))
    facts = scanning.scan(
        whole,
        cleaning.across,
        heldout=heldout,
        notes=notes,
        sample_bytes=_within(seconds * SAMPLE_BYTES_PER_SECOND, 5e5, scanning.SAMPLE_BYTES),
    )
    grouped = [[one.key for one in group if one.key in keys] for group in groups]
    _keep_kept(run, [one.key for one in work], keys, grouped, whole)
    reading_seconds = max(time.perf_counter() - begun, 1e-9)
    largest = vocabulary.largest_vocabulary(facts.bytes, seconds)
    unseen = list(facts.heldout_sample)
    unit = "character" if facts.languages.get("cjk", 0.0) > CJK_FROM else "byte"
    counted = _within(seconds * COUNTED_BYTES_PER_SECOND, 5e5, 2e7)
    packed = _within(request.seconds * PACKED_BYTES_PER_SECOND, 2e5, scanning.PACKED_BYTES)
    # What counts and packs leaves Python alone for most of its time, as learning a tokenizer does.
    with ThreadPoolExecutor(1) as beside:
        xz = beside.submit(scanning.xz_bits_per_byte, facts.sample, packed)
        figure = beside.submit(ngram_figure, facts.sample, unseen, unit=unit, most_bytes=counted)
        found = vocabulary.learnt(request, facts.sample, unseen, largest=largest, chinese=unit == "character")
        fitted = min(counted, sum(len(text.encode()) for text in facts.sample))
        _, part_bits, part = ngram_figure(facts.sample, unseen, unit=unit, most_bytes=fitted // PART)
        order, bits, fitted = figure.result()
    found.tokenizer.save(run.merges_file)
    corpus = Corpus(
        sources=tuple(dict.fromkeys(str(path) for one in work for path in one.part.paths)),
        heldout=str(heldout or ""),
        threshold=facts.threshold,
        digest=facts.digest,
        files=facts.files,
        documents=facts.documents,
        bytes=facts.bytes,
        heldout_documents=facts.heldout_documents,
        heldout_bytes=facts.heldout_bytes,
        replaced_bytes=facts.replaced_bytes,
        languages=facts.languages,
        bytes_per_token=found.bytes_per_token,
        tokens_per_second=found.tokens_per_second,
        bytes_per_second=sum(part.facts.read_bytes for part in whole.parts) / reading_seconds,
        xz_bits_per_byte=xz.result(),
        ngram_bits_per_byte=bits,
        ngram_unit=unit,
        ngram_order=order,
        ngram_bytes=fitted,
        ngram_fall=max(0.0, math.log(part_bits / bits) / math.log(fitted / part)) if part < fitted else 0.1,
        notes=(*facts.notes, *found.notes),
        read_bytes=sum(part.facts.read_bytes for part in whole.parts),
        cleaning=steps,
        accounts=(*accounts, *facts.accounts),
        spoken=_shares(part.facts.languages for part in whole.parts),
        kinds=_sums(part.facts.kinds for part in whole.parts),
        sizes=_sizes(whole.sizes[whole.kept]),
        tokenizer=found.kind,
        end_of_text=found.end_of_text,
        bytes_per_token_tried=found.tried,
        groups=_group_bytes(whole, facts.threshold, grouped, request.sources) if request.weights else {},
    )
    write_json(run.corpus_file, corpus.to_json())
    return corpus


def cleaning_of(request: Request) -> tuple[Cleaning, tuple[TechniqueChoice, ...]]:
    """The steps that are on by default or asked for, in order. Raises UsageError: a setting that one does not have."""
    chosen = techniques.on_documents(request)
    context = techniques.TextContext(request=request, evaluation_texts=_evaluation_texts(request))
    made = [(choice.name, techniques.make(choice)) for choice in chosen]
    cleaning, touched = techniques.fold(made, "documents", Cleaning(), context)
    on = {record.technique for record in touched if record.places}
    return cleaning, tuple(choice for choice in chosen if choice.name in on)


def _evaluation_texts(request: Request) -> list[str]:
    """What no document of the training text may hold: the text that the run is scored on, where it was given."""
    if not request.heldout:
        return []
    path = Path(request.heldout)
    return [document.text for document in sources.Reading([path], named=[path])]


def _work(run: Run, request: Request, cleaning: Cleaning) -> list[store.Work]:
    """The parts of the text, in order. Raises DataError: sources that are not there."""
    return [work for group in _groups(run, request, cleaning) for work in group]


def _groups(run: Run, request: Request, cleaning: Cleaning) -> list[list[store.Work]]:
    """The parts of each source, where sources are mixed; else of all of them together."""
    heldout = Path(request.heldout) if request.heldout else None
    named = tuple(Path(source) for source in request.sources if Path(source).is_file())
    asked = [request.replace(sources=(source,)) for source in request.sources] if request.weights else [request]
    groups, seen = [], set[Path]()
    for one in asked:
        paths = [path for path in scanning.training_paths(_paths(run, one), heldout) if path not in seen]
        seen.update(paths)
        parts = sources.parts(paths, part_bytes=PART_BYTES)
        groups.append(
            [store.Work(folder=run.documents_folder, part=part, cleaning=cleaning, named=named) for part in parts]
        )
    return groups


def check_weights(request: Request) -> None:
    """Raises UsageError: a weight of no source, a source without one, or one that is not positive."""
    if not request.weights:
        return
    from daybreak.data.mixing import whole_shares  # which needs torch, and preparing alone does without

    whole_shares(list(request.weights.values()))
    for name in request.weights:
        if name not in request.sources:
            raise UsageError(
                "a weight is of a source that was not named",
                received=f"--weight {name}={request.weights[name]:g}",
                attempt=nearest(name, request.sources),
            )
    if missing := [source for source in request.sources if source not in request.weights]:
        raise UsageError(
            "where one source has a weight, every one needs one",
            received=f"no weight for {', '.join(missing)}",
            attempt=f"--weight {missing[0]}=1, or no weights: then each counts by its size",
        )


def _made(run: Run, work: Sequence[store.Work], seconds: float, address: str) -> list[str]:
    """The keys of the parts, each cleaned and on disk; what is there already is not made again.

    Raises BudgetTooShort: not done in `seconds`, and DataError.
    """
    begun = time.perf_counter()
    todo = [one for one in work if not store.readable(one)]
    read = 0
    failed: list[str] = []
    with contextlib.closing(_each(store.make, todo, _processes(todo), address)) as results:
        for one, result in zip(todo, results, strict=True):
            if isinstance(result, workers.Failed):
                failed.append(one.key)
                continue
            read += store.Stored(one.folder, one.key).facts.read_bytes
            _check_time(time.perf_counter() - begun, seconds, read)
    if len(failed) == len(work):
        raise DataError(
            "the text cannot be prepared",
            received=f"{_said(todo[0])}: its process ended twice",
            attempt="free memory, or the same command again",
        )
    return [one.key for one in work if one.key not in failed]


def _each(
    work: Callable[[Any], object], items: Sequence[Any], processes: int, address: str
) -> Generator[Any, None, None]:
    """Does the work on every item, here or on a cluster; yields in their order, `Failed` for one that was given up."""
    if address:
        yield from cluster.ordered(work, items, address=address)
    else:
        yield from workers.ordered(work, items, processes=processes, what=_said)


def _said(work: Any) -> str:
    """A part, in words."""
    if isinstance(work, Encoding):
        return work.name
    first, more = work.part.paths[0], len(work.part.paths) - 1
    where = f" from byte {work.part.start}" if work.part.start else ""
    return f"{first}{where}{f' and {more} more' if more else ''}"


def _processes(work: Sequence[store.Work]) -> int:
    """A process takes longer to start than a little text takes to clean."""
    size = 0
    for one in work:
        size += one.part.stop - one.part.start if one.part.stop else sum(map(_size_of, one.part.paths))
    return 1 if size < APART_BYTES else min(len(work), cores())


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _check_time(passed: float, seconds: float, read_bytes: int) -> None:
    """Raises BudgetTooShort: something must be left for training."""
    if passed > seconds:
        raise BudgetTooShort(
            "the text takes too long to read for this budget",
            received=f"{units.size(read_bytes)} in {units.duration(passed)}, and more to come",
            attempt=f"more than --for {10 * passed:.0f}s, or less text; `daybreak prepare` does it beforehand",
        )


def _notes(whole: scanning.Whole) -> tuple[str, ...]:
    """What was noted in any part, once, and what was skipped in all of them together."""
    notes = dict.fromkeys(note for part in whole.parts for note in part.facts.notes)
    return tuple(notes)


def _much_taken(accounts: Iterable[Account]) -> tuple[str, ...]:
    """Sentences on the steps that took away more than half of what came to them: is it that kind of text?"""
    return tuple(
        f"{account.name} took away {account.removed_documents} of {account.documents} documents "
        f"({', '.join(sorted(account.counts, key=lambda what: -account.counts[what])[:3])}); --without {account.name}"
        for account in accounts
        if account.removed_bytes > 0.5 * account.bytes
    )


def _keep_kept(
    run: Run, made_of: Sequence[str], keys: Sequence[str], groups: list[list[str]], whole: scanning.Whole
) -> None:
    """Which documents stay, for encoding now and with another vocabulary later."""
    with (run.documents_folder / "kept.npy").open("wb") as file:
        np.save(file, np.packbits(whole.kept), allow_pickle=False)
    write_json(
        run.documents_folder / "parts.json",
        {"made_of": list(made_of), "keys": list(keys), "groups": groups, "documents": len(whole.kept)},
    )


def whole_of(run: Run) -> scanning.Whole:
    """The cleaned text of a run, as it was scanned. Raises UsageError and ResourceError."""
    told = read_json(run.documents_folder / "parts.json", "`daybreak prepare` with another --out")
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


def known_vocabulary(vocabulary: int, corpus: Corpus) -> int:
    """Raises UsageError: a vocabulary that was not learnt from this text."""
    known = sorted(int(size) for size in corpus.bytes_per_token)
    if vocabulary not in known:
        raise UsageError(
            "no such vocabulary was learnt from this text",
            received=f"vocabulary={vocabulary}",
            attempt=f"one of: {', '.join(map(str, known))}",
        )
    return vocabulary


def encode(run: Run, corpus: Corpus, choice: TokenizerChoice) -> tuple[shards.Tokens, shards.Tokens]:
    """Training and held-out tokens, from the folder where they stand there already. Raises DataError."""
    tokenizer = tokenizers.Tokenizer.load(run.merges_file).truncated(choice.vocabulary)
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
                received=f"{tokens.bytes:,} bytes now, {size:,} then",
                attempt="the same command with another --out, or with the text as it was",
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
        """Of what goes in, so that equal documents with an equal tokenizer are encoded once."""
        whole = hashlib.blake2b(digest_size=10)
        for data in (self.tokenizer_file.read_bytes(), self.key.encode(), self.inside, bytes([self.before])):
            whole.update(hashlib.blake2b(data).digest())
        return f"shard-{whole.hexdigest()}"


def _encoded(run: Run, corpus: Corpus, name: str, tokenizer: tokenizers.Tokenizer) -> None:
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
    processes = 1 if corpus.bytes < APART_BYTES else min(len(todo), cores())
    address = request.cluster if (request := run.request()) else ""
    with contextlib.closing(_each(encode_part, todo, processes, address)) as results:
        for result in results:
            if isinstance(result, workers.Failed):
                raise ResourceError(
                    "a part of the text cannot be encoded",
                    received=result.reason,
                    attempt="free memory, or the same command again: what is done stays done",
                )
    shards.join(run.corpus_folder, name, [one.name for one in work], tokenizer)
    if corpus.groups:
        names = {one.key: one.name for one in work}
        told = read_json(run.documents_folder / "parts.json", "`daybreak prepare` with another --out")
        for number, group in enumerate(told["groups"]):
            shards.join(run.corpus_folder, f"{name}-{number}", [names[key] for key in group], tokenizer)


def encode_part(work: Encoding) -> int:
    """Its documents."""
    part = store.Stored(work.documents_folder, work.key)
    inside = np.unpackbits(np.frombuffer(work.inside, np.uint8), count=work.documents).astype(bool)
    tokenizer = tokenizers.Tokenizer.load(work.tokenizer_file)
    documents = scanning.documents_of(part, inside, work.before)
    return shards.write(work.folder, work.name, documents, tokenizer).documents


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


def _group_bytes(
    whole: scanning.Whole, threshold: float, groups: list[list[str]], names: Sequence[str]
) -> dict[str, int]:
    """Bytes of the training part by source. Raises DataError: a source of which nothing is left."""
    trained, _ = scanning.places_of(whole, threshold)
    spans = [whole.of_part(index) for index in range(len(whole.parts))]
    sizes = [int(whole.sizes[span][trained[span]].sum()) for span in spans]
    of_key = {part.key: size for part, size in zip(whole.parts, sizes, strict=True)}
    found = {name: sum(of_key[key] for key in group) for name, group in zip(names, groups, strict=True)}
    if empty := [name for name, size in found.items() if not size]:
        raise DataError(
            "nothing is left of a source",
            received=", ".join(empty),
            attempt="the text without it, or --without a step of cleaning",
        )
    return found


def _sums(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total.most_common())


def _shares(counts: Iterable[dict[str, int]]) -> dict[str, float]:
    total = _sums(counts)
    return {name: count / max(1, sum(total.values())) for name, count in total.items()}


def _sizes(sizes: np.ndarray) -> dict[str, int]:
    """Documents by the power of two of bytes that they do not reach."""
    powers, counts = np.unique(np.ceil(np.log2(np.maximum(sizes, 1) + 1)).astype(int), return_counts=True)
    return {str(1 << power): int(count) for power, count in zip(powers.tolist(), counts.tolist(), strict=True)}


def _within(value: float, least: float, most: float) -> int:
    return int(min(most, max(least, value)))


def _paths(run: Run, request: Request) -> list[Path]:
    if not request.sources:
        return sources.builtin_sources()
    if request.sources == ("-",):
        return [run.standard_input_file]
    return sources.find(request.sources)
