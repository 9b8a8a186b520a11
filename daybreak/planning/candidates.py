"""Candidates: the shapes that fit, with the speed and the loss that each is expected to have in the time."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from daybreak.core.errors import UsageError
from daybreak.core.shapes import NetworkShape, network_of
from daybreak.core.types import Corpus, Machine, Origin, TokenizerChoice
from daybreak.engine import scaling
from daybreak.models import families, ladder
from daybreak.models.checkpoints.special_tokens import specials_of
from daybreak.planning.settings import Settings
from daybreak.planning.speed import MODES, Speed, memory_bytes
from daybreak.planning.tokenizer_choice import choice_of, known_vocabulary

SMALLER_WITHIN = 0.003  # difference of predicted loss below which the smaller shape wins: it is safer in a slow hour
LEAST_OF_LONGEST = 0.8  # bytes per token against the largest vocabulary's; shorter tokens blur what is counted
TIE_ABOVE_EPOCHS = 2.0  # over the text: then fewer weights learn more of it that holds elsewhere
STEP_TOKENS_FLOOR = {"cpu": 2048, "cuda": 16384}
SAME_DOMAIN = 0.75  # bytes per token against those on the checkpoint's text; with less, the domain is another
CONTEXTS_PAY_FROM = (5e5, 5e7, 1e9, 1e10)  # tokens that are seen, for each of ladder.CONTEXTS but the first
MICRO_BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A shape with a vocabulary, how its layers run, and the loss that is predicted for it."""

    shape: NetworkShape
    mode: str
    mode_seconds: float  # until the first step
    compile_seconds: float  # that torch.compile takes, whether or not it is used
    compiled_speedup: float
    tokenizer: TokenizerChoice
    micro_batch: int
    batch_tokens: int
    tokens_per_second: float
    tokens: float
    bits_per_byte: float  # predicted for a GPT; shapes are ranked by it
    bytes_per_token: float
    most_tokens: float  # beyond which training is not worth its time

    def epochs(self, corpus: Corpus) -> float:
        """Times that the text is read."""
        return self.tokens * self.bytes_per_token / corpus.bytes


def candidates(
    corpus: Corpus,
    machine: Machine,
    speed: "Speed",
    settings: Settings,
    available: float,
    *,
    family: str = "gpt",
    modes: tuple[str, ...],
    timed_only: bool,
) -> Iterator[Candidate]:
    """Every rung with every vocabulary that was measured on the text, or with those that were set.

    modes: the ways in which layers may run. timed_only: those in which this probe has timed a shape, if any. Raises
    UsageError where no rung goes together with what was set.
    """
    record = families.named(family)
    fields = record.fields() if record.rung is not None else ()
    shape_settings = {name: value for name, value in settings.items() if name in fields}
    wanted = settings.get("vocabulary") if "vocabulary" in fields else None
    shape_settings.pop("vocabulary", None)
    measured = {int(vocabulary): size for vocabulary, size in corpus.bytes_per_token.items()}
    most = max(measured.values())
    worthwhile = [size for size, bytes_per_token in measured.items() if bytes_per_token >= LEAST_OF_LONGEST * most]
    if corpus.origin is not None:
        yield _inherited(corpus, corpus.origin, machine, speed, settings, available, modes=modes, timed_only=timed_only)
        return
    seen, wrong, possible = set(), None, False
    for vocabulary in worthwhile if wanted is None else [known_vocabulary(wanted, corpus)]:
        for layers, width in ladder.RUNGS:
            size = settings.get("layers", layers), settings.get("width", width)
            tokens = settings.get("tokens") or _expected_tokens(machine, available, *size)
            epochs = tokens * measured[vocabulary] / max(corpus.bytes, 1)
            tied = {"tied": True} if record.fitted and epochs > TIE_ABOVE_EPOCHS else {}
            choice = tokenizer_of(corpus, vocabulary, family)
            assert record.rung is not None
            make = functools.partial(record.rung, *size, vocabulary=choice.rows(), changes={**tied, **shape_settings})
            # What more time would bring beyond that is not trained on, so it is no reason for a longer context.
            smallest = make(context_length=ladder.CONTEXTS[0])
            tokens = min(tokens, _most_tokens(corpus, smallest, measured[vocabulary], settings))
            shape = make(context_length=_context(tokens))
            try:
                shape.check()
            except UsageError as error:  # what was set may go together with another rung
                wrong = wrong or error
                continue
            possible = True
            if shape in seen or 16 * shape.parameters() > 0.6 * machine.memory_bytes:
                continue
            seen.add(shape)
            yield _rated(corpus, machine, speed, shape, choice, settings, available, modes=modes, timed_only=timed_only)
    if wrong is not None and not possible:
        raise wrong


def _inherited(
    corpus: Corpus,
    origin: Origin,
    machine: Machine,
    speed: "Speed",
    settings: Settings,
    available: float,
    *,
    modes: tuple[str, ...],
    timed_only: bool,
) -> Candidate:
    """The shape of the checkpoint, in windows for as many tokens as it will see, or as were set."""
    given = network_of(origin.shape)
    assert given is not None
    tokens = settings.get("tokens") or _expected_tokens(machine, available, given.layers, given.width)
    length = min(given.context_length, settings.get("context_length") or _context(tokens))
    choice = choice_of(corpus, max(int(vocabulary) for vocabulary in corpus.bytes_per_token))
    choice = choice.replace(specials=origin.specials)
    shape = given.replace(context_length=length)
    return _rated(corpus, machine, speed, shape, choice, settings, available, modes=modes, timed_only=timed_only)


