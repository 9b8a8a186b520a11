"""Prepare: from what people have to cleaned text on disk and facts of it."""

import contextlib
import functools
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daybreak import techniques
from daybreak.core import units
from daybreak.core.clock import boot_seconds
from daybreak.core.errors import BudgetTooShort, DataError, ResourceError, UsageError, nearest
from daybreak.core.run import Run, read_json, write_json
from daybreak.core.types import Account, Corpus, Origin, Request, TechniqueChoice
from daybreak.data import remote, sources, store, workers
from daybreak.data import scan as scanning
from daybreak.data.cleaning import Cleaning
from daybreak.data.tokenizing.byte_level import cores
from daybreak.data.workers import APART_BYTES, each
from daybreak.engine import faults
from daybreak.models.baseline import ngram_figure
from daybreak.planning import tokenizer_choice

CJK_FROM = 0.3  # share of the characters from which the baseline counts characters, not bytes
# How much of the text is looked at, for each second of the budget: every figure of the text may cost about a percent.
PREPARING_SECONDS = 600.0  # what `prepare` is looked at as, having no budget
SAMPLE_BYTES_PER_SECOND = 15_000
PACKED_BYTES_PER_SECOND = 2_500
COUNTED_BYTES_PER_SECOND = 25_000
READING_SHARE = 0.25  # of the budget, for the first of three readings
LEAST_READ_BYTES = 1_000_000  # of text; with less, a budget is too short for it
PART_BYTES = 1 << 22  # of files that are read together: what is lost where a process is stopped
SAMPLES, SAMPLE_CHARACTERS = 5, 400  # in the data card
USUAL_FALL = 0.1  # of that figure, where there is too little text to see it
LEAST_TRIED_CHARACTERS = 1000
TRIED_BYTES = 150_000  # counted to see how long it takes, where time is short
LEAST_COUNTED_BYTES = 100_000  # with less there is nothing to learn from, nor to score on
PART = 6  # of the counted text, for how fast its figure falls with more


