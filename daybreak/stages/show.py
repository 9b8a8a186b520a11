"""Show: plans and results in words, for a terminal."""

from typing import Any

from daybreak.core import units
from daybreak.core.shapes import GptShape
from daybreak.core.types import Plan


def plan_lines(plan: Plan) -> list[str]:
    """The day before it is spent: decisions with reasons, techniques, seconds."""
    from daybreak.stages.progress import summary

    lines = [*summary(plan), "", "why"]
    lines += [f"  {name:20} {reason}" for name, reason in plan.reasons.items()]
    lines += ["", "techniques"]
    lines += [f"  {choice.name:20} on" for choice in plan.techniques]
    lines += [f"  {name:20} off: {reason}" for name, reason in plan.refused.items()]
    if plan.predicted.phase_seconds:
        lines += ["", f"where {units.duration(plan.budget.seconds)} go"]
        lines += [f"  {name:20} {units.duration(s)}" for name, s in plan.predicted.phase_seconds.items() if s > 0.005]
    if isinstance(plan.shape, GptShape):
        lines += ["", f"memory               about {units.size(plan.predicted.memory_bytes)}"]
    return lines


def fact_lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *fact_lines(value, indent + "  ")]
        else:
            shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            lines.append(f"{indent}{name:20} {shown}")
    return lines


def finished_lines(finished: Any) -> list[str]:
    figures = finished.figures
    lines = ["", f"{figures['bits_per_byte']:.4f} bits per byte on {units.size(figures['bytes'])} of held-out text"]
    if "mixture" in figures:
        lines.append(
            f"{figures['mixture']['bits_per_byte']:.4f} with the n-gram counts mixed in "
            f"(weight {figures['mixture']['weight_of_counts']:.2f})"
        )
    corpus, shape = finished.run.corpus(), finished.run.plan().shape
    alone = " (native: no; daybreak alone opens it)" if isinstance(shape, GptShape) and not shape.native() else ""
    lines += [
        f"{corpus.ngram_bits_per_byte:.4f} Kneser-Ney on {units.size(corpus.ngram_bytes)}, "
        f"{corpus.xz_bits_per_byte:.4f} xz, for comparison",
        "",
        f"report  {finished.run.report_file}",
        f'try     daybreak generate {finished.run} "..."',
        f"model   {finished.run.model_folder}{alone}",
    ]
    return lines
