"""Continuation: text after the tokens of a prompt, without a broken character, to a stop string where there is one."""

from collections.abc import Iterator, Sequence

from daybreak.core.errors import UsageError
from daybreak.data.tokenizers.base import StreamDecoder, Tokenizer
from daybreak.models.inference.predictors import Predictor
from daybreak.models.inference.sampling import Sampling

TOGETHER = 16  # texts that are continued at once


class Spoken:
    """The text of tokens as they come; what could still become a stop string is held back until it is decided."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...] = ()) -> None:
        self._decoder, self._stop, self._held = StreamDecoder(tokenizer), stop, ""
        self.stopped = False  # at a stop string, before which the text ends

    def push(self, token: int) -> str:
        """What is decided by this token; empty where nothing is."""
        held = self._held + self._decoder.push(token)
        found = [place for text in self._stop if (place := held.find(text)) >= 0]
        self.stopped = bool(found)
        safe = min(found) if found else len(held) - _longest_beginning(held, self._stop)
        self._held = "" if found else held[safe:]
        return held[:safe]

    def rest(self) -> str:
        """What was held back, where no more tokens come."""
        return self._held


def continued(
    predictor: Predictor,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    stop: tuple[str, ...] = (),
) -> Iterator[str]:
    """As `pieces`, of any predictor, after the tokens of a prompt."""
    spoken = Spoken(tokenizer, stop)
    for token in predictor.continuation(prompt, sampling):
        if piece := spoken.push(token):
            yield piece
        if spoken.stopped:
            return
    if rest := spoken.rest():
        yield rest


def continued_together(
    predictor: Predictor,
    tokenizer: Tokenizer,
    asked: Sequence[tuple[Sequence[int], Sampling]],
    *,
    stop: tuple[str, ...] = (),
) -> list[str]:
    """Whole texts after the tokens of prompts, TOGETHER at once; the next begins where one has ended."""
    found, waiting = [""] * len(asked), iter(enumerate(asked))
    with predictor.texts() as texts:
        open_rows: dict[int, tuple[int, Spoken]] = {}
        while True:
            while len(texts) < TOGETHER and (one := next(waiting, None)) is not None:
                index, (prompt, sampling) = one
                open_rows[texts.join(prompt, sampling)] = index, Spoken(tokenizer, stop)
            if not len(texts):
                return found
            for row, token in texts.step().items():
                index, spoken = open_rows[row]
                found[index] += spoken.push(token) if token is not None else ""
                if spoken.stopped and row in texts:
                    texts.leave(row)
                elif row not in texts and not spoken.stopped:
                    found[index] += spoken.rest()


def check_stop(stop: Sequence[str]) -> None:
    """Raises UsageError: an empty stop string, which every text begins with."""
    if "" in stop:
        raise UsageError(
            "a stop string is empty, so every text would end before its first character",
            received="stop ''",
            attempt="leave it out, or name the text to stop before, such as --stop $'\\n\\n'",
        )


def _longest_beginning(text: str, stop: tuple[str, ...]) -> int:
    """Characters at the end of `text` that begin one of the stop strings."""
    longest = 0
    for word in stop:
        for size in range(min(len(word) - 1, len(text)), longest, -1):
            if text.endswith(word[:size]):
                longest = size
                break
    return longest
