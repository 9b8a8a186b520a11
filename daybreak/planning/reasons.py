"""Reasons: one plain sentence for each decision of a plan, made of the same figures that the decision was made of."""

import math
from collections.abc import Sequence

from daybreak.core import units
from daybreak.core.types import Corpus, Machine, Request, ScheduleChoice
from daybreak.engine import optimizers, scaling
from daybreak.models import families, ladder
from daybreak.planning.candidates import (
    CONTEXTS_PAY_FROM,
    MICRO_BATCH_TOKENS,
    SMALLER_WITHIN,
    STEP_TOKENS_FLOOR,
    Candidate,
)
from daybreak.planning.choice import Choice
from daybreak.tasks import task_of

USUAL_DECAY = 0.2  # weight decay for texts that are read several times; small ones need more
REPEATED = 2  # times that a text is read, from which on the weights decay faster
WIDER = 1.2  # times as slow, from which on the range of the figure has a reason of its own
DECAYING = ("muon", "muon_rms", "adamw", "adamw_rms")
KINDS = {"bpe": "BPE", "bytes": "bytes", "unigram": "Unigram", "wordpiece": "WordPiece"}


def reasons_of(choice: Choice, *, slower: float = 1.0) -> dict[str, str]:
    """By the name of the decision. What the user has set is said to be that, and nothing else is.

    slower: times by which steps may turn out slower than was measured.
    """
    corpus, machine, request, best, pool = choice.corpus, choice.machine, choice.request, choice.best, choice.pool
    optimizer, phases, epochs = choice.optimizer, choice.predicted.phase_seconds, choice.epochs()
    shape = best.shape
    overfits_beyond = best.tokens == best.most_tokens and "epochs" not in request.settings
    reasons = {
        "family": _family(corpus, request, best),
        "shape": _shape(request, best, pool, timed=choice.timed),
        "tokens": f"{units.count(best.tokens)} tokens at {best.tokens_per_second:,.0f} per second: "
        f"{epochs:.2f} epochs, {best.tokens / shape.matmul_parameters():.1f} tokens per parameter"
        + ("; more epochs would overfit so small a text" if overfits_beyond else ""),
        "vocabulary": _vocabulary(corpus, request, best),
        "context_length": _context_length(corpus, best),
        "batch_tokens": _batch_tokens(machine, best),
        "micro_batch": _micro_batch(machine, best),
        "optimizer": f"{optimizer.name}: lowest loss in equal time for this family in our own measurements",
        "schedule": _schedule(choice.schedule),
        "evaluation": f"{units.duration(phases['the end'])} for the final score, "
        f"{units.duration(phases['validation'])} for scores during training",
    }
    if optimizer.name.startswith("muon"):
        reasons["orthogonalize_steps"] = _orthogonalize_steps(best, optimizer.orthogonalize_steps)
    if optimizer.name in DECAYING:
        reasons["weight_decay"] = _weight_decay(corpus, best, epochs, optimizer.weight_decay)
    if slower >= WIDER:
        reasons["range"] = f"wide: the machine is busy, so steps may be {slower:.1f} times as slow as measured"
    if not shape.native():
        left = ", ".join(f"{name}={value}" for name, value in shape.not_in_transformers().items())
        reasons["native"] = f"no: transformers has no class with {left}, so only daybreak can open model/"
    return reasons | {name: f"you set {name}={request.settings[name]}" for name in sorted(request.settings)}


def _weight_decay(corpus: Corpus, best: Candidate, epochs: float, decay: float) -> str:
    if decay > USUAL_DECAY:
        dense = best.shape.parameters() / max(corpus.bytes, 1)
        return f"{decay:g}: strong, against overfitting: {epochs:.2f} epochs, {dense:.1f} parameters per byte of text"
    more = "at least" if epochs >= REPEATED else "fewer than"
    return f"{decay:g}: the usual value for {more} {REPEATED} epochs; this run has {epochs:.2f}"


def _family(corpus: Corpus, request: Request, best: Candidate) -> str:
    shape = best.shape
    objective = families.of(shape).objective
    headline = task_of(objective).metric
    whose = "from the checkpoint" if corpus.origin is not None else "as asked"
    if not headline.of_text:
        return f"{whose}; scored by {headline.name}, so it cannot be compared with n-gram counts"
    bits = families.of(shape).bits * best.bits_per_byte
    figure = task_of(objective).expected(bits, best.bytes_per_token, best.tokens)
    counts = corpus.ngram_bits_per_byte
    told = f"predicted {figure:.2f} bits per byte; "
    told += f"n-gram counts reached {counts:.2f} on {units.size(corpus.ngram_bytes)}"
    better = "; --family ngram may be the better model in this time" if counts < figure else ""
    return (f"{whose}; " if corpus.origin is not None else "") + told + better


