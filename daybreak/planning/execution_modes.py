"""Modes: how a plan's layers run (eager, compiled, by kernels), and the plan that runs them in another way."""

from daybreak import techniques
from daybreak.core.types import Machine, Plan, TechniqueChoice
from daybreak.models import families
from daybreak.planning.speed import KERNELS_SECONDS

BOUND = {"cuda_graphs": "compiled", "thread_parallel": "kernels"}  # techniques that one mode alone has a place for


def mode_of(plan: Plan) -> str:
    """By its techniques; its prediction tells of the plan as it was before one was taken out."""
    on = {choice.name for choice in plan.techniques}
    return "kernels" if "kernels" in on else "compiled" if on & {"compiled", "cuda_graphs"} else "eager"


def suited(plan: Plan, machine: Machine) -> Plan:
    """The plan as it is, or without the kernels where they have no place for its shape or its techniques."""
    inside = any(techniques.class_of(choice.name).inside_layers for choice in plan.techniques)
    if mode_of(plan) == "kernels" and (inside or not families.of(plan.shape).kernels_fit(plan.shape)):
        return without_mode(plan, machine)
    return plan


def without_mode(plan: Plan, machine: Machine) -> Plan:
    """The plan with the next best execution mode, for a machine where the planned one fails."""
    compiled = mode_of(plan) == "kernels" and _compiling_pays(plan) and _allowed("compiled", plan, machine)
    return in_mode(plan, machine, "compiled" if compiled else "eager")


def in_mode(plan: Plan, machine: Machine, mode: str) -> Plan:
    """The plan with its layers run so, and with the techniques that the planner takes or leaves for that reason.

    A mode that the shape or another technique has no place for is not taken: the layers are then eager.
    """
    predicted, inside = plan.predicted, any(techniques.class_of(c.name).inside_layers for c in plan.techniques)
    ready = {"compiled": predicted.compile_seconds, "kernels": KERNELS_SECONDS}.get(mode, 0.0)
    phases = {**predicted.phase_seconds, "compile": ready, "training": max(0.1, _available(plan) - ready)}
    there = plan.replace(predicted=predicted.replace(mode=mode, phase_seconds=phases))

    def taken(name: str) -> bool:
        kind = techniques.class_of(name)
        if techniques.unfit(name, plan) is not None:
            return False
        if name in ("compiled", "kernels"):
            return name == mode and kind().refuses(there, machine) is None and not (name == "kernels" and inside)
        if plan.technique(name) is not None:
            return BOUND.get(name, mode) == mode
        refused, refused_there = (kind().refuses(one, machine) is not None for one in (plan, there))
        return refused and not refused_there and kind.default and _allowed(name, plan, machine)

    chosen = (plan.technique(name) or TechniqueChoice(name=name) for name in techniques.names() if taken(name))
    return there.replace(techniques=tuple(chosen))


def _compiling_pays(plan: Plan) -> bool:
    """The planner's criterion: tokens trained in the time left after compiling."""
    available = _available(plan)
    trained = plan.predicted.compiled_speedup * max(0.1, available - plan.predicted.compile_seconds)
    return trained > available


def _available(plan: Plan) -> float:
    """Seconds for training and for getting it ready."""
    return plan.predicted.phase_seconds["training"] + plan.predicted.phase_seconds.get("compile", 0.0)


def _allowed(name: str, plan: Plan, machine: Machine) -> bool:
    """Whether this machine can use a technique that was not ruled out by name."""
    excluded = plan.request.exclude if plan.request else ()
    return name not in excluded and techniques.class_of(name)().unusable(machine) is None
