"""Scan: facts of cleaned text, and its two parts, training and held out."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daybreak.core import units
from daybreak.core.errors import DataError
from daybreak.data import chains
from daybreak.data import heldout as held
from daybreak.data.cleaning import EXAMPLES, SHOWN_CHARACTERS, Account, Cleaning, CopyFinder, Document
from daybreak.data.formats.findings import Findings, listed, shown
from daybreak.data.formats.limits import NAMED_FILES
from daybreak.data.sources import Reading
from daybreak.data.store import SEVERAL_DOCUMENTS, Stored

MOST_TAKEN = 0.5  # share of documents or bytes above which a cautious step takes none of them

SAMPLE_BYTES = 6_000_000
PACKED_BYTES = 1_000_000  # bytes of the sample that are compressed with xz
_LANGUAGE_CHARACTERS = 2_000_000
HELDOUT_SAMPLE_BYTES = 300_000


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Facts of the text. A document is a row, a short file or a piece of a long one."""

    threshold: float  # documents with a smaller share are held out; 0 where a file was given
    digest: str  # over both parts: the same text has the same digest, however it is packed or its files are named
    files: int
    documents: int  # in the training part, like all facts below that name no part
    bytes: int
    heldout_documents: int
    heldout_bytes: int
    languages: dict[str, float]  # share of the characters by script; sums to 1
    sample: tuple[str, ...]  # whole documents of the training part, chosen by their hash, in order
    heldout_sample: tuple[str, ...]  # the same from the held-out part; small
    findings: Findings  # on all sources and on the held-out file


