"""Generate: text after a prompt, as it comes, without a broken character and without what stands behind a stop."""

from collections.abc import Iterator
from dataclasses import replace

from daybreak.core.errors import UsageError
from daybreak.evaluation.loaded import Loaded
from daybreak.models.inference.mixture import Mixture
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.inference.sampling import Sampling
from daybreak.tasks.continuation import check_stop, continued, continued_together
from daybreak.tasks.fill_mask import WRITTEN, Filler


def pieces(loaded: Loaded, prompt: str, sampling: Sampling, *, stop: tuple[str, ...] = ()) -> Iterator[str]:
    """The continuation in pieces. What could still become a stop string is held back until it is decided.

    Raises UsageError: a model that only fills gaps, or a stop string without a character.
    """
    check_stop(stop)
    return continued(_continuing(loaded), loaded.tokenizer, loaded.tokenizer.encode(prompt), sampling, stop=stop)


def _continuing(loaded: Loaded) -> Network | Mixture | Counts:
    """The predictor. Raises UsageError: it fills gaps."""
    if isinstance(loaded.predictor, Filler):
        raise UsageError(
            "this model fills in masks and does not continue text",
            received=f"{loaded.run}, of the family {loaded.plan.shape.family}",
            attempt=f"use `fill`, with a text that contains {WRITTEN}",
        )
    return loaded.predictor


def continuations(
    loaded: Loaded, prompt: str, sampling: Sampling, *, n: int = 1, stop: tuple[str, ...] = ()
) -> list[str]:
    """n whole continuations, written together; sample i has the seed seed + i. Raises UsageError as `pieces` does."""
    check_stop(stop)
    predictor = _continuing(loaded)
    tokens = loaded.tokenizer.encode(prompt)
    asked = [(tokens, nth(sampling, index)) for index in range(n)]
    return continued_together(predictor, loaded.tokenizer, asked, stop=stop)


def nth(sampling: Sampling, index: int) -> Sampling:
    return replace(sampling, seed=sampling.seed + index)


def prompt_tokens(loaded: Loaded, prompt: str) -> tuple[int, int]:
    """How many tokens a prompt has, and how many of them, the last ones, the model sees."""
    count, predictor = len(loaded.tokenizer.encode(prompt)), loaded.predictor
    network = predictor.network if isinstance(predictor, Mixture) else predictor
    # Counts look at a few tokens by their nature, and a filler has a window around each gap.
    return count, min(count, network.decoder.context) if isinstance(network, Network) else count


def cut_prompt(loaded: Loaded, prompt: str) -> str:
    """A sentence that says how much of the prompt the model sees; empty where it sees all of it."""
    count, seen = prompt_tokens(loaded, prompt)
    return f"the prompt has {count:,} tokens; the model sees only the last {seen:,} of them" if seen < count else ""
