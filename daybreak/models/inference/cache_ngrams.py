"""History: n-grams of the very text that is read or continued, counted as it goes by."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

ORDER = 4  # tokens
PRIOR = 50.0  # tokens that the uniform distribution counts for


class History:
    """What a document has shown so far, as a cache model (Kuhn and De Mori 1990) of n-grams.

    p_k(t | h) = (c(h t) + types(h) p_{k-1}) / (c(h) + types(h)), Witten and Bell's interpolation (1991), where c counts
    the document up to here, and p_1 begins with a uniform distribution. Names and phrases return within a text that
    were rare, or never there, in what was trained on.
    """

    def __init__(self, *, vocabulary: int, end_of_text: int, order: int = ORDER) -> None:
        self.vocabulary, self.end_of_text, self.order = vocabulary, end_of_text, order

    def stream(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nats [n] of a stream's tokens by what precedes each in its document, and how unsure that was [n].

        Every end-of-text token opens a document. Unsureness is the share left to single tokens.
        """
        tokens = np.asarray(tokens).astype(np.int64)
        opens = tokens == self.end_of_text
        document = np.cumsum(opens)
        first = np.flatnonzero(opens)
        begins = np.zeros(document[-1] + 1 if len(tokens) else 1, np.int64)
        begins[document[first]] = first
        place = np.arange(len(tokens)) - begins[document]
        gram = _ranks(document * self.vocabulary + tokens)
        probabilities = (_earlier(gram) + PRIOR / self.vocabulary) / (place + PRIOR)
        unsure = np.ones(len(tokens))
        for k in range(2, self.order + 1):
            at = np.flatnonzero(place >= k - 1)
            context = gram[at - 1]
            gram = np.zeros(len(tokens), np.int64)
            gram[at] = _ranks(context * self.vocabulary + tokens[at])
            times, seen = _earlier(gram[at]), _earlier(context)
            types = _earlier(context, counted=times == 0)
            known = at[seen > 0]
            seen, types, times = (part[seen > 0] for part in (seen, types, times))
            probabilities[known] = (times + types * probabilities[known]) / (seen + types)
            unsure[known] *= types / (seen + types)
        return -np.log(probabilities), unsure

    def reading(self) -> "_Reading":
        """For texts that are continued together."""
        return _Reading(self)

    def reader(self, text: Sequence[int]) -> Callable[[Sequence[int]], tuple[np.ndarray, float]]:
        """From the tokens so far to a distribution [V] and its backoff_mass, by the counts of `text` alone.

        What a model writes itself is not counted: it would repeat itself.
        """
        counts: list[dict[tuple[int, ...], dict[int, int]]] = [
            defaultdict(lambda: defaultdict(int)) for _ in range(self.order)
        ]
        for end, token in enumerate(text):
            for length in range(min(self.order, end + 1)):
                counts[length][tuple(text[end - length : end])][token] += 1

        def read(tokens: Sequence[int]) -> tuple[np.ndarray, float]:
            probabilities, unsure = np.full(self.vocabulary, 1 / self.vocabulary), 1.0
            for length in range(min(self.order, len(tokens) + 1)):
                followed = counts[length].get(tuple(tokens[len(tokens) - length :]))
                if not followed:
                    continue
                types = len(followed) if length else PRIOR
                whole = sum(followed.values()) + types
                share = types / whole
                probabilities *= share
                probabilities[list(followed)] += np.array(list(followed.values())) / whole
                unsure *= share if length else 1.0
            return probabilities, unsure

        return read


class _Reading:
    """Each text by its own counts."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._readers: dict[int, Callable[[Sequence[int]], tuple[np.ndarray, float]]] = {}

    def join(self, row: int, text: Sequence[int]) -> None:
        self._readers[row] = self.history.reader(text)

    def leave(self, row: int) -> None:
        del self._readers[row]

    def distributions(self, texts: Mapping[int, Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        found = [self._readers[row](tokens) for row, tokens in texts.items()]
        return np.stack([distribution for distribution, _ in found]), np.array([mass for _, mass in found])


def _ranks(codes: np.ndarray) -> np.ndarray:
    """Of each code among the distinct ones [n], so that they stay small enough to be joined with a token."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _earlier(ids: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray:
    """How often each id stands before it [n]; counted: only the places that are true in it."""
    order = np.argsort(ids, kind="stable")
    ones = np.ones(len(ids), np.int64) if counted is None else counted[order].astype(np.int64)
    before = np.cumsum(ones) - ones
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    found = np.empty(len(ids), np.int64)
    found[order] = before - np.repeat(before[starts], np.diff(starts, append=len(ids)))
    return found