def _rated(
    corpus: Corpus,
    machine: Machine,
    speed: "Speed",
    shape: NetworkShape,
    tokenizer: TokenizerChoice,
    settings: Settings,
    available: float,
    *,
    modes: tuple[str, ...],
    timed_only: bool,
) -> Candidate:
    """The candidate in the execution mode that trains most tokens in the time left after its startup."""
    family = families.of(shape)
    if not family.kernels_fit(shape):
        modes = tuple(mode for mode in modes if mode != "kernels")
    elif "kernels" in modes:  # as fast as what is compiled, without the wait
        modes = ("kernels",)
    timed = [mode for mode in modes if (shape.key(), mode) in speed.timed] if timed_only else []
    rates = {mode: speed.tokens_per_second(shape, mode) for mode in MODES}
    trained = {mode: rates[mode] * max(available - speed.ready_seconds(shape, mode), 0.1) for mode in timed or modes}
    mode = max(trained, key=lambda mode: trained[mode])
    rate, tokens = rates[mode], float(settings.get("tokens") or max(1.0, trained[mode]))
    floor = STEP_TOKENS_FLOOR.get(machine.kind, 4096)
    size = corpus.bytes_per_token[str(tokenizer.vocabulary)]
    worthwhile = _most_tokens(corpus, shape, size, settings)
    floor = scaling.least_batch(floor, worthwhile)
    tokens = tokens if settings.get("tokens") else min(tokens, worthwhile)
    batch = settings.get("batch_tokens") or family.steps_merged * scaling.batch_tokens(tokens, floor)
    most = MICRO_BATCH_TOKENS.get(machine.kind, 8192)
    return Candidate(
        shape=shape,
        mode=mode,
        mode_seconds=speed.ready_seconds(shape, mode),
        compile_seconds=speed.ready_seconds(shape, "compiled"),
        compiled_speedup=rates["compiled"] / rates["eager"],
        tokenizer=tokenizer,
        micro_batch=settings.get("micro_batch") or _micro_batch(shape, machine, min(batch, most), mode),
        batch_tokens=max(batch, shape.context_length),
        tokens_per_second=rate,
        tokens=tokens,
        bits_per_byte=expected_bits(corpus, shape, tokens, size),
        bytes_per_token=size,
        most_tokens=worthwhile,
    )


def expected_bits(corpus: Corpus, shape: NetworkShape, tokens: float, bytes_per_token: float) -> float:
    """Bits per byte of a GPT of this size after so many tokens of the text."""
    head, origin = shape.vocabulary * shape.width, corpus.origin
    known = origin is not None and same_domain(origin, bytes_per_token)
    inherited = scaling.INHERITED_SHARE * origin.seen if origin is not None and known else 0.0
    return scaling.expected_bits_per_byte(
        shape.matmul_parameters() - head,
        head,
        tokens * bytes_per_token + inherited,
        corpus.bytes + inherited,
        ngram_bits=corpus.ngram_bits_per_byte,
        ngram_bytes=corpus.ngram_bytes,
        ngram_fall=corpus.ngram_fall,
    )


def _most_tokens(corpus: Corpus, shape: NetworkShape, size: float, settings: Settings) -> float:
    """Tokens that are worth training on; infinite where nobody has measured it."""
    if settings.get("tokens"):
        return math.inf
    if settings.get("epochs"):
        return max(1.0, settings["epochs"] * corpus.bytes / size)
    if not families.of(shape).fitted or corpus.origin is not None:
        return math.inf
    return scaling.most_tokens(shape.parameters(), corpus.bytes, size)


def same_domain(origin: Origin, bytes_per_token: float) -> bool:
    """Whether a text is of the kind that a checkpoint has learnt from, by how its tokens fit; those were not grown."""
    return not origin.grown and bytes_per_token > SAME_DOMAIN * origin.bytes_per_token


def tokenizer_of(corpus: Corpus, vocabulary: int, family: str) -> TokenizerChoice:
    """With the special tokens of the family behind its own."""
    choice = choice_of(corpus, vocabulary)
    return choice.replace(specials=specials_of(family, vocabulary))


def _micro_batch(shape: NetworkShape, machine: Machine, tokens: int, mode: str) -> int:
    """Rows that fill the products without filling the memory."""
    rows = max(1, tokens // shape.context_length)
    while rows > 1 and memory_bytes(shape, rows, mode) > 0.8 * machine.memory_bytes:
        rows //= 2
    return rows


def _expected_tokens(machine: Machine, training: float, layers: int, width: int) -> float:
    """A rough estimate of the training tokens, needed before a shape can be rated."""
    rate = max(machine.matmul_flops.values(), default=1e11)
    return 0.3 * rate * max(training, 1.0) / (72 * layers * width**2)


def _context(tokens: float) -> int:
    """Context length: short for few training tokens. At T = 6 d attention costs as much as the weights do."""
    context = ladder.CONTEXTS[0]
    for length, least_tokens in zip(ladder.CONTEXTS[1:], CONTEXTS_PAY_FROM, strict=True):
        if tokens >= least_tokens:
            context = length
    return context


def best_of(candidates: list[Candidate]) -> Candidate:
    lowest = min(candidate.bits_per_byte for candidate in candidates)
    near = [c for c in candidates if c.bits_per_byte <= lowest * (1 + SMALLER_WITHIN)]
    return min(near, key=lambda c: (c.shape.matmul_parameters(), c.bits_per_byte))