def scanned(run: Run, request: Request) -> Corpus:
    """The facts of the run's text: those that are there, unless the files or what is asked have changed.

    Raises DataError.
    """
    if run.corpus_file.exists():
        told = read_json(run.documents_folder / "parts.json", "another --out")
        cleaning, _ = cleaning_of(request)
        corpus = run.corpus()
        whole = not corpus.unread_bytes or request.seconds  # what there was no time for is read where there is
        # What was given up when it was prepared without a promise is tried again.
        whole = whole and not (request.reproducible and len(told["keys"]) < len(told["made_of"]))
        if whole and told["made_of"] == [work.key for work in _work(run, request, cleaning)]:
            return corpus
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
    left_out: list[str] = []
    groups = _groups(run, request, cleaning, left_out)
    work = [one for group in groups for one in group]
    made, unread = _made(work, request, left_out=left_out)
    whole = scanning.Whole(run.documents_folder, list(made.values()))
    accounts = store.total(part.facts.accounts for part in whole.parts)
    findings = whole.findings()
    notes = (*left_out, *findings.notes(), *_much_taken(accounts))
    skipped = (*left_out, *findings.passed_over(), *_much_taken(accounts))
    facts = scanning.scan(
        whole,
        cleaning.across,
        heldout=heldout,
        notes=notes,
        sample_bytes=_within(seconds * SAMPLE_BYTES_PER_SECOND, 5e5, scanning.SAMPLE_BYTES),
    )
    grouped = [[made[one.key] for one in group if one.key in made] for group in groups]
    _keep_kept(run, [one.key for one in work], grouped, whole)
    reading_seconds = time.perf_counter() - begun
    largest = tokenizer_choice.largest_vocabulary(facts.bytes, seconds)
    unseen = list(facts.heldout_sample)
    unit = "character" if facts.languages.get("cjk", 0.0) > CJK_FROM else "byte"
    counted = _within(seconds * COUNTED_BYTES_PER_SECOND, 5e5, 2e7)
    packed = _within(request.seconds * PACKED_BYTES_PER_SECOND, 2e5, scanning.PACKED_BYTES)
    # What counts and packs leaves Python alone for most of its time, as learning a tokenizer does.
    beside = ThreadPoolExecutor(1)
    try:
        xz = beside.submit(scanning.xz_bits_per_byte, facts.sample, packed)
        figure = beside.submit(ngram_figure, facts.sample, unseen, unit=unit, most_bytes=counted)
        faults.at("prepare.tokenizer")
        origin = None
        if request.parent:
            from daybreak.planning import starting_checkpoint

            origin, tokenizer = starting_checkpoint.origin_of(request, run, facts.sample)
            found = tokenizer_choice.inherited(request, tokenizer, unseen)
        else:
            found = tokenizer_choice.learnt(request, facts.sample, unseen, largest=largest, chinese=unit == "character")
        fitted = min(counted, sum(len(text.encode()) for text in facts.sample))
        _, part_bits, part = ngram_figure(facts.sample, unseen, unit=unit, most_bytes=fitted // PART)
        order, bits, fitted = figure.result()
        packed_bits = xz.result()
    finally:  # whoever is in a hurry does not wait for figures that nobody will read
        beside.shutdown(wait=False, cancel_futures=True)
    found.tokenizer.save(run.merges_file)
    figures = _Figures(
        unit=unit,
        order=order,
        bits=bits,
        fitted=fitted,
        fall=max(0.0, math.log(part_bits / bits) / math.log(fitted / part)) if part < fitted else USUAL_FALL,
        xz=packed_bits,
    )
    corpus = _corpus(
        whole,
        facts,
        request,
        paths=_paths_of(work),
        steps=steps,
        accounts=accounts,
        skipped=skipped,
        found=found,
        figures=figures,
        unread=unread,
        reading_seconds=reading_seconds,
        grouped=grouped,
        origin=origin,
    )
    faults.at("prepare.facts")
    write_json(run.corpus_file, corpus.to_json())
    return corpus


def corpus_to_count(run: Run, request: Request, *, seconds: float) -> Corpus:
    """Facts of as much of the text as can be read, encoded and counted by bytes in so many seconds, as it goes now.

    For a run that has no time for anything else: it takes what was read already, or a part of that, and its tokenizer
    is the bytes. The facts take the place of those that are there. Raises DataError.
    """
    cleaning, steps = cleaning_of(request)
    left_out: list[str] = []
    before = run.corpus().skipped if run.corpus_file.exists() else None
    made_of, groups, paths, every_byte = _read_so_far(run, request, cleaning, left_out, seconds=seconds / 2)
    begun, seconds = time.perf_counter(), seconds / 2
    parts = [store.Stored(run.documents_folder, key) for key in sorted(key for group in groups for key in group)]
    text = "".join(_little(parts, TRIED_BYTES))
    order, bits, tried = 0, 0.0, 0
    if len(text) >= LEAST_TRIED_CHARACTERS:  # of less the scan below will say that it is too little
        cut = len(text) // 8
        order, bits, tried = ngram_figure((text[cut:],), [text[:cut]], unit="byte", most_bytes=TRIED_BYTES)
    seconds_per_byte = (time.perf_counter() - begun) / max(tried, 1)
    most = max(LEAST_COUNTED_BYTES, int(seconds / seconds_per_byte))
    chosen = set[str]()
    for part in parts:
        if sum(part.facts.bytes for part in parts if part.key in chosen) < most:
            chosen.add(part.key)
    groups = [[key for key in group if key in chosen] for group in groups]
    whole = scanning.Whole(run.documents_folder, [key for group in groups for key in group])
    whole.kept = np.cumsum(whole.sizes) <= max(most, int(whole.sizes[0]) if len(whole.sizes) else 0)
    accounts = store.total(part.facts.accounts for part in whole.parts)
    findings = whole.findings()
    notes = (*left_out, *findings.notes(), *_much_taken(accounts))
    skipped = before if before is not None else (*left_out, *findings.passed_over(), *_much_taken(accounts))
    heldout = Path(request.heldout) if request.heldout else None
    facts = scanning.scan(whole, cleaning.across, heldout=heldout, notes=notes, sample_bytes=TRIED_BYTES)
    for old in (*run.corpus_folder.glob("train-*.json"), *run.corpus_folder.glob("heldout-*.json")):
        old.unlink()
    _keep_kept(run, made_of, groups, whole)
    found = tokenizer_choice.bytes_alone(tokens_per_second=1 / seconds_per_byte)
    figures = _Figures(
        unit="byte",
        order=order,
        bits=bits,
        fitted=tried,
        fall=USUAL_FALL,
        xz=scanning.xz_bits_per_byte(facts.sample, LEAST_COUNTED_BYTES),
    )
    corpus = _corpus(
        whole,
        facts,
        request,
        paths=paths,
        steps=steps,
        accounts=accounts,
        skipped=skipped,
        found=found,
        figures=figures,
        unread=max(0, every_byte - findings.bytes - findings.skipped_bytes),
        reading_seconds=time.perf_counter() - begun,
        grouped=groups,
    )
    found.tokenizer.save(run.merges_file)
    write_json(run.corpus_file, corpus.to_json())
    return corpus


def _read_so_far(
    run: Run, request: Request, cleaning: Cleaning, left_out: list[str], *, seconds: float
) -> tuple[list[str], list[list[str]], tuple[str, ...], int]:
    """Keys of the parts that the text is made of; by source those that are on disk; its files, and their bytes.

    Where nothing is on disk, it is read now, for so many seconds. left_out: as of _groups, where it looks.
    """
    parts_file = run.documents_folder / "parts.json"
    if parts_file.exists() and run.corpus_file.exists():
        told, corpus = read_json(parts_file, "another --out"), run.corpus()
        groups = told.get("groups") or [told["keys"]]
        return told["made_of"], groups, corpus.sources, corpus.read_bytes + corpus.unread_bytes
    groups = _groups(run, request, cleaning, left_out)
    work = [one for group in groups for one in group]

    def found() -> dict[str, str]:
        return {one.key: key for one in work for key in (one.cut_key, one.key) if store.whole(one.folder, key)}

    if not (stored := found()):
        with contextlib.suppress(BudgetTooShort):  # however little it is
            _made(work, request.replace(seconds=seconds / READING_SHARE), alone=True, left_out=left_out)
        stored = found()
    keys = [[stored[one.key] for one in group if one.key in stored] for group in groups]
    return [one.key for one in work], keys, _paths_of(work), sum(map(_bytes_of, work))


def _paths_of(work: Iterable[store.Work]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(path) for one in work for path in one.part.paths))


