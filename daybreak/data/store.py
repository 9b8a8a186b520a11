"""Store: the cleaned documents of each part of the text in files of their own, made once and read by place."""

import contextlib
import functools
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from daybreak.core.clock import boot_seconds
from daybreak.core.errors import DaybreakError, ResourceError
from daybreak.core.run import inside, read_json, write_json
from daybreak.core.values import Value
from daybreak.data import language
from daybreak.data.chains import Chains
from daybreak.data.cleaning import Account, Cleaning, Document, batches
from daybreak.data.formats.findings import Findings
from daybreak.data.heldout import digest
from daybreak.data.sources import Part, Reading

LANGUAGE_SAMPLED = 8  # one document in so many tells the language of all
UNKNOWN_SHARE = 0.02  # share of text whose language neither script nor commonest words tell
_LANGUAGE_CHARACTERS = 4000
LANGUAGE_MODEL_SECONDS = 2.0  # to load it, on a machine that is a little busy
SEVERAL_DOCUMENTS = 10  # in a file, from which on a share of them says what kind of text the file is
LEAST_CHARACTERS = 200_000  # read from a part even if time is over: less is too little to count and to score


@dataclass(frozen=True, kw_only=True)
class PartFacts(Value):
    """Facts of one cleaned part; stored as KEY.json, which is written last."""

    key: str
    documents: int
    bytes: int
    findings: Findings
    accounts: tuple[Account, ...]
    languages: dict[str, int] = field(default_factory=dict)  # bytes by identified language
    kinds: dict[str, int] = field(default_factory=dict)  # documents, as they were found
    files: dict[str, str] = field(default_factory=dict)  # names of files of several documents, by their numbers


@dataclass(frozen=True, kw_only=True)
class Work:
    """One part to clean: the unit of work of a process."""

    folder: Path
    part: Part
    cleaning: Cleaning
    named: tuple[Path, ...] = ()  # a file among these that cannot be read is an error, not a note

    @functools.cached_property
    def key(self) -> str:
        """A hash of the inputs: unchanged files and steps give the same key."""
        facts = [[os.fsencode(path).hex(), *_state(path)] for path in self.part.paths]
        text = json.dumps([facts, self.part.start, self.part.stop, self.cleaning.identity()])
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    @property
    def cut_key(self) -> str:
        """The key of the beginning of a part, where there was no time for more."""
        return f"{self.key}-beginning"


def make_until(work: Work, *, until: float) -> PartFacts | None:
    """As `make`; None where the time is over before the part is begun."""
    return make(work, until=until) if boot_seconds() < until else None


def make(work: Work, *, until: float = math.inf) -> PartFacts:
    """Reads, cleans and writes a part. Raises DataError: a file in `named`; ResourceError: the disk is full.

    until: on the scale of `boot_seconds`. Of what is not read by then a little is read all the same and the rest left
    out; then the facts have the key of the beginning.
    """
    work.folder.mkdir(parents=True, exist_ok=True)
    reading, tallies = Reading([work.part], named=work.named), work.cleaning.tallies()
    beside = work.folder / f"{work.key}.text.{os.getpid()}"
    arrays = beside.with_name(f"{beside.name}.npz")
    columns, kinds = _Columns(work.cleaning), Counter[str]()
    key = work.key

    def read() -> Iterator[Document]:
        nonlocal key
        characters = 0
        for document in reading:
            kinds[document.kind] += 1
            yield document
            characters += len(document.text)
            if characters >= LEAST_CHARACTERS and boot_seconds() >= until:
                key = work.cut_key
                return

    def placed() -> Iterator[Document]:
        for document in work.cleaning.cleaned(read(), tallies):
            columns.place(reading.file)
            yield document

    try:
        with beside.open("wb") as file:
            for batch in batches(placed()):
                for data in columns.add(batch):
                    file.write(data)
        with arrays.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns.arrays())
        arrays.replace(work.folder / f"{key}.npz")
        beside.replace(work.folder / f"{key}.text")
        facts = PartFacts(
            key=key,
            documents=len(columns.sizes),
            bytes=sum(columns.sizes),
            findings=reading.findings,
            accounts=tuple(tally.account() for tally in tallies),
            languages=columns.told(hurried=until - boot_seconds() < LANGUAGE_MODEL_SECONDS),
            kinds=dict(kinds),
            files=columns.names_of_files(),
        )
        write_json(work.folder / f"{key}.json", facts.to_json())
        return facts
    except OSError as error:
        raise ResourceError(
            "the cleaned text could not be written",
            received=f"{work.folder}: {error.strerror or error}",
            attempt="name a folder with free space that you may write (`df -h`, --out)",
        ) from None
    finally:
        for left in (beside, arrays):  # by an error or a signal
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)


