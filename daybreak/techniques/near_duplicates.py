"""Deduplication by MinHash: drops documents that share most of their word n-grams with an earlier one."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique, TextContext, asked_by_name


@dataclass(frozen=True, kw_only=True)
class NearDuplicates(Technique):
    """MinHash over runs of words with banding, as web text is cleaned (arXiv:2107.06499, arXiv:2406.17557).

    The threshold is under the 0.75 of FineWeb because text of people's own has revisions: with 5% of the words edited,
    copies overlap by 0.69 of their runs, and different texts hardly ever by more than 0.3. Short texts made of one form
    (orders, weather reports) overlap as much and say different things: only longer ones are compared. Where most of a
    file would go for what else is in it, or most of the text, all of that stays unless this is asked for by name.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = (
        "all cleaning steps together: 2.7% fewer bits per byte on text that was made dirty (see "
        "[cleaning](cleaning.md))"
    )
    does: ClassVar[str] = "takes away documents that share most of their runs of words with an earlier one"
    refuses_when: ClassVar[str] = "never"
    least_similarity: float = 0.5  # Jaccard similarity of the sets of runs, from which a document goes
    shingle_words: int = 4  # in a run; Chinese characters count as words
    least_words: int = 150  # of documents that are compared; shorter ones may fill in the same form differently

    def documents(self, cleaning: Cleaning, run: Context | TextContext) -> tuple[Cleaning, int]:
        from daybreak.data import duplicates

        across = duplicates.NearDuplicates(
            least_similarity=self.least_similarity,
            shingle_words=self.shingle_words,
            least_words=self.least_words,
            cautious=not asked_by_name("near_duplicates", run),
        )
        return cleaning.with_across(across), 1
