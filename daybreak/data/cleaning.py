"""Cleaning: named steps over documents, in order, each with an account of what it took away and five examples."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from daybreak.core.types import EXAMPLES, SUMMED, Account
from daybreak.core.values import Json, plain

SHOWN_CHARACTERS = 160  # of an example that is shown
BATCH_CHARACTERS = 1 << 20
_HASHED_CHARACTERS = 400  # of a document that may be an example, which are chosen by their hash
# The names of the steps in their order; each is a technique of that name.
STEPS = (
    "html_text",
    "unicode_repair",
    "control_characters",
    "normalization",
    "quality",
    "language_filter",
    "personal_data",
    "stop_words",
    "exact_duplicates",
    "near_duplicates",
    "decontamination",
)
VERSION = 3  # of reading and cleaning; text that another version has read or cleaned is read anew


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or a piece of a long one; `kind` says what cleaning may do to it."""

    text: str
    starts: bool = True  # False: it continues the piece before it
    kind: str = "text"  # or page (HTML as it was found), code, dialogue
    language: str = ""  # ISO 639-1, where it was told
    doubted: str = ""  # the step that would take it away, were it not for what that says of the whole text


Note = Callable[[str], None]  # counts what a step found, or why it took a document away, in a few words


class Step(Protocol):
    """A step on one document at a time, so that processes can share the work. A frozen dataclass of its settings."""

    @property
    def name(self) -> str: ...

    def __call__(self, document: Document, note: Note) -> Document | None:
        """The document (the same object where nothing changed), or None where it is taken away; or the document with
        `doubted`, where it goes unless too much of its file or of all the text would.
        """
        ...


class Across(Protocol):
    """A step over all documents: computes a signature of each, then decides which stay. A frozen dataclass, too."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int:
        """Numbers in a signature."""
        ...

    def signatures(self, texts: Sequence[str]) -> np.ndarray:
        """uint64 [texts, width]."""
        ...

    def kept(self, signatures: np.ndarray) -> np.ndarray:
        """bool [documents]; signatures are those of all documents, in order. The first of its like stays."""
        ...


@runtime_checkable
class CopyFinder(Across, Protocol):
    """One that tells which earlier document each is a copy of, and signs texts in pieces as wholes, too."""

    @property
    def cautious(self) -> bool:
        """Where most of a file, or of all the text, would go, it stays."""
        ...

    def copies(self, signatures: np.ndarray) -> np.ndarray:
        """int64 [documents]: the earlier document that each is a copy of; -1 for those that stay."""
        ...


class Tally:
    """Makes the account of one step while documents pass."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._sums = dict.fromkeys(SUMMED, 0)
        self._counts: Counter[str] = Counter()
        self._examples: list[tuple[str, str, str]] = []

    def note(self, what: str) -> None:
        self._counts[what] += 1

    def passed(self, before: Document, size: int, after: Document | None) -> int:
        """Counts a document of `size` bytes that the step has seen; its bytes now."""
        sums = self._sums
        sums["documents"] += 1
        sums["bytes"] += size
        if after is before:
            return size
        left = 0 if after is None else size_of(after.text)
        if after is None:
            sums["removed_documents"] += 1
            sums["removed_bytes"] += size
        elif after.text != before.text:
            sums["changed_documents"] += 1
            sums["fewer_bytes"] += size - left
        else:
            return size
        self.example(before.text, "" if after is None else after.text)
        return left

    def example(self, before: str, after: str) -> None:
        told = f"{len(before)} {before[:_HASHED_CHARACTERS]}"
        digest = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest()
        if len(self._examples) == EXAMPLES and digest >= self._examples[-1][0]:
            return
        start = _first_difference(before, after)
        shown = (digest, _excerpt(before, start), _excerpt(after, start))
        self._examples = sorted({*self._examples, shown})[:EXAMPLES]

    def account(self) -> Account:
        return Account(name=self.name, **self._sums, counts=dict(self._counts), examples=tuple(self._examples))


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Steps in their order, then those across all documents in theirs. Techniques add to it on the documents seam."""

    steps: tuple[Step, ...] = ()
    across: tuple[Across, ...] = ()

    def with_step(self, step: Step) -> Self:
        return dataclasses.replace(self, steps=(*self.steps, step))

    def with_across(self, across: Across) -> Self:
        return dataclasses.replace(self, across=(*self.across, across))

    def identity(self) -> str:
        """Equal for equal steps with equal settings."""
        every: list[Step | Across] = [*self.steps, *self.across]
        settings = [[step.name, _settings(step)] for step in every]
        return hashlib.blake2b(json.dumps([VERSION, settings]).encode(), digest_size=8).hexdigest()

    def tallies(self) -> list[Tally]:
        """A tally for each step, not for those across."""
        return [Tally(step.name) for step in self.steps]

    def cleaned(self, documents: Iterable[Document], tallies: Sequence[Tally]) -> Iterator[Document]:
        """The documents that the steps keep. A piece that follows a removed one starts a new document."""
        pairs = list(zip(self.steps, tallies, strict=True))
        broken = False
        for document in documents:
            size = size_of(document.text) if pairs else 0
            now: Document | None = document
            unseen = True
            for step, tally in pairs:
                before: Document = now  # type: ignore[assignment]
                now = step(before, tally.note)
                if now is not None and (unseen or now is not before) and not now.text.strip():
                    now = None
                unseen = False
                size = tally.passed(before, size, now)
                if now is None:
                    break
            if now is None:
                broken = True
                continue
            if broken and not now.starts:
                now = dataclasses.replace(now, starts=True)
            broken = False
            yield now


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents, as many at a time as make about a million characters."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def size_of(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _settings(step: Step | Across) -> Json:
    """The settings of a step for its hash; steps with other than JSON values define `identity`."""
    if hasattr(step, "identity"):
        return {"identity": step.identity()}
    settings: Json = plain(step)
    return settings


def _first_difference(before: str, after: str) -> int:
    if not after:
        return 0
    for index, (one, other) in enumerate(zip(before[:100_000], after, strict=False)):
        if one != other:
            return max(0, index - SHOWN_CHARACTERS // 4)
    return 0


def _excerpt(text: str, start: int) -> str:
    return text[start : start + SHOWN_CHARACTERS]
