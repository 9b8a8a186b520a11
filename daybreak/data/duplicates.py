"""Duplicates: documents whose text is equal but for white space and case, and those that share most of their words."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from daybreak.core.errors import UsageError
from daybreak.data import word_hashes

_ASCII_BLANKS = bytes(code for code in range(0x80) if chr(code).isspace())
_BAND = 4  # values of 16 bits, so that a band is one number of 64 bits and its equality one comparison
_FULL = 2  # hashes for every bin at least: then one bin in e^2 stays empty, which says as much as a value
_TEXT_BIT, _ROUND_BITS = 48, 8  # of a sorted number: above it which text; of the round, below the bin's
_MOST_GROUPED = 1 << 12  # texts that are hashed together, below 2^16
_GROUP = 1 << 16  # characters of them; more fall out of a core's own cache
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # makes the highest bits depend on all
_ROWS = 1 << 15  # signatures compared at a time: 8 MB on each side


@dataclass(frozen=True, kw_only=True)
class ExactDuplicates:
    """Takes away documents that an earlier one equals, white space and case aside: 128 bits of XXH3 say so.

    Two different texts among n have one signature with a chance of n^2 / 2^129.
    """

    name: str = dataclasses.field(default="exact_duplicates", init=False)

    @property
    def width(self) -> int:
        return 2

    def signatures(self, texts: Sequence[str]) -> np.ndarray:
        """uint64 [texts, 2]."""
        import xxhash

        digests = b"".join(xxhash.xxh3_128_digest(_folded(text)) for text in texts)
        return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)

    def kept(self, signatures: np.ndarray) -> np.ndarray:
        """bool [documents]: the first of its like."""
        order = np.lexsort((signatures[:, 1], signatures[:, 0]))  # stable: within a group documents stay in order
        ordered = signatures[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        kept = np.zeros(len(order), dtype=bool)
        kept[order[first]] = True
        return kept


def _folded(text: str) -> bytes:
    """UTF-8 of the text in lower case, without white space."""
    data = text.encode("utf-8", "replace")
    beyond = "" if text.isascii() else word_hashes.beyond_ascii(data)
    if beyond.casefold() != beyond or "".join(beyond.split()) != beyond:
        return "".join(text.casefold().split()).encode("utf-8", "replace")
    return data.lower().translate(None, _ASCII_BLANKS)


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Takes away documents whose runs of words are mostly those of an earlier one.

    MinHash (Broder 1997) over the set of runs of `shingle_words` words: two signatures agree in a value about as often
    as the sets overlap, their Jaccard similarity. A signature's values are the minima of bins that each run falls into
    once a round; a bin that is empty is filled by the next round, in which every run is hashed anew (Dahlgaard, Knudsen
    and Thorup, arXiv:1704.04370), so texts of more than about 250 words need one hash a run. 16 bits of each
    value are kept (Li and Koenig, arXiv:0910.3349). Documents that agree in a whole band of four values are compared
    in all of them.

    An edit takes up to four runs of four words with it, so with edits of 5% of the words two sets overlap by about
    0.69 (0.95^4 / (2 - 0.95^4)), in short texts down to 0.6; different texts of one kind stay under 0.3.
    """

    shingle_words: int = 4
    least_similarity: float = 0.5
    least_words: int = 20  # in shorter texts one other word is another meaning
    values: int = 128
    cautious: bool = False  # where most of a file, or of all the text, would go, it stays
    name: str = dataclasses.field(default="near_duplicates", init=False)

    def __post_init__(self) -> None:
        if self.values < 2 * _BAND or self.values & (self.values - 1):
            raise UsageError(
                "the number of MinHash values must be a power of two",
                received=f"values={self.values}",
                attempt="such as values=128",
            )
        if not 0 < self.least_similarity <= 1:
            raise UsageError(
                "the similarity must be above 0 and at most 1",
                received=f"least_similarity={self.least_similarity}",
                attempt="such as least_similarity=0.5",
            )
        if not 1 <= self.shingle_words <= self.least_words:
            raise UsageError(
                "a run has at least one word and at most as many as the shortest text that is compared",
                received=f"shingle_words={self.shingle_words}, least_words={self.least_words}",
                attempt="such as shingle_words=4, least_words=20",
            )

    @property
    def width(self) -> int:
        """Numbers in a signature: one for each band."""
        return self.values // _BAND

    def signatures(self, texts: Sequence[str]) -> np.ndarray:
        """uint64 [texts, width]; zeros for a text of fewer than `least_words` words, which is never taken away."""
        found = np.zeros((len(texts), self.width), dtype=np.uint64)
        for group in _groups(texts):
            hashed, counts = word_hashes.hashes_of_each([texts[index] for index in group])
            long = counts >= self.least_words
            if long.any():
                found[np.array(group)[long]] = self._minima(hashed[np.repeat(long, counts)], counts[long]).view("<u8")
        return found

    def _minima(self, hashed: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """uint16 [texts, values]: of each text the lowest hash in each bin; `counts` of the words are of each text."""
        text, drawn = _within_texts(word_hashes.runs(hashed, self.shingle_words), counts, self.shingle_words)
        turn = np.zeros(len(text), dtype=np.uint64)
        rounds = np.clip(-(-self.values * _FULL // (counts - self.shingle_words + 1)), 1, 1 << _ROUND_BITS)
        if (rounds > 1).any():
            of_each = rounds[text]
            at = np.repeat(np.arange(len(text)), of_each)
            turn = (np.arange(len(at)) - (np.cumsum(of_each) - of_each)[at]).astype(np.uint64)
            text, drawn = text[at], drawn[at]
            drawn = np.where(turn > 0, word_hashes.mixed(drawn + turn), drawn)
        # One sort for everything: highest the text, then the bin, the round, and the rest of the hash.
        bin_bits = self.values.bit_length() - 1
        shift = np.uint64(_TEXT_BIT - bin_bits)
        place = (text.astype(np.uint64) << np.uint64(bin_bits)) | (drawn >> np.uint64(64 - bin_bits))
        rest = (drawn << np.uint64(bin_bits)) >> np.uint64(64 - _TEXT_BIT + bin_bits + _ROUND_BITS)
        ordered = np.sort((place << shift) | (turn << (shift - np.uint64(_ROUND_BITS))) | rest)
        places = np.arange(len(counts) * self.values, dtype=np.uint64)
        lowest = ordered[np.minimum(np.searchsorted(ordered, places << shift), len(ordered) - 1)]
        # Mixed, for the highest bits of a minimum are mostly zero. A bin that stayed empty is 0 in every text.
        found = word_hashes.mixed(lowest << (np.uint64(64) - shift)).astype(np.uint16)
        return np.where((lowest >> shift) == places, found, np.uint16(0)).reshape(-1, self.values)

    def kept(self, signatures: np.ndarray) -> np.ndarray:
        """bool [documents]. Repeated until nothing more goes, so that text which was cleaned stays as it is."""
        return self.copies(signatures) < 0

    def copies(self, signatures: np.ndarray) -> np.ndarray:
        """int64 [documents]: the earlier document that each is a copy of; -1 for those that stay."""
        found = np.full(len(signatures), -1)
        compared = np.flatnonzero(signatures.any(axis=1))
        while len(compared):
            earlier = self._repeated(signatures, compared)
            repeated = earlier >= 0
            if not repeated.any():
                break
            found[compared[repeated]] = compared[earlier[repeated]]
            compared = compared[~repeated]
        return found

    def _repeated(self, signatures: np.ndarray, compared: np.ndarray) -> np.ndarray:
        """int64 [compared]: the place of an earlier one that is similar, of those that share a band the first and the
        last before it; else -1.
        """
        repeated = np.full(len(compared), -1)
        places_bits = np.uint64(max(1, len(compared).bit_length()))
        for band in range(self.width):
            # Sorted as numbers, a hash of the band above and the place below: far faster than places by their bands.
            keys = (signatures[compared, band] * _MULTIPLIER) >> places_bits
            ordered = np.sort((keys << places_bits) | np.arange(len(compared), dtype=np.uint64))
            order = (ordered & ((np.uint64(1) << places_bits) - np.uint64(1))).astype(np.int64)
            ordered >>= places_bits
            same = np.concatenate(([False], ordered[1:] == ordered[:-1]))
            places = np.flatnonzero(same)
            starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
            for earlier in (starts[places], places - 1):
                ones, others = order[places], order[earlier]
                open_ = repeated[ones] < 0
                ones, others = ones[open_], others[open_]
                similar = self._similar(signatures, compared[ones], compared[others])
                repeated[ones[similar]] = others[similar]
        return repeated

    def _similar(self, signatures: np.ndarray, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        """bool [pairs]."""
        least = self.least_similarity * self.values
        found = np.zeros(len(ones), dtype=bool)
        for start in range(0, len(ones), _ROWS):
            here = slice(start, start + _ROWS)
            equal = signatures[ones[here]].view(np.uint16) == signatures[others[here]].view(np.uint16)
            found[here] = np.count_nonzero(equal, axis=1) >= least
        return found


def _groups(texts: Sequence[str]) -> Iterator[list[int]]:
    """Indices of texts that are hashed together, those in ASCII apart: theirs is the faster way."""
    for ascii_only in (True, False):
        group: list[int] = []
        size = 0
        for index, text in enumerate(texts):
            if text.isascii() is not ascii_only:
                continue
            if group and (size + len(text) > _GROUP or len(group) == _MOST_GROUPED):
                yield group
                group, size = [], 0
            group.append(index)
            size += len(text)
        if group:
            yield group


def _within_texts(runs: np.ndarray, counts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Which text a run is of, and the run, without those that go on into the next text."""
    text = np.repeat(np.arange(len(counts)), counts)
    within = np.ones(len(text), dtype=bool)
    for back in range(1, length):
        within[np.cumsum(counts) - back] = False
    return text[within], runs[within[: len(runs)]]
