"""Corpus to count: the facts of as much text as can be read, encoded and counted in the little time that is left."""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from daybreak.core.errors import BudgetTooShort
from daybreak.core.run import Run, read_json, write_json
from daybreak.core.types import Corpus, Request
from daybreak.data import scan as scanning
from daybreak.data import store
from daybreak.data.cleaning import Cleaning
from daybreak.data.formats.findings import Findings
from daybreak.models.ngram.baseline import ngram_figure
from daybreak.planning import tokenizer_choice
from daybreak.planning.reading import (
    READING_SHARE,
    cleaned_parts,
    cleaning_of,
    part_bytes_of,
    parts_by_source,
    paths_of,
)
from daybreak.planning.text_facts import USUAL_FALL, TextBaselines, corpus_facts, keep_documents, large_removals

LEAST_TRIED_CHARACTERS = 1000
TRIED_BYTES = 150_000  # counted to see how long it takes, where time is short
LEAST_COUNTED_BYTES = 100_000  # with less there is nothing to learn from, nor to score on


def corpus_to_count(run: Run, request: Request, *, seconds: float) -> Corpus:
    """Facts of as much of the text as can be read, encoded and counted by bytes in so many seconds, as it goes now.

    For a run that has no time for anything else: it takes what was read already, or a part of that, and its tokenizer
    is the bytes. The facts take the place of those that are there. Raises DataError.
    """
    cleaning, steps = cleaning_of(request)
    findings = Findings()
    before = run.corpus() if run.corpus_file.exists() else None
    made_of, groups, paths, every_byte = _read_so_far(run, request, cleaning, findings, seconds=seconds / 2)
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
    accounts = store.total([*(part.facts.accounts for part in whole.parts), whole.judge(cleaning)])
    findings.add(whole.findings())
    removed = (*whole.stood_back, *large_removals(accounts))
    heldout = Path(request.heldout) if request.heldout else None
    facts = scanning.scan(whole, heldout=heldout, findings=findings, notes=removed, sample_bytes=TRIED_BYTES)
    for old in (*run.corpus_folder.glob("train-*.json"), *run.corpus_folder.glob("heldout-*.json")):
        old.unlink()
    keep_documents(run, made_of, groups, whole)
    found = tokenizer_choice.bytes_alone(tokens_per_second=1 / seconds_per_byte)
    figures = TextBaselines(
        unit="byte",
        order=order,
        bits=bits,
        fitted=tried,
        fall=USUAL_FALL,
        xz=scanning.xz_bits_per_byte(facts.sample, LEAST_COUNTED_BYTES),
    )
    corpus = corpus_facts(
        whole,
        facts,
        request,
        paths=paths,
        steps=steps,
        accounts=accounts,
        removed=removed,
        found=found,
        figures=figures,
        unread=max(0, every_byte - findings.bytes - findings.skipped_bytes),
        reading_seconds=time.perf_counter() - begun,
        grouped=groups,
    )
    if before is not None:  # which told it of all that was read, not of what is counted
        told = before.passed_over.replace(unread_bytes=corpus.unread_bytes)
        corpus = corpus.replace(skipped=before.skipped, passed_over=told)
    found.tokenizer.save(run.merges_file)
    write_json(run.corpus_file, corpus.to_json())
    return corpus


def _read_so_far(
    run: Run, request: Request, cleaning: Cleaning, findings: Findings, *, seconds: float
) -> tuple[list[str], list[list[str]], tuple[str, ...], int]:
    """Keys of the parts that the text is made of; by source those that are on disk; its files, and their bytes.

    Where nothing is on disk, it is read now, for so many seconds. findings: as of parts_by_source, where it looks.
    """
    parts_file = run.documents_folder / "parts.json"
    if parts_file.exists() and run.corpus_file.exists():
        told, corpus = read_json(parts_file, "another --out"), run.corpus()
        groups = told.get("groups") or [told["keys"]]
        return told["made_of"], groups, corpus.sources, corpus.read_bytes + corpus.unread_bytes
    groups = parts_by_source(run, request, cleaning, findings)
    work = [one for group in groups for one in group]

    def found() -> dict[str, str]:
        return {one.key: key for one in work for key in (one.cut_key, one.key) if store.whole(one.folder, key)}

    if not (stored := found()):
        with contextlib.suppress(BudgetTooShort):  # however little it is
            cleaned_parts(work, request.replace(seconds=seconds / READING_SHARE), alone=True, findings=findings)
        stored = found()
    keys = [[stored[one.key] for one in group if one.key in stored] for group in groups]
    return [one.key for one in work], keys, paths_of(work), sum(map(part_bytes_of, work))


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
