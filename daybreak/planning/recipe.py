"""Recipe: the optimizer and the schedule of a run, with the rates that are taken where nothing else is said."""

from dataclasses import fields

from daybreak.core.types import Corpus, OptimizerChoice, Origin, ScheduleChoice
from daybreak.engine import optimizers, scaling, schedules
from daybreak.models import families
from daybreak.models.families import Rates
from daybreak.planning.candidates import Candidate, same_domain
from daybreak.planning.reasons import REPEATED
from daybreak.planning.settings import Settings

INHERITED_LEAST = 0.05  # least share of the usual rates; also where a checkpoint's training is unknown
DISTANT_SHARE = 0.7  # share of the usual rates, where the text is of another domain
FREE_OVERHEAD = 0.2  # of a step for all of Muon's iterations; above it, further steps pay more


def recipe_of(
    corpus: Corpus, best: Candidate, tokens: float, settings: Settings
) -> tuple[OptimizerChoice, ScheduleChoice]:
    """How the chosen shape is trained on so many tokens. settings: what was set by name. Raises UsageError."""
    shape, family = best.shape, families.of(best.shape)
    size = corpus.bytes_per_token[str(best.tokenizer.vocabulary)]
    optimizer = optimizer_of(
        settings.get("optimizer") or family.optimizer,
        batch_tokens=best.batch_tokens,
        weight_decay=_weight_decay(corpus, best, tokens * size / corpus.bytes),
        width=shape.width,
        rates=family.rates,
        inherited=inherited_share(corpus.origin, tokens, best.bytes_per_token),
    )
    optimizer = optimizer.replace(**{k: v for k, v in settings.items() if k in _names(optimizer) and k != "name"})
    schedule = ScheduleChoice(
        name=settings.get("schedule", "linear"), warmup=warmup_of(optimizer.name), decay=0.7, floor=0.05
    )
    schedule = schedule.replace(**{k: v for k, v in settings.items() if k in _names(schedule) and k != "name"})
    optimizers.check(optimizer)
    schedules.check(schedule)
    return optimizer, schedule


def _names(value: OptimizerChoice | ScheduleChoice) -> set[str]:
    return {field.name for field in fields(value)}


def _weight_decay(corpus: Corpus, best: Candidate, epochs: float) -> float:
    if families.of(best.shape).fitted and corpus.origin is None:
        return scaling.weight_decay(epochs, best.shape.parameters(), corpus.bytes)
    return 0.1 if epochs < REPEATED else 0.2


def optimizer_of(
    name: str, *, batch_tokens: int, weight_decay: float, width: int, rates: Rates, inherited: float = 1.0
) -> OptimizerChoice:
    """An optimizer with the rates that are taken where nothing else is said.

    width: of the model. rates: of its family. inherited: of `inherited_share`.
    """
    factor, small = scaling.rate_factor(batch_tokens), rates.muon
    choice = OptimizerChoice(
        name=name,
        learning_rate=small if batch_tokens <= 16384 else min(small, 0.02) * factor,
        table_learning_rate=rates.tables * factor,
        weight_decay=weight_decay,
        momentum=0.95,
        orthogonalize_steps=5 if optimizers.overhead(width, batch_tokens, 5) < FREE_OVERHEAD else 3,
    )
    if name not in ("muon", "muon_rms"):
        choice = choice.replace(learning_rate=rates.one(name), table_learning_rate=rates.one(name))
    if rates.lowered:
        matrices, tables = inherited * choice.learning_rate, inherited * choice.table_learning_rate
        choice = choice.replace(learning_rate=matrices, table_learning_rate=tables)
    return choice


def inherited_share(origin: Origin | None, tokens: float, bytes_per_token: float) -> float:
    """Share of the usual learning rates for a pretrained checkpoint: large steps would undo its training.

    As if the run were the last part of one that had trained the checkpoint too, its rates falling in a line. In runs of
    60 s, 0.07 of the rates gave 6% fewer bits than 0.7 from a checkpoint of 20 minutes. A text of another kind leaves
    little of what was learnt to be kept.
    """
    if origin is None:
        return 1.0
    if not same_domain(origin, bytes_per_token):
        return DISTANT_SHARE
    if not origin.seen:
        return INHERITED_LEAST
    return max(INHERITED_LEAST, tokens / (tokens + origin.seen / origin.bytes_per_token))


def warmup_of(optimizer: str) -> float:
    """Share of the progress; Muon's steps are of one size from the first on."""
    return 0.0 if optimizer == "muon" else 0.02
