"""Scan: reads all of the text once and tells facts; the streams of its two parts, training and held out."""

import hashlib
import heapq
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daybreak.core import units
from daybreak.core.errors import BudgetTooShort, DataError
from daybreak.data import heldout as held
from daybreak.data.sources import Document, Reading

SAMPLE_BYTES = 6_000_000
PACKED_BYTES = 1_000_000  # of the sample that xz is tried on
_LANGUAGE_CHARACTERS = 2_000_000
_TIMED_DOCUMENTS = 64
HELDOUT_SAMPLE_BYTES = 300_000


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Facts of the text. A document is a row, a short file or a piece of a long one."""

    paths: tuple[Path, ...]
    heldout: Path | None  # the file given for it
    threshold: float  # documents with a smaller share are held out; 0 where a file was given
    digest: str  # of both parts: the same text has the same digest, however it is packed or its files are named
    files: int
    documents: int  # of the training part, as the other facts without a name
    bytes: int
    heldout_documents: int
    heldout_bytes: int
    replaced_bytes: int
    languages: dict[str, float]  # share of the characters by script; sums to 1
    bytes_per_second: float  # of this scan
    sample: tuple[str, ...]  # whole documents of the training part, chosen by their hash, in order
    heldout_sample: tuple[str, ...]  # likewise of the held-out part; small
    notes: tuple[str, ...]


def scan(
    paths: Sequence[Path],
    *,
    heldout: Path | None = None,
    named: Collection[Path] = (),
    sample_bytes: int = SAMPLE_BYTES,
    seconds: float = math.inf,
) -> Scan:
    """Reads the text once, in bounded memory.

    Raises BudgetTooShort: not done in `seconds`. Raises DataError: too little text, a file in `named` that cannot be
    read, a held-out file without text.
    """
    start = time.perf_counter()
    paths = training_paths(paths, heldout)
    reading = Reading(paths, named=named)
    whole = hashlib.blake2b(digest_size=16)
    draw, sample, heldout_sample = held.Draw(), _Sample(sample_bytes), _Sample(HELDOUT_SAMPLE_BYTES)
    for document in reading:
        text = document.text.encode()
        digest = held.digest(text)
        whole.update(digest + (b"\1" if document.starts else b"\0"))
        share = held.share(digest)
        draw.add(share, len(text))
        if draw.documents % _TIMED_DOCUMENTS == 0:
            _check_time(time.perf_counter() - start, seconds, draw.bytes)
        sample.add(share, len(text), document.text)
        if heldout is None:  # of the smallest shares: what the threshold will be is not known yet
            heldout_sample.add(-share, len(text), document.text)
    replaced, notes = reading.replaced_bytes, reading.notes
    if heldout is None:
        threshold = _with_notes(draw.threshold, notes)
        heldout_documents, heldout_bytes = draw.heldout(threshold)
        documents, total = draw.documents - heldout_documents, draw.bytes - heldout_bytes
        whole.update(threshold.hex().encode())
    else:
        threshold, documents, total = 0.0, draw.documents, draw.bytes
        test = Reading([heldout], named=[heldout])
        heldout_documents = heldout_bytes = 0
        for document in test:
            text = document.text.encode()
            whole.update(held.digest(text) + (b"\3" if document.starts else b"\2"))
            heldout_sample.add(-held.share(held.digest(text)), len(text), document.text)
            heldout_documents += 1
            heldout_bytes += len(text)
        _check_sizes(total, heldout_bytes, heldout, notes)
        replaced, notes = replaced + test.replaced_bytes, notes + test.notes
    texts = sample.texts(threshold)
    seconds = max(time.perf_counter() - start, 1e-9)
    return Scan(
        paths=tuple(paths),
        heldout=heldout,
        threshold=threshold,
        digest=whole.hexdigest(),
        files=reading.files,
        documents=documents,
        bytes=total,
        heldout_documents=heldout_documents,
        heldout_bytes=heldout_bytes,
        replaced_bytes=replaced,
        languages=languages(texts),
        bytes_per_second=(total + heldout_bytes) / seconds,
        sample=texts,
        heldout_sample=heldout_sample.texts(math.nextafter(-threshold, 0.0) if heldout is None else -1.0),
        notes=notes,
    )


# The two parts


def documents(
    paths: Sequence[Path],
    threshold: float,
    heldout: Path | None = None,
    *,
    aside: Callable[[Document], object] = lambda document: None,
) -> Iterator[Document]:
    """The training part. What follows a document that was taken away starts anew.

    aside: is given the held-out documents in passing, so that one reading serves both parts. Neighbours that were both
    held out stay joined.
    """
    if heldout is not None:
        yield from Reading(training_paths(paths, heldout))
        for document in Reading([heldout], named=[heldout]):
            aside(document)
        return
    before: bool | None = None
    for document in Reading(paths):
        kept = held.share(held.digest(document.text.encode())) >= threshold
        joined = document if before == kept or document.starts else Document(document.text, True)
        before = kept
        if kept:
            yield joined
        else:
            aside(joined)


def in_hash_order(documents: Sequence[Document]) -> list[Document]:
    """The documents, each with the pieces that continue it, in an order that only their content decides.

    How a text begins may be much easier, or harder, than the rest. Of held-out text in this order, any beginning
    stands for all of it, so that a run whose end is short of time scores less, and not something else.
    """
    chains: list[list[Document]] = []
    for document in documents:
        if document.starts or not chains:
            chains.append([])
        chains[-1].append(document)
    chains.sort(key=lambda chain: held.digest(chain[0].text.encode()))
    return [document for chain in chains for document in chain]


def training_paths(paths: Sequence[Path], heldout: Path | None) -> list[Path]:
    """The files without the one that is held out, which a folder or a pattern may have caught too."""
    if heldout is None or not heldout.exists():
        return list(paths)
    return [path for path in paths if not (path.exists() and path.samefile(heldout))]


# The facts


class _Sample:
    """The documents with the largest shares, up to a number of bytes: the far end from those that are held out."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._waiting: list[tuple[float, int, int, str]] = []  # share, order, bytes, text; the smallest share first
        self._order = 0

    def add(self, share: float, size: int, text: str) -> None:
        self._order += 1
        if self._bytes >= self._limit and share <= self._waiting[0][0]:
            return
        heapq.heappush(self._waiting, (share, self._order, size, text))
        self._bytes += size
        while self._bytes - self._waiting[0][2] >= self._limit:
            self._bytes -= heapq.heappop(self._waiting)[2]

    def texts(self, threshold: float) -> tuple[str, ...]:
        chosen = [entry for entry in self._waiting if entry[0] >= threshold]
        return tuple(entry[3] for entry in sorted(chosen, key=lambda entry: entry[1]))


