"""Ablations: the pairs of plans to measure, each with and without one technique or one decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from daybreak import techniques
from daybreak.core import former_techniques
from daybreak.core.errors import UsageError, nearest
from daybreak.core.shapes import NetworkShape
from daybreak.core.types import Machine, Plan, Request, TechniqueChoice
from daybreak.engine import optimizers
from daybreak.models import families
from daybreak.planning.execution_modes import in_mode, mode_of, suited, without_mode
from daybreak.planning.recipe import inherited_share, optimizer_of, warmup_of
from daybreak.planning.settings import parsed

TRAINING_SEAMS = ("module", "loss", "optimizer", "schedule", "step", "weights")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two plans that differ in one thing: `with_` has it, `without` does not. One of the two is the run's own plan."""

    name: str
    kind: str  # "technique", "optimizer", or a field of the shape, such as "norm"
    claim: str  # the number that should move
    with_: Plan
    without: Plan
    in_plan: bool = True
    note: str = ""  # why the planner left it out

    @property
    def changed(self) -> Plan:
        """The plan of the two that is not the run's own."""
        return self.without if self.in_plan else self.with_

    def modes(self) -> tuple[str, str]:
        """The execution mode of the layers, with and without."""
        return mode_of(self.with_), mode_of(self.without)

    def starts_measured(self) -> bool:
        """Whether both plans are started in processes of their own, to measure the start or the memory."""
        return self.starts_differ() or self.claim == "memory_bytes"

    def starts_differ(self) -> bool:
        """Whether the two plans compile different things, or only one of them compiles."""
        mode_with, mode_without = self.modes()
        return mode_with != mode_without


def only_decodes(name: str) -> bool:
    """Whether a technique changes decoding alone and not the trained weights. Raises UsageError."""
    kind = techniques.class_of(name)
    return hasattr(kind, "decode") and not any(hasattr(kind, seam) for seam in TRAINING_SEAMS)


def cleans(name: str) -> bool:
    """Whether a technique changes the text; all trials need the same text. Raises UsageError."""
    return hasattr(techniques.class_of(name), "documents")


def trained_part(plan: Plan) -> Plan:
    """The plan without the techniques that change only decoding or the text: trials measure training."""
    there = (choice for choice in plan.techniques if not only_decodes(choice.name) and not cleans(choice.name))
    return plan.replace(techniques=tuple(there))


def of_techniques(plan: Plan, machine: Machine, names: Sequence[str], include: Sequence[str]) -> list[Case]:
    """Cases that leave out each of `names` (none given: each technique that changes training) or add each of `include`.

    plan: the result of `trained_part`. Raises UsageError: an unknown technique, one that is off (or on already), one
    that changes only decoding, or one that this machine cannot use.
    """
    on = [choice.name for choice in plan.techniques]
    for name in (*names, *include):
        if name in former_techniques.FIELDS:
            field, value = former_techniques.FIELDS[name]
            raise UsageError("the technique no longer exists", received=name, attempt=f"use --try {field}={value}")
        if only_decodes(name):
            raise UsageError(
                f"{name} changes decoding, not training",
                received=name,
                attempt="see `daybreak report RUN`: it shows the score with it beside the score of the model alone",
            )
        if cleans(name):
            raise UsageError(
                f"{name} changes the text, and a measurement needs the same text throughout",
                received=name,
                attempt=f"make two runs with the same --heldout FILE, one of them --without {name}, and "
                "`daybreak compare` them",
            )
    for name in names:
        if name not in on:
            raise UsageError(
                f"the plan does not use the technique {name}",
                received=f"--techniques {name}; on are {', '.join(on) or 'none'}",
                attempt=f"--with {name}, to measure what it would gain",
            )
    wanted = [*names] or ([] if include else on)
    left_out = [_left_out(plan, machine, name) for name in dict.fromkeys(wanted)]
    return [*left_out, *(_added(plan, machine, name) for name in dict.fromkeys(include))]


def _left_out(plan: Plan, machine: Machine, name: str) -> Case:
    if name == mode_of(plan):
        without = without_mode(plan, machine)
    else:
        without = plan.replace(techniques=tuple(choice for choice in plan.techniques if choice.name != name))
    return Case(name=name, kind="technique", claim=techniques.class_of(name).claim, with_=plan, without=without)


