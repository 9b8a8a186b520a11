"""Findings: what reading counts and says aloud, and the reasons for which a file is passed over."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from daybreak.data.formats import limits


class Unsuitable(Exception):
    """A file that holds no text for us; its message is the reason, as the notes say it."""


class Stopped(Exception):
    """A file that could be read only up to a place; its message is the reason."""


@dataclass(kw_only=True)
class Findings:
    """Of some files. Those of parts of the text add up, in order; plain values, so that processes can send them."""

    files: int = 0
    bytes: int = 0  # as text, unpacked
    replaced: Counter[str] = field(default_factory=Counter)  # bytes that are in no encoding, by file
    skipped: Counter[str] = field(default_factory=Counter)  # files, and members of packed ones, by reason
    stopped: Counter[str] = field(default_factory=Counter)  # likewise: read in part
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of files, by reason or by what was said; a few
    said: Counter[str] = field(default_factory=Counter)  # files by what was decided about them
    rows: Counter[str] = field(default_factory=Counter)  # passed over, by reason
    licences: Counter[str] = field(default_factory=Counter)  # documents by the licence that they name

    def skip(self, name: str, reason: str, detail: str = "") -> None:
        """The file `name` was passed over; detail: of this file alone."""
        self.skipped[reason] += 1
        self._name(reason, name, detail)

    def stop(self, name: str, reason: str, detail: str = "") -> None:
        """Only a part of the file `name` was read."""
        self.stopped[reason] += 1
        self._name(reason, name, detail)

    def say(self, name: str, sentence: str) -> None:
        self.said[sentence] += 1
        self._name(sentence, name)

    def licence(self, named: str) -> None:
        """A document whose row names its licence."""
        self.licences[named if named in self.licences or len(self.licences) < limits.LICENCES else OTHERS] += 1

    def _name(self, why: str, name: str, detail: str = "") -> None:
        names = self.names.get(why, ())
        if len(names) < limits.NAMED_FILES:
            self.names[why] = (*names, shown(name) + (f": {detail}" if detail else ""))

    @property
    def replaced_bytes(self) -> int:
        return sum(self.replaced.values())

    @property
    def skipped_rows(self) -> int:
        return sum(self.rows.values())

    def add(self, other: "Findings") -> None:
        """Those of what comes next."""
        self.files += other.files
        self.bytes += other.bytes
        for mine, theirs in (
            (self.replaced, other.replaced),
            (self.skipped, other.skipped),
            (self.stopped, other.stopped),
            (self.said, other.said),
            (self.rows, other.rows),
            (self.licences, other.licences),
        ):
            mine.update(theirs)
        for why, names in other.names.items():
            have = self.names.get(why, ())
            self.names[why] = (*have, *(name for name in names if name not in have))[: limits.NAMED_FILES]

    def notes(self) -> tuple[str, ...]:
        """Sentences on what was decided and what was passed over."""
        notes = []
        for sentence, count in self.said.items():
            first = self.names[sentence][0]
            notes.append(f"{first}{f' and {count - 1} more' if count > 1 else ''}: {sentence}")
        for reason, count in self.skipped.items():
            notes.append(f"{_files(count)} skipped: {reason} ({_listed(self.names[reason], count)})")
        for reason, count in self.stopped.items():
            notes.append(f"{_files(count)} read in part: {reason} ({_listed(self.names[reason], count)})")
        for reason, count in self.rows.items():
            notes.append(f"{count} row{'s' if count > 1 else ''} skipped: {reason}")
        if self.replaced:
            most = [f"{shown(name)}: {count}" for name, count in self.replaced.most_common(limits.NAMED_FILES)]
            told = _listed(most, len(self.replaced))
            notes.append(f"{self.replaced_bytes} bytes that are not text in the file's encoding were replaced ({told})")
        return tuple(notes)


def _files(count: int) -> str:
    return f"{count} file{'s' if count > 1 else ''}"


def _listed(names: Collection[str], count: int) -> str:
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def shown(name: str) -> str:
    """A file's name in one line of valid text: what is not is spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in name)


OTHERS = "others"
BROKEN_ROW = "broken, or without text"
LONG_ROW = f"over {limits.ROW_BYTES // 1_000_000} MB or a million values in one row; an unclosed quote looks like that"
