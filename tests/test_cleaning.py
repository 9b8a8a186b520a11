"""Cleaning: steps in order, accounts that add up, examples that do not depend on how the work was divided."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from daybreak.data.cleaning import Account, Cleaning, Document, Note


@dataclass(frozen=True, kw_only=True)
class Shout:
    mark: str = "!"
    name: str = "shout"

    def __call__(self, document: Document, note: Note) -> Document | None:
        if "quiet" in document.text:
            note("quiet")
            return None
        return (
            document if document.text.endswith(self.mark) else dataclasses.replace(document, text=document.text + "!")
        )


def accounts(documents: list[Document], cleaning: Cleaning) -> tuple[list[Document], list[Account]]:
    tallies = cleaning.tallies()
    return list(cleaning.cleaned(documents, tallies)), [tally.account() for tally in tallies]


def test_a_step_is_counted_and_a_piece_after_a_gap_starts_anew() -> None:
    documents = [Document("a!"), Document("quiet"), Document("b", False), Document("é", False), Document("  ")]
    cleaned, (account,) = accounts(documents, Cleaning().with_step(Shout()))
    assert cleaned == [Document("a!"), Document("b!"), Document("é!", False), Document("  !")]
    assert (account.documents, account.removed_documents, account.changed_documents) == (5, 1, 3)
    assert (account.bytes, account.removed_bytes, account.fewer_bytes) == (12, 5, -3)
    assert account.counts == {"quiet": 1} and len(account.examples) == 4


def test_accounts_of_parts_add_up_to_that_of_the_whole() -> None:
    documents = [Document(f"text {i} {'quiet' if i % 7 == 0 else ''}") for i in range(60)]
    cleaning = Cleaning().with_step(Shout())
    whole, (account,) = accounts(documents, cleaning)
    parts = [accounts(documents[start : start + 13], cleaning) for start in range(0, 60, 13)]
    assert [d for cleaned, _ in parts for d in cleaned] == whole
    total = parts[0][1][0]
    for _, (more,) in parts[1:]:
        total = total + more
    assert total == account and len(account.examples) == 5
    assert Account.from_json(account.to_json()) == account


def test_the_identity_is_of_the_settings() -> None:
    one = Cleaning().with_step(Shout())
    assert one.identity() == Cleaning().with_step(Shout()).identity()
    assert len({one.identity(), Cleaning().identity(), Cleaning().with_step(Shout(mark="?")).identity()}) == 3