def _little(parts: Iterable[store.Stored], most_bytes: int) -> list[str]:
    """The first documents of the parts, about so many bytes of them."""
    found: list[str] = []
    for part in parts:
        for place, size in enumerate(part.sizes.tolist()):
            found += part.texts([place])
            most_bytes -= size
            if most_bytes <= 0:
                return found
    return found


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """What xz and counting reach on a part of the text."""

    unit: str  # as in Corpus
    order: int
    bits: float  # per byte
    fitted: int  # bytes that were counted
    fall: float  # as in Corpus
    xz: float  # bits per byte


def _corpus(
    whole: scanning.Whole,
    facts: scanning.Scan,
    request: Request,
    *,
    paths: tuple[str, ...],
    steps: tuple[TechniqueChoice, ...],
    accounts: tuple[Account, ...],
    skipped: tuple[str, ...],
    found: tokenizer_choice.Learnt,
    figures: _Figures,
    unread: int,
    reading_seconds: float,
    grouped: list[list[str]],
    origin: Origin | None = None,
) -> Corpus:
    findings = whole.findings()
    return Corpus(
        sources=paths,
        heldout=request.heldout,
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
        bytes_per_second=findings.bytes / max(reading_seconds, 1e-9),
        xz_bits_per_byte=figures.xz,
        ngram_bits_per_byte=figures.bits,
        ngram_unit=figures.unit,
        ngram_order=figures.order,
        ngram_bytes=figures.fitted,
        ngram_fall=figures.fall,
        notes=(*facts.notes, *found.notes),
        skipped=(*skipped, *facts.skipped),
        read_bytes=findings.bytes,
        unread_bytes=unread,
        cleaning=steps,
        accounts=(*accounts, *facts.accounts),
        spoken=_shares(part.facts.languages for part in whole.parts),
        kinds=_sums(part.facts.kinds for part in whole.parts),
        licences=dict(findings.licences.most_common()),
        samples=_samples(facts.sample),
        sizes=_sizes(whole.sizes[whole.kept]),
        tokenizer=found.kind,
        end_of_text=found.end_of_text,
        origin=origin,
        bytes_per_token_tried=found.tried,
        groups=_group_bytes(whole, facts.threshold, grouped, request.shown().sources) if request.weights else {},
    )


