"""Findings: counts and notes made while reading, and the reasons why a file is skipped."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from daybreak.core import units
from daybreak.core.passed_over import PassedOver
from daybreak.data.formats import limits


class Unsuitable(Exception):
    """A file that holds no text for us; its message is the reason, as the notes say it."""


class Stopped(Exception):
    """A file that could be read only up to a place; its message is the reason."""


@dataclass(kw_only=True)
class Findings:
    """Counts and notes on some files. They add up over parts of the text; plain values, so processes can send them."""

    files: int = 0
    bytes: int = 0  # as text, unpacked
    replaced: Counter[str] = field(default_factory=Counter)  # bytes that are in no encoding, by file
    skipped: Counter[str] = field(default_factory=Counter)  # files, and members of packed ones, by reason
    stopped: Counter[str] = field(default_factory=Counter)  # likewise: read in part
    given_up: Counter[str] = field(default_factory=Counter)  # pieces of the text, by what became of their process
    left_out: Counter[str] = field(default_factory=Counter)  # folders and files that are no text of the user's
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of files, by reason or by what was said; a few
    said: Counter[str] = field(default_factory=Counter)  # files by what was decided about them
    rows: Counter[str] = field(default_factory=Counter)  # passed over, by reason
    doubts: Counter[str] = field(default_factory=Counter)  # files whose encoding is not sure, by what is doubtful
    parts: Counter[str] = field(default_factory=Counter)  # of documents that were read without them, by what they are
    rows_seen: int = 0  # those that were passed over and those that were read
    lost: Counter[str] = field(default_factory=Counter)  # bytes of files and rows that were passed over, by reason
    licences: Counter[str] = field(default_factory=Counter)  # documents by the licence that they name
    rows_read: Counter[str] = field(default_factory=Counter)  # otherwise than the others of their file, by how
    borders: Counter[str] = field(default_factory=Counter)  # marks between texts, by mark
    kept_marks: Counter[str] = field(default_factory=Counter)  # such marks within a text, where they are text

    def skip(self, name: str, reason: str, detail: str = "", size: int = 0) -> None:
        """The file `name` was passed over; detail: of this file alone; size: its bytes, as far as they are known."""
        self.skipped[reason] += 1
        self.lost[reason] += size
        self._name(reason, name, detail)

    def stop(self, name: str, reason: str, detail: str = "", size: int = 0) -> None:
        """Only a part of the file `name` was read; size: the bytes of the rest, as far as they are known."""
        self.stopped[reason] += 1
        self.lost[reason] += size
        self._name(reason, name, detail)

    def give_up(self, name: str, reason: str, size: int) -> None:
        """A piece of the text could not be read, because its process ended or was stuck."""
        self.given_up[reason] += 1
        self.lost[reason] += size
        self._name(reason, name)

    def leave_out(self, name: str, what: str) -> None:
        """The folder or file `name` is none of the user's."""
        self.left_out[what] += 1
        self._name(what, name)

    def skip_row(self, reason: str, size: int = 0, name: str = "", place: str = "") -> None:
        """A row, a page of a crawl or a record was passed over; place: where in the file `name` it is, as `line 17`."""
        self.rows[reason] += 1
        self.rows_seen += 1
        self.lost[reason] += size
        if place:
            self._name(reason, name, place)

    def leave_part(self, what: str, size: int = 0) -> None:
        """A part of a document is left out: quoted text, an output, a time stamp; `size`: its bytes, where known."""
        self.parts[what] += 1
        self.lost[what] += size

    def say(self, name: str, sentence: str) -> None:
        self.said[sentence] += 1
        self._name(sentence, name)

    def say_rows(self, name: str, how: str) -> None:
        """A row of the file `name` is read, but otherwise than the others of it."""
        how = how if how in self.rows_read or len(self.rows_read) < limits.ROWS_SAID else OTHERWISE
        self.rows_read[how] += 1
        if name not in self.names.get(how, ()):
            self._name(how, name)

    def border(self, name: str, mark: str, count: int) -> None:
        """So many marks in the file `name` were borders of documents."""
        self.borders[mark] += count
        self._name(_border_name(mark), name, once=True)

    def keep_mark(self, name: str, mark: str, count: int) -> None:
        """So many marks in the file `name` stand within a text, and stay."""
        self.kept_marks[mark] += count
        self._name(_kept_name(mark), name, once=True)

    def doubt(self, name: str, sentence: str) -> None:
        """How the file `name` is read is not sure."""
        self.doubts[sentence] += 1
        self._name(sentence, name)

    def licence(self, named: str) -> None:
        """A document whose row names its licence."""
        self.licences[named if named in self.licences or len(self.licences) < limits.LICENCES else OTHERS] += 1

    def _name(self, why: str, name: str, detail: str = "", *, once: bool = False) -> None:
        names = self.names.get(why, ())
        if len(names) < limits.NAMED_FILES and not (once and shown(name) in names):
            self.names[why] = (*names, shown(name) + (f": {detail}" if detail else ""))

    @property
    def replaced_bytes(self) -> int:
        return sum(self.replaced.values())

    @property
    def skipped_rows(self) -> int:
        return sum(self.rows.values())

    @property
    def skipped_bytes(self) -> int:
        """Of files, rests of files and pieces of the text that were passed over."""
        return sum(self.lost[reason] for reason in {*self.skipped, *self.stopped, *self.given_up})

    @property
    def told(self) -> int:
        """How often something was passed over."""
        return sum(counts.total() for counts in (self.skipped, self.stopped, self.left_out, self.rows, self.parts))

    def total(self, *, unread_bytes: int = 0) -> PassedOver:
        """All of it in one sum; unread_bytes: of files that there was no time for."""
        return PassedOver(
            files=self.skipped.total(),
            files_in_part=self.stopped.total(),
            left_out=self.left_out.total(),
            rows=self.rows.total(),
            parts=self.parts.total(),
            given_up=self.given_up.total(),
            bytes=self.lost.total(),
            replaced_bytes=self.replaced_bytes,
            unread_bytes=unread_bytes,
        )

    def add(self, other: "Findings") -> None:
        """Those of what comes next."""
        self.files += other.files
        self.bytes += other.bytes
        self.rows_seen += other.rows_seen
        for mine, theirs in (
            (self.replaced, other.replaced),
            (self.skipped, other.skipped),
            (self.stopped, other.stopped),
            (self.given_up, other.given_up),
            (self.left_out, other.left_out),
            (self.lost, other.lost),
            (self.said, other.said),
            (self.rows, other.rows),
            (self.parts, other.parts),
            (self.doubts, other.doubts),
            (self.licences, other.licences),
            (self.rows_read, other.rows_read),
            (self.borders, other.borders),
            (self.kept_marks, other.kept_marks),
        ):
            mine.update(theirs)
        for why, names in other.names.items():
            have = self.names.get(why, ())
            self.names[why] = (*have, *(name for name in names if name not in have))[: limits.NAMED_FILES]

    def notes(self) -> tuple[str, ...]:
        """Sentences on decisions made and files and rows skipped."""
        decided = []
        for sentence, count in self.said.items():
            first = self.names[sentence][0]
            decided.append(f"{first}{f' and {count - 1} more' if count > 1 else ''}: {sentence}")
        for how, count in self.rows_read.items():
            first, *more = self.names[how]
            named = f"{first}{f' and {len(more)} more' if more else ''}"
            if count == 1:
                how = re.sub(r"\btheir\b", "its", re.sub(r"^have\b", "has", re.sub(r"^are\b", "is", how)))
            decided.append(f"{named}: {count:,} {'rows' if count > 1 else 'row'} {how}")
        return (*decided, *self.passed_over())

    def passed_over(self) -> tuple[str, ...]:
        """Sentences on all that was not read as it is: the one place that says it, for whoever shows it."""
        notes = []
        for what, count in self.left_out.items():
            notes.append(left_out_note(what, self.names[what], count))
        for reason, count in self.given_up.items():
            notes.append(f"{listed(self.names[reason], count)} was left out: {reason}{self._lost(reason, '; ')}")
        for reason, count in self.skipped.items():
            listing = listed(self.names[reason], count)
            notes.append(f"{_files(count)} skipped: {reason} ({listing}{self._lost(reason, '; ')})")
        for reason, count in self.stopped.items():
            listing = listed(self.names[reason], count)
            notes.append(f"{_files(count)} read in part: {reason} ({listing}{self._lost(reason, '; ')})")
        for reason, count in self.rows.items():
            of = f" of {self.rows_seen:,}" if self.rows_seen >= count else ""
            what = "rows" if of or count > 1 else "row"
            places = listed(known, count) if (known := self.names.get(reason)) else ""
            told = places + self._lost(reason, "; " if places else "")
            notes.append(f"{count:,}{of} {what} skipped: {reason}{f' ({told})' if told else ''}")
        for what, count in self.parts.items():
            lost = self._lost(what, "")
            named = "part" if count == 1 else "parts"
            notes.append(f"{count:,} {named} left out: {what}{f' ({lost})' if lost else ''}")
        for sentence, count in self.doubts.items():
            notes.append(f"{_files(count)} in a doubtful encoding: {sentence} ({listed(self.names[sentence], count)})")
        if self.replaced:
            most = [f"{shown(name)}: {count}" for name, count in self.replaced.most_common(limits.NAMED_FILES)]
            told = listed(most, len(self.replaced))
            notes.append(
                f"{self.replaced_bytes} bytes that are not valid in the file's encoding were replaced ({told})"
            )
        for mark, count in self.borders.items():
            where = ", ".join(self.names[_border_name(mark)])
            notes.append(f"{count:,} times {mark} between texts: borders of documents, not text ({where})")
        for mark, count in self.kept_marks.items():
            where = ", ".join(self.names[_kept_name(mark)])
            notes.append(f"{count:,} times {mark} within a text: kept as text ({where})")
        return tuple(notes)

    def _lost(self, reason: str, before: str) -> str:
        """How much of the text was passed over for a reason, as far as that is known."""
        size = self.lost[reason]
        if not size:
            return ""
        whole = self.bytes + self.skipped_bytes  # rows are a part of what was read
        return f"{before}{units.size(size)}, {size / max(whole, size):.1%} of the bytes"


def _border_name(mark: str) -> str:
    return f"border {mark}"


def _kept_name(mark: str) -> str:
    return f"kept {mark}"


def left_out_note(what: str, names: Collection[str], count: int) -> str:
    """A sentence on folders and files that are no text of the user's."""
    return f"{count:,} left out: {what} ({listed(names, count)})"


def _files(count: int) -> str:
    return f"{count} file{'s' if count > 1 else ''}"


def listed(names: Collection[str], count: int) -> str:
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def shown(name: str) -> str:
    """A file's name in one line of valid text: what is not is spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in name)


OTHERS = "others"
HIDDEN = "hidden"
SPECIAL = "not a regular file, or a broken link"
BROKEN_ROW = "not a complete row"
NO_TEXT = "no text in them"
NO_COLUMN = "it has no column of text"
OTHERWISE = "are read in other ways than the first rows"
LONG_ROW = f"over {limits.ROW_BYTES // 1_000_000} MB or a million values in one row; perhaps a quote is not closed"
