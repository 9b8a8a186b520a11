"""Writing: what a model of any family writes on the way of a run: on from how a text begins, or into its gaps."""

from collections.abc import Sequence
from typing import Any

from daybreak.core.types import Plan
from daybreak.data.tokenizers import StreamDecoder, Tokenizer
from daybreak.models.predictors import Network, Sampling
from daybreak.stages.gaps import WRITTEN, Filler

SAMPLE_TOKENS = 64
PROMPT_TOKENS = 8
LONGEST_PROMPT = 36  # of a text with gaps
BETWEEN_GAPS = 8


def sample(plan: Plan, module: Any, tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, str]:
    """How a text begins (`tokens`), and what the model writes; of a text with gaps, what it fills them with."""
    sampling = Sampling(max_tokens=SAMPLE_TOKENS, seed=plan.seed)
    if plan.objective == "next_token":
        network = Network(module, end_of_text=tokenizer.end_of_text, known_tokens=tokenizer.vocabulary)
        prompt = list(tokens)[:PROMPT_TOKENS]
        return tokenizer.decode(prompt), continued(network, tokenizer, prompt, sampling)
    tokens = list(tokens)[:LONGEST_PROMPT]
    # Every ninth token is left out.
    pieces = [tokens[start : start + BETWEEN_GAPS] for start in range(0, len(tokens), BETWEEN_GAPS + 1)]
    if len(pieces) < 2:
        pieces = [tokens, []]
    module.eval()
    filled = Filler(module, tokenizer, plan).put_in(pieces, sampling, count=1)
    shown = f" {WRITTEN} ".join(tokenizer.decode(piece) for piece in pieces)
    return shown, " \u2192 " + " / ".join(gap[0][0] for gap in filled.gaps)


def continued(predictor: Any, tokenizer: Tokenizer, prompt: Sequence[int], sampling: Sampling) -> str:
    decoder = StreamDecoder(tokenizer)
    return "".join(decoder.push(token) for token in predictor.continuation(prompt, sampling)) + decoder.finish()