def check_unchanged(run: Run, request: Request) -> None:
    """What a run was planned for is still what the files hold, where they are still there. Raises UsageError."""
    parts_file = run.documents_folder / "parts.json"
    if not parts_file.exists() or any(map(remote.is_address, request.sources)):
        return
    told = read_json(parts_file, "another --out")
    cleaning, _ = cleaning_of(request)
    try:
        work = _work(run, request, cleaning)
    except DataError:  # moved away: the folder has all that a run needs
        return
    new = [one for one in work if one.key not in told["made_of"]]
    if not new and len(work) == len(told["made_of"]):
        return
    made, _ = _made(work, request.replace(seconds=0.0))
    before = scanning.Whole(run.documents_folder, told["keys"])
    now = scanning.Whole(run.documents_folder, list(made.values()))
    same = np.array_equal(before.digests, now.digests) and np.array_equal(before.starts(), now.starts())
    for one in new:
        for left in run.documents_folder.glob(f"{one.key}.*"):
            left.unlink()
    if not same:
        files = ", ".join(dict.fromkeys(map(_said, new))) or "files that are gone"
        raise UsageError(
            "the text is not the one that the run was planned for",
            received=f"{units.size(now.sizes.sum())} now, {units.size(before.sizes.sum())} then; {files}",
            attempt=f"another --out, or `daybreak train {run}`, which goes on with the text as it was",
        )
    write_json(parts_file, {**told, "made_of": [one.key for one in work]})  # written anew, and the same


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