class _Columns:
    """Facts of each document that are stored beside its text."""

    def __init__(self, cleaning: Cleaning) -> None:
        self._across = cleaning.across
        self.sizes: list[int] = []
        self._starts: list[bool] = []
        self._doubted: list[int] = []
        self._steps = {step.name: number for number, step in enumerate(cleaning.steps, 1)}
        self._files: Counter[Path] = Counter()  # documents of each
        self._chains = Chains(cleaning.across)
        self._digests: list[bytes] = []
        self._signatures: list[list[np.ndarray]] = [[] for _ in cleaning.across]
        self.languages: Counter[str] = Counter()
        self._unknown: list[tuple[str, int]] = []

    def place(self, path: Path) -> None:
        """The next document is of this file."""
        self._files[path] += 1

    def names_of_files(self) -> dict[str, str]:
        return {str(number_of(path)): path.name for path, count in self._files.items() if count >= SEVERAL_DOCUMENTS}

    def add(self, batch: Sequence[Document]) -> list[bytes]:
        """The texts as bytes."""
        encoded = [document.text.encode("utf-8", "replace") for document in batch]
        for document, data in zip(batch, encoded, strict=True):
            self.sizes.append(len(data))
            self._starts.append(document.starts)
            self._doubted.append(self._steps[document.doubted] if document.doubted else 0)
            self._digests.append(digest(data))
            self._tell_language(document, data)
            self._chains.add(document.text, len(data), starts=document.starts)
        texts = [document.text for document in batch]
        for step, found in zip(self._across, self._signatures, strict=True):
            found.append(step.signatures(texts))
        return encoded

    def _tell_language(self, document: Document, data: bytes) -> None:
        """Of the first documents, and of one in eight of the others, which stands for them; chosen by its content."""
        weight = 1
        if len(self.sizes) > LANGUAGE_SAMPLED**2:
            if self._digests[-1][-1] % LANGUAGE_SAMPLED:
                return
            weight = LANGUAGE_SAMPLED
        told = document.language or language.identified(document.text, model=False)[0]
        if told == language.UNKNOWN:
            self._unknown.append((document.text[:_LANGUAGE_CHARACTERS], weight * len(data)))
        else:
            self.languages[told] += weight * len(data)

    def told(self, *, hurried: bool = False) -> dict[str, int]:
        """Bytes by language. What only the model can tell is asked where it is more than little, and not if hurried."""
        left = sum(size for _, size in self._unknown)
        asked = not hurried and left > UNKNOWN_SHARE * (left + sum(self.languages.values()))
        for text, size in self._unknown:
            found = language.UNKNOWN
            if asked:
                try:
                    found = language.identified(text)[0]
                except ResourceError:  # a report has one figure less, no more
                    asked = False
            self.languages[found] += size
        self._unknown = []
        return dict(self.languages)

    def arrays(self) -> dict[str, np.ndarray]:
        count = len(self.sizes)
        arrays = {
            "sizes": np.array(self.sizes, np.int64),
            "starts": np.array(self._starts, bool),
            "doubted": np.array(self._doubted, np.uint8),
            "files": np.repeat(
                np.array([number_of(path) for path in self._files], np.uint64), list(self._files.values())
            ),
            "digests": np.frombuffer(b"".join(self._digests), np.uint8).reshape(count, -1 if count else 16),
        }
        for step, found in zip(self._across, self._signatures, strict=True):
            arrays[step.name] = np.concatenate(found) if found else np.empty((0, step.width), np.uint64)
        return {**arrays, **self._chains.arrays()}


class Stored:
    """A part that was made. Raises DaybreakError where its files are missing or damaged."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.facts = PartFacts.from_json(read_json(inside(folder, f"{key}.json"), "the same command again"), key)

    @functools.cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            with np.load(self.folder / f"{self.key}.npz", allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError) as error:
            raise self._damaged(error) from None

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of each document, int64 [documents]."""
        return self._arrays["sizes"]

    @property
    def starts(self) -> np.ndarray:
        """bool [documents]: False where a document continues the one before it."""
        return self._arrays["starts"]

    @property
    def doubted(self) -> np.ndarray:
        """uint8 [documents]: the step, counted from 1, that would take it away; 0: none."""
        return self._arrays["doubted"]

    @property
    def files(self) -> np.ndarray:
        """uint64 [documents]: a number for the file that each is of."""
        return self._arrays["files"]

    @property
    def digests(self) -> np.ndarray:
        """uint8 [documents, 16]."""
        return self._arrays["digests"]

    @property
    def chains(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [chains] each: first documents of texts in several pieces, and how many pieces they have."""
        return self._arrays["chains"], self._arrays["chain_pieces"]

    def signatures(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def texts(self, places: Iterable[int]) -> Iterator[str]:
        """The texts of documents of this part, by their places in it."""
        ends = np.cumsum(self.sizes)
        try:
            with (self.folder / f"{self.key}.text").open("rb") as file:
                for place in places:
                    size = int(self.sizes[place])
                    file.seek(int(ends[place]) - size)
                    data = file.read(size)
                    if len(data) != size:
                        raise OSError(f"{size - len(data)} bytes are missing")
                    yield data.decode("utf-8", "replace")
        except OSError as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> ResourceError:
        (self.folder / f"{self.key}.json").unlink(missing_ok=True)  # so that it is made again
        return ResourceError(
            "a file of cleaned text is damaged",
            received=f"{self.folder / self.key}: {error}",
            attempt="repeat the command: this part is made again",
        )


def number_of(path: Path) -> int:
    """Of 64 bits, the same for all ranges of a file."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=8).digest(), "big")


def readable(work: Work) -> bool:
    """Whether a part is there already, in the form that this version reads."""
    return whole(work.folder, work.key)


def whole(folder: Path, key: str) -> bool:
    """Whether there is a part with this key, in the form that this version reads."""
    if not (folder / f"{key}.json").exists():
        return False
    try:
        Stored(folder, key)
    except DaybreakError:
        return False
    return True


def total(accounts: Iterable[Sequence[Account]]) -> tuple[Account, ...]:
    """The accounts of all parts, step by step."""
    sums: dict[str, Account] = {}
    for part in accounts:
        for account in part:
            sums[account.name] = sums[account.name] + account if account.name in sums else account
    return tuple(sums.values())


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
