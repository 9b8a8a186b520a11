"""Generate: text after a prompt, as it comes, without a broken character and without what stands behind a stop."""

from collections.abc import Iterator
from dataclasses import replace

from daybreak.core.errors import UsageError
from daybreak.data.tokenizers import StreamDecoder
from daybreak.models.predictors import Sampling
from daybreak.stages.evaluate import Loaded
from daybreak.stages.gaps import WRITTEN, Filler


def pieces(loaded: Loaded, prompt: str, sampling: Sampling, *, stop: tuple[str, ...] = ()) -> Iterator[str]:
    """The continuation in pieces. What could still become a stop string is held back until it is decided.

    Raises UsageError: a model that only fills gaps.
    """
    if isinstance(loaded.predictor, Filler):
        raise UsageError(
            "this model fills gaps and continues no text",
            received=f"{loaded.run}, of the family {loaded.plan.shape.family}",
            attempt=f"`fill` with a text that has {WRITTEN} in it",
        )
    decoder = StreamDecoder(loaded.tokenizer)
    held = ""
    for token in loaded.predictor.continuation(loaded.tokenizer.encode(prompt), sampling):
        held += decoder.push(token)
        found = [place for text in stop if (place := held.find(text)) >= 0]
        if found:
            yield held[: min(found)]
            return
        safe = len(held) - _longest_beginning(held, stop)
        if safe:
            yield held[:safe]
            held = held[safe:]
    held += decoder.finish()
    found = [place for text in stop if (place := held.find(text)) >= 0]
    held = held[: min(found)] if found else held
    if held:
        yield held


def continuations(
    loaded: Loaded, prompt: str, sampling: Sampling, *, n: int = 1, stop: tuple[str, ...] = ()
) -> list[str]:
    """n whole continuations; sample i has the seed seed + i."""
    return ["".join(pieces(loaded, prompt, nth(sampling, index), stop=stop)) for index in range(n)]


def nth(sampling: Sampling, index: int) -> Sampling:
    return replace(sampling, seed=sampling.seed + index)


def _longest_beginning(text: str, stop: tuple[str, ...]) -> int:
    """Characters at the end of `text` that begin one of the stop strings."""
    longest = 0
    for word in stop:
        for size in range(min(len(word) - 1, len(text)), longest, -1):
            if text.endswith(word[:size]):
                longest = size
                break
    return longest
