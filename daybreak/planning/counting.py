"""Counting: the plan of an n-gram model, which needs no torch."""

from daybreak.core.metrics import BITS_PER_BYTE
from daybreak.core.shapes import NgramShape
from daybreak.core.types import Budget, Corpus, OptimizerChoice, Plan, Prediction, Request, ScheduleChoice
from daybreak.models.ngram.cost import counting_bytes
from daybreak.planning.settings import parsed
from daybreak.planning.tokenizer_choice import choice_of, known_vocabulary

LIBRARY_BYTES = 3e8  # memory of numpy, tokenizers and a sample of the text


def counting_plan(corpus: Corpus, request: Request, *, instead: str = "", held_bytes: int = 0) -> Plan:
    """The plan of the family ngram: its unit is the byte, or a token where characters take several bytes.

    instead: why no network is trained, where one was asked for. held_bytes: memory of this process, where it is known.
    Raises UsageError: an unknown setting or vocabulary.
    """
    settings = parsed(request)
    wide = corpus.ngram_unit == "character"
    if request.tokenizer != "auto":
        best = max(int(v) for v in corpus.bytes_per_token)
    else:
        best = max((int(v) for v in corpus.bytes_per_token if int(v) <= 8192), default=257) if wide else 257
    vocabulary = known_vocabulary(settings.get("vocabulary", best), corpus)
    wide = vocabulary != 257
    order = settings.get("order") or (4 if wide else 8)
    tokens = int(corpus.bytes / corpus.bytes_per_token[str(vocabulary)])
    counting = counting_bytes(tokens, order=order, vocabulary=vocabulary)
    return Plan(
        objective="next_token",
        metric=BITS_PER_BYTE,
        corpus=corpus.digest,
        tokenizer=choice_of(corpus, vocabulary),
        shape=NgramShape(order=order, unit="token" if wide else "byte", vocabulary=vocabulary),
        budget=Budget(clock="seconds", seconds=request.seconds, until=request.until),
        tokens=tokens,
        batch_tokens=0,
        micro_batch=0,
        optimizer=OptimizerChoice(
            name="muon",
            learning_rate=0.0,
            table_learning_rate=0.0,
            weight_decay=0.0,
            momentum=0.0,
            orthogonalize_steps=0,
        ),
        schedule=ScheduleChoice(name="constant", warmup=0.0, decay=0.0, floor=0.0),
        techniques=(),
        refused={},
        seed=request.seed,
        reproducible=request.reproducible,
        evaluation_bytes=corpus.heldout_bytes,
        predicted=Prediction(
            tokens_per_second=1e6,
            figure=corpus.ngram_bits_per_byte,
            figure_low=corpus.ngram_bits_per_byte * 0.9,
            figure_high=corpus.ngram_bits_per_byte * 1.1,
            memory_bytes=int((held_bytes or LIBRARY_BYTES) + counting),
            corpus_tokens=tokens,
            bytes_per_token=corpus.bytes_per_token[str(vocabulary)],
            mode="eager",
            compile_seconds=0.0,
            compiled_speedup=1.0,
            phase_seconds={},
        ),
        reasons=_reasons(request, order=order, tokens=wide) | ({"family": instead} if instead else {}),
        request=request.shown(),
    )


def _reasons(request: Request, *, order: int, tokens: bool) -> dict[str, str]:
    unit = "tokens" if tokens else "bytes"
    return {
        "family": "n-grams are counted, and no network is trained",
        "shape": f"order {order}: each of the {unit} is predicted from up to {order - 1} before it",
    } | {name: f"you set {name}={request.settings[name]}" for name in sorted(request.settings)}