def _shape(request: Request, best: Candidate, pool: Sequence[Candidate], *, timed: bool) -> str:
    shape, size = best.shape, _size(best)
    if request.parent:
        return f"{size}, as in the checkpoint"
    whose = "" if families.of(shape).fitted else " for a GPT of this size"
    told = f"{size}: predicted {best.bits_per_byte:.3f} bits per byte{whose}"
    others = [c for c in pool if (c.shape.layers, c.shape.width) != (shape.layers, shape.width)]
    if not others:
        free = {"layers", "width"} - request.settings.keys()
        why = "the only size that was timed" if timed and free else "no other size was left to choose from"
        return f"{told}; {why}"
    rival = min(others, key=lambda c: c.bits_per_byte)
    other = _size(rival)
    if rival.bits_per_byte >= best.bits_per_byte:
        return f"{told}; next best size ({other}): {rival.bits_per_byte:.3f}"
    return (
        f"{told}; {other}: {rival.bits_per_byte:.3f}, but the smallest size within {SMALLER_WITHIN:.1%} of the best is "
        "used"
    )


def _size(candidate: Candidate) -> str:
    shape = candidate.shape
    return f"{shape.layers_in_words()} layers of {shape.width}"


def _vocabulary(corpus: Corpus, request: Request, best: Candidate) -> str:
    choice, shape = best.tokenizer, best.shape
    kind = KINDS.get(choice.kind, choice.kind)
    if corpus.origin is not None:
        kind = "the checkpoint's tokenizer"
    elif choice.kind == "file":
        kind = "the tokenizer of the file"
    share = shape.vocabulary * shape.width / shape.matmul_parameters()
    return (
        f"{kind} with {choice.vocabulary:,} tokens, {best.bytes_per_token:.2f} bytes each; the output layer has "
        f"{share:.0%} of the matrix parameters"
    )


def _context_length(corpus: Corpus, best: Candidate) -> str:
    length = best.shape.context_length
    if corpus.origin is not None and length == corpus.origin.shape.context_length:  # type: ignore[attr-defined]
        return f"{length} tokens, the longest context of the checkpoint"
    steps = zip(ladder.CONTEXTS[1:], CONTEXTS_PAY_FROM, strict=True)
    longer = [(size, least) for size, least in steps if size > length]
    if not longer or length >= (families.of(best.shape).longest_context or math.inf):
        return f"{length} tokens, the longest that is planned"
    size, least = longer[0]
    return f"{length} tokens; {size} pay off in runs of about {units.count(least)} tokens or more"


def _batch_tokens(machine: Machine, best: Candidate) -> str:
    told = f"{best.batch_tokens:,} tokens per step"
    busy, merged = STEP_TOKENS_FLOOR.get(machine.kind, 4096), families.of(best.shape).steps_merged
    least = scaling.least_batch(busy, best.most_tokens)
    base = scaling.batch_tokens(best.tokens, least)
    if merged * base < best.batch_tokens:
        return f"{told}: one sequence"
    twice = f", times {merged}, because few tokens are targets" if merged > 1 else ""
    if base == least < busy:
        return f"{told}: small enough for about {scaling.FEW_STEPS} steps on a small text{twice}"
    if base == least:
        return f"{told}: the smallest batch that keeps the machine busy{twice}"
    if best.tokens < scaling.LONG_RUN_TOKENS:
        return f"{told}: about 1/{scaling.STEPS:,} of all tokens, rounded to a power of two{twice}"
    return f"{told}: grows with the {scaling.GROWTH:g}th power of all tokens, rounded to a power of two{twice}"


def _micro_batch(machine: Machine, best: Candidate) -> str:
    rows, length = best.micro_batch, best.shape.context_length
    told = f"{rows} sequence{'s' if rows > 1 else ''} at a time"
    if rows * length >= best.batch_tokens:
        return f"{told}: a whole step"
    if rows >= min(best.batch_tokens, MICRO_BATCH_TOKENS.get(machine.kind, 8192)) // length:
        return f"{told}: {rows * length:,} tokens keep the machine busy and still fit its caches"
    return f"{told}: more would not fit into memory"


def _orthogonalize_steps(best: Candidate, steps: int) -> str:
    share = optimizers.overhead(best.shape.width, best.batch_tokens, steps)
    full = optimizers.overhead(best.shape.width, best.batch_tokens, 5)
    told = f"{steps} iterations add {share:.1%} to the compute of a step"
    return told if steps >= 5 else f"{told}; 5 would add {full:.1%}"


def _schedule(schedule: ScheduleChoice) -> str:
    floor = f"{schedule.floor:.0%} of its peak"
    told = {
        "linear": f"the learning rate falls linearly over the last {schedule.decay:.0%} of the run to {floor}",
        "cosine": f"the learning rate falls along half a cosine to {floor}",
        "constant": "the learning rate stays constant",
        "inverse_sqrt": f"the learning rate falls with the inverse square root of the progress, down to {floor}",
        "plateau": f"the learning rate is halved whenever the loss stops falling, down to {floor}",
    }
    return f"{schedule.name}: {told[schedule.name]}"