class Whole:
    """The documents of all parts, in order, by their place: which are kept, and on which side each one falls."""

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        self.parts = [Stored(folder, key) for key in keys]
        self.sizes = _concatenated([part.sizes for part in self.parts], np.int64)
        self.digests = _concatenated([part.digests for part in self.parts], np.uint8, (0, 16))
        self.shares = held.shares(self.digests)
        self.kept = np.ones(len(self.sizes), bool)
        self.stood_back: list[str] = []  # what steps would have taken, had it not been most of a file or of the text
        self._ends = np.cumsum([len(part.sizes) for part in self.parts], dtype=np.int64)

    def judge(self, cleaning: Cleaning) -> tuple[Account, ...]:
        """Removes the documents that steps doubt or that steps over all documents reject; returns their accounts.

        Of a cautious step, what would be most of a file or of all the text stays, and `stood_back` tells it.
        """
        accounts = []
        doubted = _concatenated([part.doubted for part in self.parts], np.uint8)
        for number, step in enumerate(cleaning.steps, 1):
            gone = np.flatnonzero((doubted == number) & self.kept)
            if len(gone):
                stays = self._too_many(step.name, np.flatnonzero(self.kept), gone, gone)
                accounts.append(self._removed(step.name, gone[~stays]))
        for across in cleaning.across:
            places = np.flatnonzero(self.kept)
            signatures = _concatenated([p.signatures(across.name) for p in self.parts], np.uint64, (0, across.width))
            if isinstance(across, CopyFinder):
                earlier = self._copies(across, signatures)
                gone = np.flatnonzero(earlier >= 0)
                if across.cautious:
                    alike = gone[self._files[gone] == self._files[earlier[gone]]]
                    gone = gone[~self._too_many(across.name, places, gone, alike)]
            else:
                gone = places[~across.kept(signatures[places])]
            seen = int(self.sizes[places].sum())
            accounts.append(dataclasses.replace(self._removed(across.name, gone), documents=len(places), bytes=seen))
        return tuple(accounts)

    def _copies(self, across: CopyFinder, signatures: np.ndarray) -> np.ndarray:
        """int64 [documents]: an earlier one that each is a copy of, alone or as a piece of a text; -1: of none."""
        earlier = np.full(len(self.sizes), -1)
        first, pieces = self._chains()
        if len(first):
            of_chains = _concatenated(
                [part.signatures(chains.name_of(across.name)) for part in self.parts], np.uint64, (0, across.width)
            )
            starts = np.concatenate([self.starts(), [True]])
            whole = starts[:-1] & starts[1:] & self.kept & (self.sizes >= chains.LEAST_BYTES)
            there = np.concatenate(([0], np.cumsum(self.kept)))
            complete = there[first + pieces] - there[first] == pieces
            first, pieces, of_chains = first[complete], pieces[complete], of_chains[complete]
            alone = np.flatnonzero(whole)
            units = np.concatenate((alone, first))
            sizes = np.concatenate((np.ones(len(alone), np.int64), pieces))
            order = np.argsort(units, kind="stable")
            units, sizes = units[order], sizes[order]
            found = across.copies(np.concatenate((signatures[alone], of_chains))[order])
            for unit in np.flatnonzero(found >= 0).tolist():
                earlier[units[unit] : units[unit] + sizes[unit]] = units[found[unit]]
        places = np.flatnonzero(self.kept & (earlier < 0))
        found = across.copies(signatures[places])
        copies = found >= 0
        earlier[places[copies]] = places[found[copies]]
        return earlier

    def _chains(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [chains] each, of all parts: their first documents, and how many pieces they have."""
        begins = np.concatenate(([0], self._ends[:-1])) if len(self._ends) else self._ends
        found = [part.chains for part in self.parts]
        first = [one + begin for (one, _), begin in zip(found, begins.tolist(), strict=True)]
        return _concatenated(first, np.int64), _concatenated([pieces for _, pieces in found], np.int64)

    def _removed(self, name: str, gone: np.ndarray) -> Account:
        """Takes documents away; the account of that, without those that were seen."""
        self.kept[gone] = False
        first = gone[np.argsort(self.shares[gone], kind="stable")][:EXAMPLES]
        shown = {place: next(self.texts([place]))[:SHOWN_CHARACTERS] for place in first.tolist()}
        return Account(
            name=name,
            removed_documents=len(gone),
            removed_bytes=int(self.sizes[gone].sum()),
            examples=tuple((self.digests[p, :8].tobytes().hex(), text, "") for p, text in shown.items()),
        )

    def _too_many(self, name: str, places: np.ndarray, gone: np.ndarray, alike: np.ndarray) -> np.ndarray:
        """bool [gone]: which stay, because they are most of their file, of several documents, or most of the text.

        places: all documents that are left. alike: those of `gone` that speak for their file, which is what they are.
        """
        stays = np.zeros(len(gone), dtype=bool)
        if not len(gone):
            return stays
        files, of_file = np.unique(self._files[places], return_inverse=True)
        lost = of_file[np.searchsorted(places, alike)]
        sizes = self.sizes[places]
        documents = np.bincount(of_file, minlength=len(files))
        most = (np.bincount(lost, minlength=len(files)) > MOST_TAKEN * documents) | (
            np.bincount(lost, self.sizes[alike], len(files)) > MOST_TAKEN * np.bincount(of_file, sizes, len(files))
        )
        most &= documents >= SEVERAL_DOCUMENTS
        stays = np.isin(gone, alike[most[lost]])
        if stays.any():
            self.stood_back.append(self._of_files(name, int(stays.sum()), files[most]))
        rest = gone[~stays]
        most_of_all = len(rest) > MOST_TAKEN * len(places) or self.sizes[rest].sum() > MOST_TAKEN * sizes.sum()
        if most_of_all and (len(places) >= SEVERAL_DOCUMENTS or len(rest) == len(places)):
            of = f"{len(rest):,} of {len(places):,}"
            self.stood_back.append(
                f"{name} would take {of} documents, most of the text; they stay. --with {name} takes them"
            )
            stays[:] = True
        return stays

    def _of_files(self, name: str, count: int, files: np.ndarray) -> str:
        names = {number: told for part in self.parts for number, told in part.facts.files.items()}
        known = sorted({shown(names[str(number)]) for number in files.tolist() if str(number) in names})
        told = listed(known[:NAMED_FILES], max(len(files), len(known)))
        return f"{name} would take {count:,} documents, most of {told}; they stay. --with {name} takes them"

    @functools.cached_property
    def _files(self) -> np.ndarray:
        """uint64 [documents]: a number for the file that each is of."""
        return _concatenated([part.files for part in self.parts], np.uint64)

    def findings(self) -> Findings:
        """The findings of reading all parts."""
        total = Findings()
        for part in self.parts:
            total.add(part.facts.findings)
        return total

    def starts(self) -> np.ndarray:
        """bool [documents]: whether it begins a text, or has lost the piece before it."""
        starts = _concatenated([part.starts for part in self.parts], bool)
        lost = np.concatenate(([True], ~self.kept[:-1])) if len(starts) else starts
        return starts | lost

    def texts(self, places: Sequence[int]) -> Iterator[str]:
        """In the order of the places, which must ascend."""
        found = np.searchsorted(self._ends, places, side="right")
        for index in np.unique(found).tolist():
            begin = int(self._ends[index - 1]) if index else 0
            yield from self.parts[index].texts((np.asarray(places)[found == index] - begin).tolist())

    def of_part(self, index: int) -> slice:
        """The places of the documents of a part."""
        return slice(int(self._ends[index - 1]) if index else 0, int(self._ends[index]))


def scan(
    whole: Whole,
    *,
    heldout: Path | None = None,
    findings: Findings | None = None,
    notes: tuple[str, ...] = (),
    sample_bytes: int = SAMPLE_BYTES,
) -> Scan:
    """Facts of cleaned text that was judged, in bounded memory.

    findings: on the sources; those on the held-out file are added. notes: further ones, for an error.

    Raises DataError: too little text, or a held-out file without text.
    """
    places = np.flatnonzero(whole.kept)
    starts, sizes, shares = whole.starts()[places], whole.sizes[places], whole.shares[places]
    summed = hashlib.blake2b(digest_size=16)
    summed.update(np.column_stack([whole.digests[places], starts.astype(np.uint8)]).tobytes())
    findings = whole.findings() if findings is None else findings
    notes = (*findings.notes(), *notes)
    if heldout is None:
        draw = held.Draw()
        for share, size in zip(shares.tolist(), sizes.tolist(), strict=True):
            draw.add(share, size)
        threshold = _with_notes(draw.threshold, notes)
        heldout_documents, heldout_bytes = draw.heldout(threshold)
        summed.update(threshold.hex().encode())
        unseen = _chosen(-shares, sizes, HELDOUT_SAMPLE_BYTES)
        heldout_sample = tuple(whole.texts(places[unseen[shares[unseen] < threshold]].tolist()))
    else:
        threshold = 0.0
        test = Reading([heldout], named=[heldout])
        texts = []
        for document in test:
            data = document.text.encode("utf-8", "replace")
            summed.update(held.digest(data) + (b"\3" if document.starts else b"\2"))
            texts.append((held.share(held.digest(data)), len(data), document.text))
        heldout_documents, heldout_bytes = len(texts), sum(size for _, size, _ in texts)
        _check_sizes(int(sizes.sum()), heldout_bytes, heldout, notes)
        findings.add(dataclasses.replace(test.findings, files=0))
        order = _chosen(-np.array([t[0] for t in texts]), np.array([t[1] for t in texts]), HELDOUT_SAMPLE_BYTES)
        heldout_sample = tuple(texts[place][2] for place in order.tolist())
    trained = shares >= threshold
    sampled = _chosen(np.where(trained, shares, -1.0), sizes, sample_bytes)
    sample = tuple(whole.texts(places[sampled[trained[sampled]]].tolist()))
    return Scan(
        threshold=threshold,
        digest=summed.hexdigest(),
        files=findings.files,
        documents=int(trained.sum()),
        bytes=int(sizes[trained].sum()),
        heldout_documents=heldout_documents,
        heldout_bytes=heldout_bytes,
        languages=languages(sample),
        sample=sample,
        heldout_sample=heldout_sample,
        findings=findings,
    )


# The two parts


def places_of(whole: Whole, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Which documents are trained on, and which are held out: bool [documents] each."""
    below = whole.shares < threshold
    return whole.kept & ~below, whole.kept & below


def documents(whole: Whole, mask: np.ndarray, index: int) -> Iterator[Document]:
    """The documents of a part that are in the mask."""
    yield from documents_of(whole.parts[index], *within(whole, mask, index))


def within(whole: Whole, mask: np.ndarray, index: int) -> tuple[np.ndarray, bool]:
    """Which documents of a part are in the mask, and whether the last one before the part is."""
    span = whole.of_part(index)
    return mask[span], bool(mask[span.start - 1]) if span.start else False


def documents_of(part: Stored, inside: np.ndarray, before: bool) -> Iterator[Document]:
    """Those of a part that are inside: bool [documents]. What follows one that is not starts anew."""
    starts = part.starts | ~np.concatenate(([before], inside[:-1]))
    chosen = np.flatnonzero(inside)
    for place, text in zip(chosen.tolist(), part.texts(chosen.tolist()), strict=True):
        yield Document(text, bool(starts[place]))


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


def _chosen(weights: np.ndarray, sizes: np.ndarray, limit: int) -> np.ndarray:
    """Places, ascending, of the fewest documents of the largest weights that reach so many bytes (all: fewer)."""
    order = np.argsort(-weights, kind="stable")
    before = np.concatenate(([0], np.cumsum(sizes[order])[:-1])) if len(order) else order
    return np.sort(order[before < limit])


def _concatenated(parts: Sequence[np.ndarray], dtype: type, empty: tuple[int, ...] = (0,)) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(empty, dtype)


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
    """Compressed size by xz at its default level, in bits per byte: a baseline that any model must beat."""
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


def _check_sizes(training_bytes: int, heldout_bytes: int, heldout: Path, notes: tuple[str, ...]) -> None:
    if training_bytes < held.LEAST_TRAINING_BYTES:
        raise DataError(
            "the text is too short to train on",
            received="; ".join((units.size(training_bytes), *notes)),
            attempt=f"use at least {units.size(held.LEAST_TRAINING_BYTES)} of text",
        )
    if heldout_bytes == 0:
        raise DataError("the held-out file has no text", received=str(heldout), attempt="a file of text to test on")
