"""Scaling laws: how large a model, how many tokens, which batch, and what loss to expect. Pure arithmetic."""

import math


def effective_epochs(epochs: float) -> float:
    """What repeated passes are worth in fresh ones: the form of arXiv:2305.16264.

    There a text of billions of tokens may be repeated 15 times before it wears out. Small texts wear out sooner:
    on one of 1 MB, no number of passes was worth more than two (own runs).
    """
    half_life = 1.0
    if epochs <= 1:
        return epochs
    return 1 + half_life * (1 - math.exp(-(epochs - 1) / half_life))


USEFUL_EPOCHS, EPOCHS_FALL = 9.0, 0.15
FEW_STEPS = 100  # with fewer, smaller batches learn more than they cost in speed (own runs on 20 KB: 1.6%)
LEAST_BATCH = 512  # tokens; below it a step is all overhead
MOST_DECAY = 2.0


def least_batch(floor: int, most_tokens: float) -> int:
    """Tokens of a step that keep the machine busy, or fewer where a small text would otherwise take too few steps."""
    if not math.isfinite(most_tokens):
        return floor
    return min(floor, max(LEAST_BATCH, 2 ** int(math.log2(max(1.0, most_tokens / FEW_STEPS)))))


def most_tokens(weights: int, corpus_bytes: int, bytes_per_token: float) -> float:
    """Tokens after which a GPT has learnt its text by heart: from then on held-out text gets worse.

    The more weights there are for each byte of text, the fewer times may it be read: about 6 times with 22 or 8, 7
    times with 4 (own runs on 20, 62 and 250 KB of English and of Chinese, the rate falling in a line to the end).
    """
    epochs = USEFUL_EPOCHS * (weights / max(corpus_bytes, 1)) ** -EPOCHS_FALL
    return max(epochs * corpus_bytes / bytes_per_token, FEW_STEPS * LEAST_BATCH / 2)


def weight_decay(epochs: float, weights: int, corpus_bytes: int) -> float:
    """Of matrices under Muon. Where a small text is read often by many weights, ten times the usual (own runs).

    On 62 KB, 0.44 million weights and 8 to 10 times: 2.81 bits per byte with 0.2, 2.75 with 1, 2.74 with 3. On 250 KB
    2 was no better than 0.2. That a strong decay suits repeated text: https://arxiv.org/abs/2509.14786.
    """
    if epochs < 2:
        return 0.1
    return 0.2 if epochs < 4 else min(MOST_DECAY, max(0.2, round(0.2 * weights / max(corpus_bytes, 1), 1)))


INHERITED_SHARE = 0.2  # of the text that a checkpoint has learnt from: as if it were of the kind at hand (own runs)
HEAD_COUNTS = 0.1  # of a layer's weight: a larger vocabulary helps less than as many weights in the layers (own runs)
USEFUL_WEIGHTS = 2.5  # a byte of text; on 1 MB, 3.5 million learnt no more than 2.6 million did (own runs)


def expected_bits_per_byte(
    weights: float,
    head: float,
    text_bytes: float,
    corpus_bytes: float,
    *,
    ngram_bits: float,
    ngram_bytes: float,
    ngram_fall: float,
) -> float:
    """Of a GPT trained by this house's recipe, anchored on the text's own n-gram figure and on how it falls.

    weights: of the layers; head: weights of the head, which count less; text_bytes: trained on, repeats counted;
    corpus_bytes: of the text itself. What counts reach on the text says how hard it is, and how they fall with more of
    it how much there is to learn; what the network makes of it depends on its size and on what it has seen, in the form
    E + A / N^a + B / D^b of arXiv:2203.15556. The constants are fitted to 40 of this project's own runs of 20 to 600 s
    on two cores, of which half are met within 2% (`python benchmarks/main_job.py` prints predicted against fact); the
    exponents keep N and D in step as they grow.
    """
    weights = min(weights + HEAD_COUNTS * head, max(USEFUL_WEIGHTS * corpus_bytes, 1.0))
    fresh = corpus_bytes * effective_epochs(text_bytes / max(corpus_bytes, 1.0))
    # The fall of the counts is followed for a limited way: no power law of a small part holds for ever.
    counted = ngram_bits * (min(fresh, 30 * ngram_bytes) / ngram_bytes) ** (-ngram_fall / 2)
    return counted * (0.746 + 0.053 * (weights / 1e6) ** -0.5 + 0.265 * (fresh / 1e6) ** -0.28)


# What an objective's headline is where a GPT would have so many bits per byte, from a handful of own runs of one to
# five minutes. Nats of a target are those of a GPT's token times END + START / sqrt(tokens): what is hidden has text on
# both sides, which counts for more the more was learnt.


def hidden_nats(bits_per_byte: float, bytes_per_token: float, tokens: float, *, end: float, start: float) -> float:
    """Nats of a hidden target where a GPT would have these bits per byte after so many tokens: those of its tokens
    times end + start / sqrt(tokens).
    """
    slower = end + start / math.sqrt(max(tokens, 1.0))
    return bits_per_byte * math.log(2) * bytes_per_token * slower


STEPS, LONG_RUN_TOKENS, GROWTH = 1700, 0.45e9, 0.55


def batch_tokens(tokens: float, floor: int) -> int:
    """Targets of a step: D / STEPS for short runs, growing as D^GROWTH after, a power of two."""
    best = tokens / STEPS if tokens < LONG_RUN_TOKENS else 2**18 * (tokens / LONG_RUN_TOKENS) ** GROWTH
    return max(floor, 2 ** round(math.log2(max(best, 1.0))))


def rate_factor(batch: int) -> float:
    """Learning rates against those of batches of 4,096 tokens: flat for small batches."""
    return 1.0 if batch <= 2**18 else (batch / 2**18) ** 0.5
