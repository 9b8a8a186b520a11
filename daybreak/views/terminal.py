"""Terminal: plans and results as lines of text."""

from typing import Protocol

from daybreak.core import units
from daybreak.core.messages import localized
from daybreak.core.metrics import Metric
from daybreak.core.run import Run
from daybreak.core.shapes import network_of
from daybreak.core.terminal import padded, wrapped
from daybreak.core.types import UNASKED, Corpus, Plan
from daybreak.core.values import Json

BAR = 30  # characters
LINE = 100  # characters, of sentences
_BASELINE_COLUMNS = {"bits per byte": 14, "worse than best": 15, "parameters": 13, "tokens/s": 9}  # with their widths


class FinishedRun(Protocol):
    """A finished run and its scores, by the keys of `daybreak run --json`."""

    @property
    def run(self) -> Run: ...
    @property
    def figures(self) -> Json: ...


def plan_lines(plan: Plan) -> list[str]:
    """A plan: its summary, decisions with reasons, techniques, and how its seconds are spent."""
    from daybreak.views.progress import summary

    lines = [*summary(plan), f"memory: about {units.size(plan.predicted.memory_bytes)} at its peak"]
    if plan.skipped:
        lines += ["", "not read", *(f"  {localized(sentence)}" for sentence in plan.skipped)]
    lines += ["", "why", *(f"  {name:20} {localized(reason)}" for name, reason in plan.reasons.items())]
    lines += ["", "techniques", *_technique_lines(plan)]
    if plan.predicted.phase_seconds:
        lines += ["", f"how {units.duration(plan.budget.seconds)} are spent"]
        lines += [
            f"  {localized(name):20} {localized(units.duration(s))}"
            for name, s in plan.predicted.phase_seconds.items()
            if s > 0.005
        ]
    return lines


def _technique_lines(plan: Plan) -> list[str]:
    """Techniques that are on, those that are off with the reason, and the number that are off by default."""
    lines = [f"  {'on':20} {', '.join(choice.name for choice in plan.techniques) or 'none'}"]
    by_reason: dict[str, list[str]] = {}
    for name, reason in plan.refused.items():
        by_reason.setdefault(UNASKED if reason.startswith(UNASKED) else reason, []).append(name)
    unasked = by_reason.pop(UNASKED, [])
    lines += [f"  {names[0]:20} off: {reason}" for reason, names in by_reason.items() if len(names) == 1]
    lines += [f"  {'off':20} {', '.join(names)}: {reason}" for reason, names in by_reason.items() if len(names) > 1]
    if unasked:
        lines.append(f"  {len(unasked)} more are off by default; --with NAME turns one on (docs/techniques.md)")
    return lines


def fact_lines(facts: Json, indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{localized(name)}", *fact_lines(value, indent + "  ")]
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            told = [localized(item) for item in value]
            lines += [f"{indent}{padded(localized(name) if not at else '', 20)} {item}" for at, item in enumerate(told)]
        elif name.endswith("_interval"):
            shown = f"{value[0]:.4f} to {value[1]:.4f}" if value else "too little text for an interval"
            lines.append(f"{indent}{padded(localized('  95% interval'), 20)} {localized(shown)}")
        else:
            shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            lines.append(f"{indent}{padded(localized(name), 20)} {localized(str(shown))}")
    return lines


def baselines_lines(found: Json) -> list[str]:
    """The table of baselines with bars of bits per byte, and when one overtakes another."""
    rows = sorted((row for row in found["rows"] if row["trained"]), key=lambda row: row["bits_per_byte"])
    most = max(row["bits_per_byte"] for row in rows)
    heads = [padded(localized(name), width, right=True) for name, width in _BASELINE_COLUMNS.items()]
    bits, *others = heads
    lines = [f"{padded(localized('model'), 8)}{bits}  {'':{BAR}}  {'  '.join(others)}"]
    for row in rows:
        bar = "\u2588" * round(BAR * row["bits_per_byte"] / most)
        weights = localized(units.count(row["parameters"]) if row["parameters"] else "counts")
        rate = f"{row['tokens_per_second']:,.0f}" if row["tokens_per_second"] else ""
        more = f"+{row['more_than_best']:.1%}" if row["more_than_best"] else ""
        lines.append(
            f"{row['model']:8}{row['bits_per_byte']:14.4f}  {bar:{BAR}}  {more:>15}  "
            f"{padded(weights, 13, right=True)}  {rate:>9}"
        )
    lines += ["", *map(localized, found["notes"]), ""]
    for moment in sorted(found["overtakes"], key=lambda one: one["seconds"]):
        told = f"{moment['run']} is better than {moment['than']} after {units.duration(moment['seconds'])}"
        lines.append(localized(told))
    return lines


def _with_interval(headline: Metric, figures: Json) -> str:
    """The main metric with half its confidence interval, where it has one."""
    value, interval = figures[headline.name], figures.get(f"{headline.name}_interval")
    return headline.told(value, 4, half=max(value - interval[0], interval[1] - value) if interval else None)


def _sample(corpus: Corpus) -> str:
    """How much text the n-gram counts of the scan saw; it depends on the time."""
    size = units.size(corpus.ngram_bytes)
    return f"a sample of {size}" if corpus.ngram_bytes < corpus.bytes else size


def _scored_part(finished: FinishedRun, corpus: Corpus) -> str:
    """How much of the held-out text was scored, and how to score all of it."""
    figures, of_text = finished.figures, finished.run.plan().headline.of_text
    share = figures.get("heldout_share")
    if share is None or (share >= 1 and not of_text):
        return f"{units.size(figures['bytes'])} of held-out text"  # a run of an older version, or tokens hidden in it
    if share >= 1:
        return f"all {units.size(figures['bytes'])} of held-out text"
    scored = f"{units.size(figures['bytes'])} of {units.size(corpus.heldout_bytes)} of held-out text ({share:.0%})"
    part = scored if of_text else f"{share:.0%} of the held-out text"
    return f"{part}; `daybreak evaluate {finished.run}` scores all of it"


def finished_lines(finished: FinishedRun) -> list[str]:
    figures = finished.figures
    plan = finished.run.plan()
    headline, shape = plan.headline, plan.shape
    corpus = finished.run.corpus()
    lines = ["", f"{_with_interval(headline, figures)} on {_scored_part(finished, corpus)}"]
    if "mixture" in figures:
        lines.append(
            f"{figures['mixture']['bits_per_byte']:.4f} with the n-gram counts mixed in "
            f"(weight {figures['mixture']['weight_of_counts']:.2f})"
        )
    network = network_of(shape)
    own = network is not None and not network.native()
    alone = " (native: no; only daybreak can open it)" if own else ""
    if headline.of_text:
        lines.append(
            f"{corpus.ngram_bits_per_byte:.4f} Kneser-Ney, counted on {_sample(corpus)}, "
            f"{corpus.xz_bits_per_byte:.4f} xz, for comparison"
        )
    if figures.get("verdict"):
        lines += [
            "",
            *wrapped(localized(figures["verdict"]), LINE),
        ]
    lines += [
        "",
        f"report  {finished.run.report_file}",
        f'try     daybreak generate {finished.run} "..."',
        f"model   {finished.run.model_folder}{alone}",
    ]
    return lines
