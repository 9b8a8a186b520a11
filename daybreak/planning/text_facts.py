"""Text facts: scans the text of a run once and returns its facts as a Corpus."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daybreak.core import units
from daybreak.core.errors import DataError, UsageError, nearest
from daybreak.core.run import Run, read_json, write_json
from daybreak.core.types import Account, Corpus, Origin, Request, TechniqueChoice
from daybreak.data import remote, store
from daybreak.data import scan as scanning
from daybreak.data.formats.findings import Findings
from daybreak.engine import faults
from daybreak.models.ngram.baseline import ngram_figure
from daybreak.planning import tokenizer_choice
from daybreak.planning.reading import cleaned_parts, cleaning_of, part_name, parts_by_source, parts_of, paths_of

CJK_FROM = 0.3  # share of the characters from which the baseline counts characters, not bytes
# How much of the text is looked at, for each second of the budget: every figure of the text may cost about a percent.
PREPARING_SECONDS = 600.0  # taken as the budget of `prepare`, which has none
SAMPLE_BYTES_PER_SECOND = 15_000
PACKED_BYTES_PER_SECOND = 2_500
COUNTED_BYTES_PER_SECOND = 25_000
if TYPE_CHECKING:  # which needs torch
    from daybreak.models.checkpoints.source import Checkpoint

SAMPLES, SAMPLE_CHARACTERS = 5, 400  # in the data card
LARGE_REMOVAL = 0.2  # share of the bytes that it gets
USUAL_FALL = 0.1  # taken where there is too little text to measure it
PART = 6  # a sixth of the counted text, to measure how fast the score falls with more


def scanned(run: Run, request: Request, *, checkpoint: "Checkpoint | None" = None) -> Corpus:
    """The facts of the run's text: those that are there, unless the files or what is asked have changed.

    checkpoint: the header of the one that is asked for, where it is known. Raises DataError.
    """
    if run.corpus_file.exists():
        told = read_json(run.documents_folder / "parts.json", "another --out")
        cleaning, _ = cleaning_of(request)
        corpus = run.corpus()
        whole = not corpus.unread_bytes or request.seconds  # what there was no time for is read where there is
        # What was given up when it was prepared without a promise is tried again.
        whole = whole and not (request.reproducible and len(told["keys"]) < len(told["made_of"]))
        if whole and told["made_of"] == [work.key for work in parts_of(run, request, cleaning)]:
            return corpus
        for old in (*run.corpus_folder.glob("train-*.json"), *run.corpus_folder.glob("heldout-*.json")):
            old.unlink()
    return scan(run, request, checkpoint=checkpoint)


def scan(run: Run, request: Request, *, checkpoint: "Checkpoint | None" = None) -> Corpus:
    """Reads and cleans the text once, and writes its facts and a tokenizer's merges. Raises DataError."""
    begun = time.perf_counter()
    seconds = request.seconds or PREPARING_SECONDS
    heldout = Path(request.heldout) if request.heldout else None
    run.make()
    cleaning, steps = cleaning_of(request)
    check_weights(request)
    findings = Findings()
    groups = parts_by_source(run, request, cleaning, findings)
    work = [one for group in groups for one in group]
    made, unread = cleaned_parts(work, request, findings=findings)
    whole = scanning.Whole(run.documents_folder, list(made.values()))
    accounts = store.total([*(part.facts.accounts for part in whole.parts), whole.judge(cleaning)])
    findings.add(whole.findings())
    removed = (*whole.stood_back, *large_removals(accounts))
    facts = scanning.scan(
        whole,
        heldout=heldout,
        findings=findings,
        notes=removed,
        sample_bytes=_within(seconds * SAMPLE_BYTES_PER_SECOND, 5e5, scanning.SAMPLE_BYTES),
    )
    grouped = [[made[one.key] for one in group if one.key in made] for group in groups]
    keep_documents(run, [one.key for one in work], grouped, whole)
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

            origin, tokenizer = starting_checkpoint.origin_of(request, run, facts.sample, checkpoint=checkpoint)
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
    figures = TextBaselines(
        unit=unit,
        order=order,
        bits=bits,
        fitted=fitted,
        fall=max(0.0, math.log(part_bits / bits) / math.log(fitted / part)) if part < fitted else USUAL_FALL,
        xz=packed_bits,
    )
    corpus = corpus_facts(
        whole,
        facts,
        request,
        paths=paths_of(work),
        steps=steps,
        accounts=accounts,
        removed=removed,
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


@dataclass(frozen=True, kw_only=True)
class TextBaselines:
    """Scores of xz and of an n-gram model on a part of the text."""

    unit: str  # as in Corpus
    order: int
    bits: float  # per byte
    fitted: int  # bytes that were counted
    fall: float  # as in Corpus
    xz: float  # bits per byte


def corpus_facts(
    whole: scanning.Whole,
    facts: scanning.Scan,
    request: Request,
    *,
    paths: tuple[str, ...],
    steps: tuple[TechniqueChoice, ...],
    accounts: tuple[Account, ...],
    removed: tuple[str, ...],
    found: tokenizer_choice.Learnt,
    figures: TextBaselines,
    unread: int,
    reading_seconds: float,
    grouped: list[list[str]],
    origin: Origin | None = None,
) -> Corpus:
    findings, read = facts.findings, whole.findings()
    return Corpus(
        sources=paths,
        heldout=request.heldout,
        threshold=facts.threshold,
        digest=facts.digest,
        files=read.files,
        documents=facts.documents,
        bytes=facts.bytes,
        heldout_documents=facts.heldout_documents,
        heldout_bytes=facts.heldout_bytes,
        replaced_bytes=findings.replaced_bytes,
        languages=facts.languages,
        bytes_per_token=found.bytes_per_token,
        tokens_per_second=found.tokens_per_second,
        bytes_per_second=read.bytes / max(reading_seconds, 1e-9),
        xz_bits_per_byte=figures.xz,
        ngram_bits_per_byte=figures.bits,
        ngram_unit=figures.unit,
        ngram_order=figures.order,
        ngram_bytes=figures.fitted,
        ngram_fall=figures.fall,
        notes=(*findings.notes(), *removed, *found.notes),
        skipped=(*findings.passed_over(), *removed),
        passed_over=findings.total(unread_bytes=unread),
        read_bytes=read.bytes,
        unread_bytes=unread,
        cleaning=steps,
        accounts=accounts,
        spoken=_shares(part.facts.languages for part in whole.parts),
        kinds=_sums(part.facts.kinds for part in whole.parts),
        licences=dict(read.licences.most_common()),
        samples=_samples(facts.sample),
        sizes=_sizes(whole.sizes[whole.kept]),
        tokenizer=found.kind,
        end_of_text=found.end_of_text,
        origin=origin,
        bytes_per_token_tried=found.tried,
        groups=_group_bytes(whole, facts.threshold, grouped, request.shown().sources) if request.weights else {},
    )


def check_unchanged(run: Run, request: Request) -> None:
    """Checks that the source files, if they still exist, hold the text that was planned for. Raises UsageError."""
    parts_file = run.documents_folder / "parts.json"
    if not parts_file.exists() or any(map(remote.is_address, request.sources)):
        return
    told = read_json(parts_file, "another --out")
    cleaning, _ = cleaning_of(request)
    try:
        work = parts_of(run, request, cleaning)
    except DataError:  # moved away: the folder has all that a run needs
        return
    new = [one for one in work if one.key not in told["made_of"]]
    if not new and len(work) == len(told["made_of"]):
        return
    made, _ = cleaned_parts(work, request.replace(seconds=0.0))
    before = scanning.Whole(run.documents_folder, told["keys"])
    now = scanning.Whole(run.documents_folder, list(made.values()))
    same = np.array_equal(before.digests, now.digests) and np.array_equal(before.starts(), now.starts())
    for one in new:
        for left in run.documents_folder.glob(f"{one.key}.*"):
            left.unlink()
    if not same:
        files = ", ".join(dict.fromkeys(map(part_name, new))) or "files that no longer exist"
        raise UsageError(
            "the text has changed since the run was planned",
            received=f"{units.size(now.sizes.sum())} now, {units.size(before.sizes.sum())} then; {files}",
            attempt=f"use another --out, or `daybreak train {run}`, which continues with the text as it was",
        )
    write_json(parts_file, {**told, "made_of": [one.key for one in work]})  # written anew, and the same


def check_weights(request: Request) -> None:
    """Raises UsageError: a weight of no source, a source without one, or one that is not positive."""
    if not request.weights:
        return
    from daybreak.data.mixing import whole_shares  # which needs torch, and preparing alone does without

    whole_shares(list(request.weights.values()))
    for name in request.weights:
        if name not in request.sources:
            raise UsageError(
                "--weight names a source that is not given",
                received=f"--weight {name}={request.weights[name]:g}",
                attempt=nearest(name, request.sources),
            )
    if missing := [source for source in request.sources if source not in request.weights]:
        raise UsageError(
            "--weight is missing for some sources",
            received=f"no weight for {', '.join(missing)}",
            attempt=f"--weight {missing[0]}=1, or no --weight at all: then each source counts by its size",
        )


def large_removals(accounts: Iterable[Account]) -> tuple[str, ...]:
    """Warnings about cleaning steps that removed more than a fifth of the text, which may not suit them."""
    told = []
    for account in accounts:
        if account.removed_bytes > LARGE_REMOVAL * account.bytes:
            name, share = account.name, account.removed_bytes / account.bytes
            reasons = ", ".join(sorted(account.counts, key=lambda what: -account.counts[what])[:3])
            of = f"{account.removed_documents:,} of {account.documents:,}"
            if reasons:
                told.append(
                    f"{name} removed {of} documents, {share:.0%} of the bytes ({reasons}); --without {name} keeps them"
                )
            else:
                told.append(f"{name} removed {of} documents, {share:.0%} of the bytes; --without {name} keeps them")
    return tuple(told)


def keep_documents(run: Run, made_of: Sequence[str], groups: list[list[str]], whole: scanning.Whole) -> None:
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
            "a source has no text left after cleaning",
            received=", ".join(empty),
            attempt="leave this text out, or switch off a cleaning step with --without",
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