def _groups(
    run: Run, request: Request, cleaning: Cleaning, left_out: list[str] | None = None
) -> list[list[store.Work]]:
    """The parts of each source, where sources are mixed; else of all of them together.

    left_out: is given sentences on what lies among the sources and is not read.
    """
    heldout = Path(request.heldout) if request.heldout else None
    named = tuple(Path(source) for source in request.sources if Path(source).is_file())
    asked = [request.replace(sources=(source,)) for source in request.sources] if request.weights else [request]
    groups, seen = [], set[Path]()
    for one in asked:
        found = _found(run, one)
        paths = [path for path in scanning.training_paths(found.files, heldout) if path not in seen]
        if left_out is not None:
            left_out += [note for note in found.notes() if note not in left_out]
        seen.update(paths)
        parts = sources.parts(paths, part_bytes=PART_BYTES)
        groups.append(
            [store.Work(folder=run.documents_folder, part=part, cleaning=cleaning, named=named) for part in parts]
        )
    if not any(groups):  # files there are, or the search would have said so
        raise DataError(
            "there is no text but the held-out file",
            received=f"--heldout {request.heldout}, and the same file as the text",
            attempt="text to train on beside it, or no --heldout: then a part of the text is held out",
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


def _made(
    work: Sequence[store.Work], request: Request, *, alone: bool = False, left_out: list[str] | None = None
) -> tuple[dict[str, str], int]:
    """Of each part that is cleaned and on disk, the key and the key of what was read of it, which may be its beginning;
    and how many bytes of files there was no time for.

    What is there already is not made again. alone: in this process, where there is no time to start others. left_out:
    is given a sentence on each part whose process ended, or was stuck, twice. Raises BudgetTooShort: too little was
    read in its share of the time; ResourceError: a part was given up, and the run must repeat; and DataError.
    """
    begun = time.perf_counter()
    seconds = READING_SHARE * request.seconds or math.inf
    # On a cluster, and where what is read may not depend on the day, no part is cut short.
    until = math.inf if request.cluster or request.reproducible else boot_seconds() + seconds
    # Where time ends before the text, what was read comes from all over it.
    todo = sorted((one for one in work if not store.readable(one)), key=lambda one: one.key)
    made = {one.key: one.key for one in work}
    for one in todo:
        del made[one.key]
    failed, not_begun = set[str](), 0
    processes = 1 if alone else _processes(todo)
    making = functools.partial(store.make_until, until=until)
    with contextlib.closing(each(making, todo, processes=processes, address=request.cluster, what=_said)) as results:
        for one, result in zip(todo, results, strict=True):
            if isinstance(result, workers.Failed):
                if request.reproducible:
                    raise ResourceError(
                        "a part of the text cannot be prepared, and a reproducible run leaves none out",
                        received=str(result),
                        attempt="free memory, or the same command again: what is done stays done",
                    )
                failed.add(one.key)
                if left_out is not None:
                    left_out.append(f"{result.name} was left out: {result.reason}")
                continue
            faults.at("prepare.part")
            if request.cluster:  # whose machines tell only that a part is done, and always do the whole of it
                made[one.key] = one.key
            elif result is None:
                not_begun += 1
            else:
                made[one.key] = result.key
            over = time.perf_counter() - begun > seconds
            # After the last one that was begun by another process, too.
            if over and (until == math.inf or not_begun > processes + workers.WAITING):
                break
    if failed and len(failed) == len(work):
        raise DataError(
            "the text cannot be prepared",
            received=f"{_said(todo[0])}: its process ended twice",
            attempt="free memory, or the same command again",
        )
    if not made and len(failed) < len(todo):  # the processes had not even started
        made[todo[0].key] = store.make(todo[0], until=0.0).key
    left = [one for one in todo if one.key not in failed and made.get(one.key) != one.key]
    unread = sum(map(_bytes_of, left))
    if left:
        stored = [store.Stored(work[0].folder, key) for key in made.values()]
        read = {part.key: part.facts.findings.bytes for part in stored}
        unread -= sum(min(_bytes_of(one), read.get(one.cut_key, 0)) for one in left)
        _check_enough(time.perf_counter() - begun, sum(read.values()), request)
    return {one.key: made[one.key] for one in work if one.key in made}, unread


def _said(work: store.Work) -> str:
    first, more = work.part.paths[0], len(work.part.paths) - 1
    where = f" from byte {work.part.start}" if work.part.start else ""
    return f"{first}{where}{f' and {more} more' if more else ''}"


def _processes(work: Sequence[store.Work]) -> int:
    """A process takes longer to start than a little text takes to clean."""
    size = sum(map(_bytes_of, work))
    return 1 if size < APART_BYTES else min(len(work), cores())


def _bytes_of(work: store.Work) -> int:
    return work.part.stop - work.part.start if work.part.stop else sum(map(_size_of, work.part.paths))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _check_enough(passed: float, read_bytes: int, request: Request) -> None:
    """Raises BudgetTooShort: what was read is too little, or how much it is may not depend on the day."""
    if read_bytes < LEAST_READ_BYTES or request.reproducible:
        raise BudgetTooShort(
            "the text takes too long to read for this budget",
            received=f"{units.size(read_bytes)} in {units.duration(passed)}, and more to come",
            attempt=f"more than --for {10 * passed:.0f}s, or less text; `daybreak prepare` does it beforehand",
        )


def unread(corpus: Corpus) -> tuple[str, ...]:
    """Sentences on what of the sources is not read: for lack of time, or because it is no text that can be."""
    if not corpus.unread_bytes:
        return corpus.skipped
    return (
        *corpus.skipped,
        f"{units.size(corpus.read_bytes)} of text were read in their share of the time; "
        f"{units.size(corpus.unread_bytes)} of files are left out. `daybreak prepare` reads all of it beforehand",
    )


def _much_taken(accounts: Iterable[Account]) -> tuple[str, ...]:
    """Sentences on the steps that took away more than half of what came to them: is it that kind of text?"""
    return tuple(
        f"{account.name} took away {account.removed_documents} of {account.documents} documents "
        f"({', '.join(sorted(account.counts, key=lambda what: -account.counts[what])[:3])}); --without {account.name}"
        for account in accounts
        if account.removed_bytes > 0.5 * account.bytes
    )


def _keep_kept(run: Run, made_of: Sequence[str], groups: list[list[str]], whole: scanning.Whole) -> None:
    """Which documents stay, for encoding now and with another vocabulary later."""
    with (run.documents_folder / "kept.npy").open("wb") as file:
        np.save(file, np.packbits(whole.kept), allow_pickle=False)
    write_json(
        run.documents_folder / "parts.json",
        {
            "made_of": list(made_of),
            "keys": [part.key for part in whole.parts],
            "groups": groups,
            "documents": len(whole.kept),
        },
    )


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


def _samples(texts: Sequence[str]) -> tuple[str, ...]:
    """How some of the documents begin."""
    every = max(1, len(texts) // SAMPLES)
    return tuple(text[:SAMPLE_CHARACTERS] for text in texts[::every][:SAMPLES])


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


def _found(run: Run, request: Request) -> sources.Found:
    files: Sequence[Path] = (run.standard_input_file,)
    if not request.sources:
        files = sources.builtin_sources()
    elif request.sources != ("-",):
        return sources.search(request.sources, own=(run.path,))
    return sources.Found(files=tuple(files), left_out={})