def _added(plan: Plan, machine: Machine, name: str) -> Case:
    kind = techniques.class_of(name)
    if plan.technique(name) is not None:
        raise UsageError(
            f"the plan already uses the technique {name}",
            received=f"--with {name}",
            attempt=f"measure it with --techniques {name}",
        )
    technique = kind()
    added, reason = plan, techniques.unfit(name, plan) or technique.unusable(machine)
    if reason is None and name in ("compiled", "kernels"):
        added = in_mode(plan, machine, name)
        if added.technique(name) is None:
            reason = technique.refuses(added, machine) or "another technique changes the inside of the layers"
    elif reason is None:
        order = techniques.names()
        both = sorted((*plan.techniques, TechniqueChoice(name=name)), key=lambda choice: order.index(choice.name))
        added = suited(plan.replace(techniques=tuple(both)), machine)
    if reason is not None:
        raise UsageError(
            f"the technique {name} cannot be used here", received=f"--with {name}: {reason}", attempt="leave it out"
        )
    note = technique.refuses(plan, machine) or ""
    return Case(name=name, kind="technique", claim=kind.claim, with_=added, without=plan, in_plan=False, note=note)


def of_optimizers(plan: Plan) -> list[Case]:
    """A case for every optimizer in place of the plan's, at its usual learning rates; a search follows."""
    shape = plan.network

    def with_optimizer(name: str) -> Plan:
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
        _replaced(f"optimizer={name}", "optimizer", plan if name == plan.optimizer.name else with_optimizer(name), plan)
        for name in optimizers.NAMES
    ]


def of_shapes(plan: Plan, machine: Machine, field: str) -> list[Case]:
    """A case for every other value of a field of the shape ("norm", "positions") that the rest of the shape allows.

    A shape that cannot run in the plan's execution mode runs in the next best: the slower steps count against it.
    """
    choices = plan.network.CHOICES.get(field, ())
    if field not in plan.network.OPTIONS:
        raise UsageError(
            f"models of the family {plan.shape.family} have only one kind of {field}",
            received=f"--{'norms' if field == 'norm' else field}",
            attempt="use a run of the family gpt",
        )
    shapes = {value: plan.network.replace(**{field: value}) for value in choices}
    return [
        _replaced(f"{field}={value}", field, suited(plan.replace(shape=shape), machine), plan)
        for value, shape in shapes.items()
        if shape != plan.shape and _is_valid(shape)
    ]


def of_setting(plan: Plan, machine: Machine, setting: str) -> Case:
    """A field of the shape with another value, such as "activation=squared_relu", in place of the plan's.

    Sizes that follow from it change too, as they do in a plan, unless they were set by name. Raises UsageError: not a
    field of the shape (of the text: vocabulary and context length), or a value that it has already or cannot have.
    """
    name, _, value = setting.partition("=")
    shape, record, received = plan.network, families.of(plan.shape), f"--try {setting}"
    fields = [field for field in record.fields() if field not in ("vocabulary", "context_length")]
    if not value or name not in fields or record.rung is None:
        raise UsageError(
            "--try takes a field of the model shape and its value",
            received=received,
            attempt="use a run of the family gpt" if record.rung is None else nearest(name, fields),
        )
    request = Request(sources=(), seconds=plan.budget.seconds, family=plan.shape.family)
    before = plan.request.settings if plan.request is not None else {}
    tied = {"tied": shape.tied} if "tied" in fields else {}
    set_by_name = parsed(request.replace(settings={field: before[field] for field in fields if field in before}))
    sizes = {"layers": shape.layers, "width": shape.width, **tied, **set_by_name}
    change: Mapping[str, object] = parsed(request.replace(settings={name: value}))
    make = partial(
        record.rung, shape.layers, shape.width, vocabulary=shape.vocabulary, context_length=shape.context_length
    )
    # A plan that was edited by hand has sizes that nothing follows from.
    changed = make(changes={**sizes, **change}) if make(changes=sizes) == shape else shape.replace(**change)
    changed.check()
    if changed == shape:
        raise UsageError("the plan's model shape is so already", received=received, attempt="try another value")
    return _replaced(f"{name}={change[name]}", name, suited(plan.replace(shape=changed), machine), plan)


def _is_valid(shape: NetworkShape) -> bool:
    try:
        shape.check()
    except UsageError:
        return False
    return True


def _replaced(name: str, kind: str, with_: Plan, without: Plan) -> Case:
    return Case(name=name, kind=kind, claim="bits_per_byte", with_=with_, without=without, in_plan=False)


def with_rates(plan: Plan, factor: float) -> Plan:
    """The plan with its learning rates times `factor`."""
    choice = plan.optimizer
    return plan.replace(
        optimizer=choice.replace(
            learning_rate=factor * choice.learning_rate, table_learning_rate=factor * choice.table_learning_rate
        )
    )
