"""Agreement: whether another program computes what the model does here, on texts: tokens, logits, likeliest texts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from daybreak.core.errors import DataError, DaybreakError
from daybreak.core.values import Json
from daybreak.evaluation.loaded import Loaded, decoder_for
from daybreak.evaluation.streams import heldout_stream
from daybreak.models.exports import Opened, Source
from daybreak.models.inference.decoder import Decoder
from daybreak.models.inference.sampling import Sampling, one_text, open_texts

PROMPTS, PROMPT_TOKENS, CONTINUED_TOKENS = 10, 32, 64
# The largest difference of a logit: as it is in float32; else as a part of the largest logit of ours.
EXACT = 1e-4
ROUNDED = {"float16": 0.01, "bfloat16": 0.05, "q8_0": 0.1}
# For texts that no prompt is given for, where the run's held-out text is not there any more.
SPARE_PROMPTS = (
    "It was a bright cold day, and",
    "The first chapter of",
    "In the year 1905,",
    "def read(path):\n    ",
    "\n\n",
    "春天来了，",
    "第一章　总则",
    "这个软件的安装方法是：",
    "🙂 ok?",
    "",
)


def texts_of(loaded: Loaded, prompts: Sequence[str]) -> tuple[list[str], str]:
    """Those that are given, or pieces of the held-out text from its whole length; and which they are, in words."""
    if prompts:
        return list(prompts), "given"
    try:
        stream = heldout_stream(loaded.run, loaded.plan)
    except (DaybreakError, OSError):
        return list(SPARE_PROMPTS), "daybreak's own prompts: the held-out text is missing"
    size = min(PROMPT_TOKENS, max(1, loaded.context_length // 4))
    places = np.linspace(0, max(0, len(stream) - size), PROMPTS).astype(int)
    texts = [loaded.tokenizer.decode(stream[place : place + size].tolist()) for place in places]
    return texts, "held-out text"


@dataclass
class Agreement:
    """What was found so far. limit: of a logit's difference."""

    largest: float = 0.0
    limit: float = EXACT
    places: int = 0


def compared(source: Source, opened: Opened, loaded: Loaded, texts: list[str], precision: str) -> Json:
    """Figures of the comparison; keys of what `export` gives back. Raises DataError: they do not agree."""
    rows = [_row(source, loaded, text) for text in texts]
    agreement = Agreement()
    cut = [opened.encode(text) for text in texts]
    for text, tokens in zip(texts, cut, strict=True):
        ours = source.wrapped(loaded.tokenizer.encode(text))
        # Spelled out in a text, the token that ends one is text here, and some programs take it for itself.
        if tokens is not None and tokens != ours and source.token not in text:
            raise _different(opened, f"the tokens of {text[:60]!r}: {tokens[:12]} there, {ours[:12]} here")
    result: Json = {"program": opened.program, "prompts": len(texts)}
    if source.family.continues:
        result |= _continued(source, opened, rows, agreement, precision)
    _logits(source, opened, rows, agreement, precision)
    return {
        **result,
        "tokenizer_compared": cut[0] is not None,
        "largest_logit_difference": agreement.largest,
        "tolerance": agreement.limit,
        "compared_positions": agreement.places,
        "parameters": source.shape.parameters(),
    }


def _row(source: Source, loaded: Loaded, text: str) -> list[int]:
    """A text as it is put in, as much as fits."""
    tokens = loaded.tokenizer.encode(text)[: source.shape.context_length - 2]
    return source.wrapped(tokens)


def _logits(source: Source, opened: Opened, rows: list[list[int]], agreement: Agreement, precision: str) -> None:
    """Every row by itself, so that lengths vary, and the first ones as one batch. Raises DataError."""
    shortest = min(map(len, rows))
    batches = [np.array([row]) for row in rows]
    batches.append(np.array([row[:shortest] for row in rows[:4]]))
    signature = source.family.signature
    assert signature is not None
    for tokens_BT in batches:
        inputs = signature.of(torch.from_numpy(tokens_BT))
        with torch.inference_mode():
            ours = source.module(*inputs)[..., : source.known].numpy()
        theirs = opened.logits(*(part.numpy() for part in inputs))[..., : source.known]
        if not np.isfinite(theirs).all():
            raise _different(opened, "some logits are not numbers")
        agreement.largest = max(agreement.largest, float(np.abs(theirs - ours).max()))
        agreement.places += ours[..., 0].size
        if precision in ROUNDED:
            agreement.limit = max(agreement.limit, ROUNDED[precision] * float(np.abs(ours).max()))
    if agreement.largest > agreement.limit:
        raise _different(
            opened, f"logits differ by up to {agreement.largest:.2g}; at most {agreement.limit:.2g} is allowed"
        )


def _continued(source: Source, opened: Opened, rows: list[list[int]], agreement: Agreement, precision: str) -> Json:
    """Greedy texts of both, and their speeds; the rows become as long as these texts. Raises DataError in float32."""
    ours, our_rate = _greedy(decoder_for(source.module), source, rows)
    theirs, rate = _greedy(opened, source, rows)
    tied = 0
    for row, one, other in zip(rows, ours, theirs, strict=True):
        if one != other:
            if precision == "float32" and not _tie(source, row, one, other):
                raise _different(
                    opened, f"the most likely continuation after {len(row) - 1} tokens: {other} there, {one} here"
                )
            tied += 1
        row.extend(one[: source.shape.context_length - len(row)])
    return {
        "continued_tokens": CONTINUED_TOKENS,
        "continued_alike": len(rows) - tied,
        "tokens_per_second": rate,
        "tokens_per_second_here": our_rate,
    }


def _greedy(decoder: Decoder, source: Source, rows: list[list[int]]) -> tuple[list[list[int]], float]:
    """The likeliest text after each row, and tokens per second, without the first row: it warms the program up."""
    found: list[list[int]] = []
    begun, warm = time.perf_counter(), 0
    for index, row in enumerate(rows):
        texts = open_texts(decoder, end_of_text=source.end_of_text, known_tokens=source.known)
        tokens = one_text(texts, row[1:], Sampling(max_tokens=CONTINUED_TOKENS, temperature=0.0))
        found.append(list(tokens))
        if not index and len(rows) > 1:
            begun, warm = time.perf_counter(), _computed(found[0])
    computed = sum(map(_computed, found)) - warm
    return found, computed / max(1e-9, time.perf_counter() - begun)


def _computed(text: list[int]) -> int:
    """Tokens that were computed; the one that ends a text is not in it."""
    return min(CONTINUED_TOKENS, len(text) + 1)


def _tie(source: Source, row: list[int], one: list[int], other: list[int]) -> bool:
    """Whether the two texts part where the likeliest tokens are equally likely for us, within the tolerance."""
    end = [source.end_of_text]
    first = next(i for i, (a, b) in enumerate(zip(one + end, other + end, strict=False)) if a != b)
    tokens = [*row, *one[:first]][-source.shape.context_length :]
    with torch.inference_mode():
        logits_V = source.module(torch.tensor([tokens]))[0, -1]
    chosen, instead = (*one, *end)[first], (*other, *end)[first]
    return float(logits_V[chosen] - logits_V[instead]) <= 2 * EXACT


def _different(opened: Opened, what: str) -> DataError:
    return DataError(
        "the exported model computes something else, so it was deleted",
        received=f"{opened.program}: {what}",
        attempt="use another --precision or --to; in float32 please report it: daybreak or "
        "that program computes something wrong",
    )
