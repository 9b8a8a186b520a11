"""Cases: what is measured against what. Each case is a pair of plans, with something and without it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from daybreak import techniques
from daybreak.core.errors import UsageError, nearest
from daybreak.core.types import GptShape, Machine, Plan, TechniqueChoice
from daybreak.engine import optimizers
from daybreak.stages.plan import optimizer_of, warmup_of

TRAINING_SEAMS = ("module", "loss", "optimizer", "schedule", "step", "weights")
# Settings of the shape that can be compared, and their values.
CHOICES = {"norm": ("rms", "layer", "batch"), "positions": ("rotary", "learned", "sinusoidal", "alibi")}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`one` is with, `other` without; one of the two is the plan itself."""

    name: str
    kind: str  # "technique", "optimizer", "norm", "positions"
    claim: str  # the number that should move
    one: Plan
    other: Plan
    in_plan: bool = True
    note: str = ""  # why the planner left it out

    @property
    def changed(self) -> Plan:
        """The side that is not the plan."""
        return self.other if self.in_plan else self.one

    def starts_differ(self) -> bool:
        """Whether one side compiles and the other does not."""
        return (self.one.technique("compiled") is None) != (self.other.technique("compiled") is None)


def only_decodes(name: str) -> bool:
    """Whether a technique changes what is made of the weights, and not the weights. Raises UsageError."""
    kind = techniques.class_of(name)
    return hasattr(kind, "decode") and not any(hasattr(kind, seam) for seam in TRAINING_SEAMS)


def trained_part(plan: Plan) -> Plan:
    """The plan without what only changes decoding: counting n-grams takes time and teaches the network nothing."""
    return plan.replace(techniques=tuple(choice for choice in plan.techniques if not only_decodes(choice.name)))


def of_techniques(plan: Plan, machine: Machine, names: Sequence[str], include: Sequence[str]) -> list[Case]:
    """Leave one out for each name (none: all that train); add one for each of `include`.

    plan: of `trained_part`. Raises UsageError: an unknown technique, one that is off (or on already), one that only
    decodes, or one that this machine cannot use.
    """
    on = [choice.name for choice in plan.techniques]
    for name in (*names, *include):
        if only_decodes(name):
            raise UsageError(
                f"{name} changes what is decoded, not what is learnt",
                received=name,
                attempt="`daybreak report RUN`: its figure stands there beside that of the model alone",
            )
    for name in names:
        if name not in on:
            raise UsageError(
                f"the technique {name} is not on in this plan",
                received=f"--techniques {name}; on are {', '.join(on) or 'none'}",
                attempt=f"--with {name}, to try what it would gain",
            )
    wanted = [*names] or ([] if include else on)
    return [*(_left_out(plan, name) for name in dict.fromkeys(wanted)), *(_added(plan, machine, n) for n in include)]


def _left_out(plan: Plan, name: str) -> Case:
    rest = tuple(choice for choice in plan.techniques if choice.name != name)
    claim = techniques.class_of(name).claim
    return Case(name=name, kind="technique", claim=claim, one=plan, other=plan.replace(techniques=rest))


def _added(plan: Plan, machine: Machine, name: str) -> Case:
    kind = techniques.class_of(name)
    if plan.technique(name) is not None:
        raise UsageError(
            f"the technique {name} is on already", received=f"--with {name}", attempt=f"--techniques {name}"
        )
    technique = kind()
    if reason := technique.unusable(machine):
        raise UsageError(
            f"the technique {name} cannot be used here", received=f"--with {name}: {reason}", attempt="without it"
        )
    order = techniques.names()
    both = sorted((*plan.techniques, TechniqueChoice(name=name)), key=lambda choice: order.index(choice.name))
    return Case(
        name=name,
        kind="technique",
        claim=kind.claim,
        one=plan.replace(techniques=tuple(both)),
        other=plan,
        in_plan=False,
        note=technique.refuses(plan, machine) or "",
    )


def of_optimizers(plan: Plan) -> list[Case]:
    """Every optimizer in place of the plan's, at the rates that it usually takes: they are searched for afterwards."""

    def with_one(name: str) -> Plan:
        choice = optimizer_of(name, batch_tokens=plan.batch_tokens, weight_decay=plan.optimizer.weight_decay)
        return plan.replace(optimizer=choice, schedule=plan.schedule.replace(warmup=warmup_of(name)))

    return [
        _other(f"optimizer={name}", "optimizer", plan if name == plan.optimizer.name else with_one(name), plan)
        for name in optimizers.NAMES
    ]


def of_shapes(plan: Plan, field: str) -> list[Case]:
    """Every value of a field of the shape in place of the plan's. Raises UsageError: this version has no such field."""
    known = {f.name for f in fields(GptShape)}
    if field not in known:
        raise UsageError(
            "this version has only one kind of it", received=f"the setting {field}", attempt=nearest(field, known)
        )
    now = getattr(plan.shape, field)
    return [
        _other(f"{field}={value}", field, plan.replace(shape=plan.shape.replace(**{field: value})), plan)
        for value in CHOICES[field]
        if value != now
    ]


def _other(name: str, kind: str, one: Plan, other: Plan) -> Case:
    return Case(name=name, kind=kind, claim="bits_per_byte", one=one, other=other, in_plan=False)


def with_rates(plan: Plan, factor: float) -> Plan:
    """The plan at other rates."""
    choice = plan.optimizer
    return plan.replace(
        optimizer=choice.replace(
            learning_rate=factor * choice.learning_rate, table_learning_rate=factor * choice.table_learning_rate
        )
    )