def languages(texts: Sequence[str]) -> dict[str, float]:
    """Share of the characters, white space aside, by script: latin, cjk, digits, other (punctuation included)."""
    characters = "".join("".join(_first(texts, _LANGUAGE_CHARACTERS)).split())
    codes = np.frombuffer(characters.encode("utf-32-le"), dtype=np.uint32)
    lower = codes | 0x20
    latin = ((lower >= 0x61) & (lower <= 0x7A)) | (
        (codes >= 0xC0) & (codes <= 0x24F) & (codes != 0xD7) & (codes != 0xF7)
    )
    cjk = (codes >= 0x3040) & (codes <= 0x30FF)  # kana
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x323AF)):
        cjk |= (codes >= first) & (codes <= last)
    digits = (codes >= 0x30) & (codes <= 0x39)
    counts = {"latin": int(latin.sum()), "cjk": int(cjk.sum()), "digits": int(digits.sum())}
    counts["other"] = len(codes) - sum(counts.values())
    return {script: count / max(len(codes), 1) for script, count in counts.items()}


def xz_bits_per_byte(texts: Sequence[str], most_bytes: int = PACKED_BYTES) -> float:
    """What xz at its default level needs for the text: a figure that any model must beat."""
    import lzma

    data = "".join(_first(texts, most_bytes)).encode()[:most_bytes]
    return 8 * len(lzma.compress(data, preset=6)) / max(len(data), 1)


def _first(texts: Sequence[str], characters: int) -> Iterator[str]:
    for text in texts:
        if characters <= 0:
            return
        yield text[:characters]
        characters -= len(text)


def _with_notes(threshold: Callable[[], float], notes: tuple[str, ...]) -> float:
    """Too little text is often text that was passed over: the error says so."""
    try:
        return threshold()
    except DataError as error:
        received = "; ".join((error.received, *notes))
        raise DataError(error.what, received=received, attempt=error.attempt) from None


def _check_time(passed: float, seconds: float, read_bytes: int) -> None:
    """Raises BudgetTooShort: the text is read up to three times, and something must be left for training."""
    if passed > seconds:
        raise BudgetTooShort(
            "the text takes too long to read for this budget",
            received=f"{units.size(read_bytes)} in {units.duration(passed)}, and more to come",
            attempt=f"more than --for {10 * passed:.0f}s, or less text",
        )


def _check_sizes(training_bytes: int, heldout_bytes: int, heldout: Path, notes: tuple[str, ...]) -> None:
    if training_bytes < held.LEAST_TRAINING_BYTES:
        raise DataError(
            "there is too little text to train on",
            received="; ".join((units.size(training_bytes), *notes)),
            attempt=f"at least {units.size(held.LEAST_TRAINING_BYTES)}",
        )
    if heldout_bytes == 0:
        raise DataError("the held-out file has no text", received=str(heldout), attempt="a file of text to test on")
