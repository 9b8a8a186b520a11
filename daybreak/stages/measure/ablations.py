"""Cases: what is measured against what. Each case is a pair of plans, with something and without it."""

from collections.abc import Sequence
from dataclasses import dataclass

from daybreak import techniques
from daybreak.core.errors import UsageError
from daybreak.core.shapes import NetworkShape
from daybreak.core.types import Machine, Plan, Request, TechniqueChoice
from daybreak.engine import optimizers
from daybreak.models import families
from daybreak.planning.execution_modes import in_mode, mode_of, suited, without_mode
from daybreak.planning.recipe import inherited_share, optimizer_of, warmup_of

TRAINING_SEAMS = ("module", "loss", "optimizer", "schedule", "step", "weights")


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

    def modes(self) -> tuple[str, str]:
        """How the layers run, with and without."""
        return mode_of(self.one), mode_of(self.other)

    def starts_measured(self) -> bool:
        """Whether both sides are started in processes of their own: for their start, or for their memory."""
        return self.starts_differ() or self.claim == "memory_bytes"

    def starts_differ(self) -> bool:
        """Whether the sides compile something else, or one of them nothing."""
        one, other = self.modes()
        return one != other


def only_decodes(name: str) -> bool:
    """Whether a technique changes what is made of the weights, and not the weights. Raises UsageError."""
    kind = techniques.class_of(name)
    return hasattr(kind, "decode") and not any(hasattr(kind, seam) for seam in TRAINING_SEAMS)


def cleans(name: str) -> bool:
    """Whether a technique changes the text, of which there is one here. Raises UsageError."""
    return hasattr(techniques.class_of(name), "documents")


def trained_part(plan: Plan) -> Plan:
    """The plan without what only changes decoding, which takes time and teaches nothing, and what changes the text."""
    there = (choice for choice in plan.techniques if not only_decodes(choice.name) and not cleans(choice.name))
    return plan.replace(techniques=tuple(there))


def of_techniques(plan: Plan, machine: Machine, names: Sequence[str], include: Sequence[str]) -> list[Case]:
    """Leave one out for each name (none: all that train); add one for each of `include`.

    plan: of `trained_part`. Raises UsageError: an unknown technique, one that is off (or on already), one that only
    decodes, or one that this machine cannot use.
    """
    on = [choice.name for choice in plan.techniques]
    for name in (*names, *include):
        if only_decodes(name):
            raise UsageError(
                f"{name} changes decoding, not training",
                received=name,
                attempt="`daybreak report RUN`: its figure stands there beside that of the model alone",
            )
        if cleans(name):
            raise UsageError(
                f"{name} changes the text, and a measurement needs the same text throughout",
                received=name,
                attempt=f"two runs with the same --heldout FILE, one --without {name}, and `daybreak compare`",
            )
    for name in names:
        if name not in on:
            raise UsageError(
                f"the plan does not use the technique {name}",
                received=f"--techniques {name}; on are {', '.join(on) or 'none'}",
                attempt=f"--with {name}, to try what it would gain",
            )
    wanted = [*names] or ([] if include else on)
    left_out = [_left_out(plan, machine, name) for name in dict.fromkeys(wanted)]
    return [*left_out, *(_added(plan, machine, name) for name in dict.fromkeys(include))]


def _left_out(plan: Plan, machine: Machine, name: str) -> Case:
    if name == mode_of(plan):
        other = without_mode(plan, machine)
    else:
        other = plan.replace(techniques=tuple(choice for choice in plan.techniques if choice.name != name))
    return Case(name=name, kind="technique", claim=techniques.class_of(name).claim, one=plan, other=other)


def _added(plan: Plan, machine: Machine, name: str) -> Case:
    kind = techniques.class_of(name)
    if plan.technique(name) is not None:
        raise UsageError(
            f"the plan already uses the technique {name}", received=f"--with {name}", attempt=f"--techniques {name}"
        )
    technique = kind()
    one, reason = plan, techniques.unfit(name, plan) or technique.unusable(machine)
    if reason is None and name in ("compiled", "kernels"):
        one = in_mode(plan, machine, name)
        if one.technique(name) is None:
            reason = technique.refuses(one, machine) or "another technique changes what is inside the layers"
    elif reason is None:
        order = techniques.names()
        both = sorted((*plan.techniques, TechniqueChoice(name=name)), key=lambda choice: order.index(choice.name))
        one, reason = _reshaped(plan.replace(techniques=tuple(both)), name)
        one = suited(one, machine)
    if reason is not None:
        raise UsageError(
            f"the technique {name} cannot be used here", received=f"--with {name}: {reason}", attempt="without it"
        )
    note = technique.refuses(plan, machine) or ""
    return Case(name=name, kind="technique", claim=kind.claim, one=one, other=plan, in_plan=False, note=note)


def _reshaped(plan: Plan, name: str) -> tuple[Plan, str | None]:
    """The plan with the shape that a technique makes of it, or the reason that it makes none."""
    technique = techniques.class_of(name)()
    if not hasattr(technique, "shape"):
        return plan, None
    request = plan.request or Request(sources=(), seconds=plan.budget.seconds)
    shape, _ = techniques.fold([(name, technique)], "shape", plan.shape, request)
    if shape == plan.shape:
        return plan, "what it would change of the shape is set"
    return plan.replace(shape=shape), None


def of_optimizers(plan: Plan) -> list[Case]:
    """Every optimizer in place of the plan's, at the rates that it usually takes: they are searched for afterwards."""
    shape = plan.network

    def with_one(name: str) -> Plan:
        choice = optimizer_of(
            name,
            batch_tokens=plan.batch_tokens,
            weight_decay=plan.optimizer.weight_decay,
            width=shape.width,
            rates=families.of(shape).rates,
            inherited=inherited_share(plan.origin, plan.tokens, plan.predicted.bytes_per_token),
        )
        return plan.replace(optimizer=choice, schedule=plan.schedule.replace(warmup=warmup_of(name)))

    return [
        _other(f"optimizer={name}", "optimizer", plan if name == plan.optimizer.name else with_one(name), plan)
        for name in optimizers.NAMES
    ]


def of_shapes(plan: Plan, machine: Machine, field: str) -> list[Case]:
    """Every value of a field of the shape ("norm", "positions") in place of the plan's, where it goes with the rest.

    Not every shape can run as the plan's does: what is lost by that is part of what the value costs.
    """
    choices = plan.network.CHOICES.get(field, ())
    if field not in plan.network.OPTIONS:
        raise UsageError(
            f"models of the family {plan.shape.family} have only one kind of {field}",
            received=f"--{'norms' if field == 'norm' else field}",
            attempt="a run of the family gpt",
        )
    shapes = {value: plan.network.replace(**{field: value}) for value in choices}
    return [
        _other(f"{field}={value}", field, suited(plan.replace(shape=shape), machine), plan)
        for value, shape in shapes.items()
        if shape != plan.shape and _goes_together(shape)
    ]


def _goes_together(shape: NetworkShape) -> bool:
    try:
        shape.check()
    except UsageError:
        return False
    return True


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
