"""Passed over: one sum of what of the sources was not read as it is, for the terminal, plans, --json and the report."""

from dataclasses import dataclass

from daybreak.core import units
from daybreak.core.values import Value


@dataclass(frozen=True, kw_only=True)
class PassedOver(Value):
    """Counts over all sources and the held-out file. Sizes are of what was passed over, as far as they are known."""

    files: int = 0  # and members of packed ones, as a whole
    files_in_part: int = 0  # read up to a place
    left_out: int = 0  # folders and files that are no text of the user's, such as hidden ones
    rows: int = 0  # and pages and records
    parts: int = 0  # of documents that were read without them
    given_up: int = 0  # pieces of the text whose process ended or was stuck twice
    bytes: int = 0  # of all of these but those left out
    replaced_bytes: int = 0  # read as U+FFFD
    unread_bytes: int = 0  # of files that there was no time for

    @property
    def nothing(self) -> bool:
        return self == PassedOver()

    def sentence(self) -> str:
        """All of it in one line."""
        read_in_part, size = self.files_in_part, units.size(self.bytes)
        replaced, unread = units.size(self.replaced_bytes), units.size(self.unread_bytes)
        return (
            f"passed over in all: {self.files:,} files, {read_in_part:,} more in part, {self.rows:,} rows, "
            f"{self.parts:,} parts of documents, {self.given_up:,} pieces given up, {self.left_out:,} left out; "
            f"{size}, and {replaced} replaced, {unread} not reached"
        )
