"""Reading: the parts of a run's text, cleaned and on disk, in a share of the time."""

import contextlib
import functools
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from daybreak import techniques
from daybreak.core import units
from daybreak.core.clock import boot_seconds
from daybreak.core.errors import BudgetTooShort, DataError, ResourceError
from daybreak.core.run import Run
from daybreak.core.types import Request, TechniqueChoice
from daybreak.data import scan as scanning
from daybreak.data import sources, store, workers
from daybreak.data.cleaning import Cleaning
from daybreak.data.formats.findings import Findings
from daybreak.data.tokenizers.byte_level import cores
from daybreak.data.workers import APART_BYTES, each
from daybreak.engine import faults

READING_SHARE = 0.25  # share of the budget for the first of three readings
LEAST_READ_BYTES = 1_000_000  # with less text read, the budget is too short
PART_BYTES = 1 << 22  # files read together; a stopped process loses one such part


def paths_of(work: Iterable[store.Work]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(path) for one in work for path in one.part.paths))


def cleaning_of(request: Request) -> tuple[Cleaning, tuple[TechniqueChoice, ...]]:
    """The steps that are on by default or asked for, in order. Raises UsageError: a setting that one does not have."""
    chosen = techniques.on_documents(request)
    context = techniques.TextContext(request=request, evaluation_texts=_evaluation_texts(request))
    made = [(choice.name, techniques.make(choice)) for choice in chosen]
    cleaning, touched = techniques.fold(made, "documents", Cleaning(), context)
    on = {record.technique for record in touched if record.places}
    return cleaning, tuple(choice for choice in chosen if choice.name in on)


def _evaluation_texts(request: Request) -> list[str]:
    """Texts that no training document may contain: the given held-out file."""
    if not request.heldout:
        return []
    path = Path(request.heldout)
    return [document.text for document in sources.Reading([path], named=[path])]


def parts_of(run: Run, request: Request, cleaning: Cleaning) -> list[store.Work]:
    """The parts of the text, in order. Raises DataError: sources that are not there."""
    return [work for group in parts_by_source(run, request, cleaning) for work in group]


def parts_by_source(
    run: Run, request: Request, cleaning: Cleaning, findings: Findings | None = None
) -> list[list[store.Work]]:
    """The parts of each source, where sources are mixed; else of all of them together.

    findings: are told what lies among the sources and is not read.
    """
    heldout = Path(request.heldout) if request.heldout else None
    named = tuple(Path(source) for source in request.sources if Path(source).is_file())
    asked = [request.replace(sources=(source,)) for source in request.sources] if request.weights else [request]
    groups, seen, told = [], set[Path](), set[str]()
    for one in asked:
        found = _found(run, one)
        paths = [path for path in scanning.training_paths(found.files, heldout) if path not in seen]
        if findings is not None:
            found.tell(findings, told)
        seen.update(paths)
        parts = sources.parts(paths, part_bytes=PART_BYTES)
        groups.append(
            [store.Work(folder=run.documents_folder, part=part, cleaning=cleaning, named=named) for part in parts]
        )
    if not any(groups):  # files there are, or the search would have said so
        raise DataError(
            "the only text is the held-out file",
            received=f"--heldout {request.heldout}, and the same file as the text",
            attempt="add text to train on, or leave out --heldout: a part of the text is then held out",
        )
    return groups


def cleaned_parts(
    work: Sequence[store.Work], request: Request, *, alone: bool = False, findings: Findings | None = None
) -> tuple[dict[str, str], int]:
    """Of each part that is cleaned and on disk, the key and the key of what was read of it, which may be its beginning;
    and how many bytes of files there was no time for.

    What is there already is not made again. alone: in this process, where there is no time to start others. findings:
    are told each part whose process ended, or was stuck, twice. Raises BudgetTooShort: too little was
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
    with contextlib.closing(
        each(making, todo, processes=processes, address=request.cluster, what=part_name)
    ) as results:
        for one, result in zip(todo, results, strict=True):
            if isinstance(result, workers.Failed):
                if request.reproducible:
                    raise ResourceError(
                        "a part of the text could not be prepared, and a reproducible run may not skip it",
                        received=str(result),
                        attempt="free some memory, or repeat the command: finished parts are kept",
                    )
                failed.add(one.key)
                if findings is not None:
                    findings.give_up(result.name, result.reason, part_bytes_of(one))
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
            "the text could not be prepared",
            received=f"{part_name(todo[0])}: its process ended twice",
            attempt="free some memory, then repeat the command",
        )
    if not made and len(failed) < len(todo):  # the processes had not even started
        made[todo[0].key] = store.make(todo[0], until=0.0).key
    left = [one for one in todo if one.key not in failed and made.get(one.key) != one.key]
    unread = sum(map(part_bytes_of, left))
    if left:
        stored = [store.Stored(work[0].folder, key) for key in made.values()]
        read = {part.key: part.facts.findings.bytes for part in stored}
        unread -= sum(min(part_bytes_of(one), read.get(one.cut_key, 0)) for one in left)
        _check_enough(time.perf_counter() - begun, sum(read.values()), request)
    return {one.key: made[one.key] for one in work if one.key in made}, unread


def part_name(work: store.Work) -> str:
    first, more = work.part.paths[0], len(work.part.paths) - 1
    where = f" from byte {work.part.start}" if work.part.start else ""
    return f"{first}{where}{f' and {more} more' if more else ''}"


def _processes(work: Sequence[store.Work]) -> int:
    """A process takes longer to start than a little text takes to clean."""
    size = sum(map(part_bytes_of, work))
    return 1 if size < APART_BYTES else min(len(work), cores())


def part_bytes_of(work: store.Work) -> int:
    return work.part.stop - work.part.start if work.part.stop else sum(map(_size_of, work.part.paths))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _check_enough(passed: float, read_bytes: int, request: Request) -> None:
    """Raises BudgetTooShort: too little text was read, or a reproducible run has not read all of it."""
    if read_bytes < LEAST_READ_BYTES or request.reproducible:
        raise BudgetTooShort(
            "the text takes too long to read for this budget",
            received=f"{units.size(read_bytes)} in {units.duration(passed)}, and more to come",
            attempt=f"a budget longer than --for {10 * passed:.0f}s, or less text; or read the text "
            "beforehand with `daybreak prepare`",
        )


def _found(run: Run, request: Request) -> sources.Found:
    files: Sequence[Path] = (run.standard_input_file,)
    if not request.sources:
        files = sources.builtin_sources()
    elif request.sources != ("-",):
        return sources.search(request.sources, own=(run.path,))
    return sources.Found(files=tuple(files), left_out={})
