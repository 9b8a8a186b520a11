"""Continuation: text after the tokens of a prompt, without a broken character, to a stop string where there is one."""

from collections.abc import Iterator, Sequence

from daybreak.core.errors import UsageError
from daybreak.data.tokenizers.base import StreamDecoder, Tokenizer
from daybreak.models.inference.predictors import Predictor
from daybreak.models.inference.sampling import Sampling


def continued(
    predictor: Predictor,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    stop: tuple[str, ...] = (),
) -> Iterator[str]:
    """As `pieces`, of any predictor, after the tokens of a prompt."""
    decoder = StreamDecoder(tokenizer)
    held = ""
    for token in predictor.continuation(prompt, sampling):
        held += decoder.push(token)
        found = [place for text in stop if (place := held.find(text)) >= 0]
        if found:
            yield held[: min(found)]
            return
        safe = len(held) - _longest_beginning(held, stop)
        if safe:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


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
