"""Report: plan against fact, where every second went, and samples, from the records alone."""

from collections import defaultdict

from daybreak.core import records, units
from daybreak.core.records import Event, Measurement, Phase, Sample, Touched, Validation
from daybreak.core.run import Run
from daybreak.core.types import GptShape


def phase_seconds(run: Run) -> dict[str, float]:
    """Seconds of the budget by phase, in the order in which they began; together they are what was used."""
    sums: dict[str, float] = defaultdict(float)
    for record in records.read(run.log_file):
        if isinstance(record, Phase):
            sums[record.name] += record.seconds
    return dict(sums)


def markdown(run: Run) -> str:
    """The report as Markdown."""
    plan, corpus = run.plan(), run.corpus()
    everything = list(records.read(run.log_file))
    steps = records.standing_steps(run.log_file)
    measured = [r for r in everything if isinstance(r, Measurement)]
    used = max((r.used_seconds for r in everything if hasattr(r, "used_seconds")), default=0.0)
    lines = [f"# {run.path.name}", ""]
    lines += ["## Result", "", "| figure | value | needs | measured on |", "| --- | --- | --- | --- |"]
    for m in measured:
        scored = units.size(m.bytes)
        lines.append(f"| {m.name} | {m.value:.4f} {m.unit} | {m.needs or 'baseline'} | {scored} {m.note} |")
    share = next((m.bytes for m in measured if m.name == "bits_per_byte"), 0) / max(1, corpus.heldout_bytes)
    lines += ["", f"Scored {share:.0%} of the {units.size(corpus.heldout_bytes)} that are held out.", ""]
    lines += ["## Plan against fact", "", "| | plan | fact |", "| --- | --- | --- |"]
    trained = [s for s in steps if not s.skipped]
    if trained and isinstance(plan.shape, GptShape):
        rows = sum(s.micro_batch * s.accumulation for s in trained)
        rate = rows * plan.shape.context_length / max(1e-9, sum(s.seconds for s in trained))
        lines.append(f"| tokens/s | {plan.predicted.tokens_per_second:,.0f} | {rate:,.0f} |")
        lines.append(f"| tokens | {plan.tokens:,} | {trained[-1].tokens:,} |")
        lines.append(f"| skipped steps | 0 | {len(steps) - len(trained)} |")
    figure = next((m.value for m in measured if m.name == "bits_per_byte" and m.needs == "model/"), None)
    low, high = plan.predicted.bits_per_byte_low, plan.predicted.bits_per_byte_high
    if figure is not None:
        lines.append(f"| bits per byte | {plan.predicted.bits_per_byte:.3f} ({low:.3f} to {high:.3f}) | {figure:.3f} |")
    lines.append(f"| seconds | {plan.budget.seconds:.1f} | {used:.1f} |")
    lines += ["", "## Where the time went", "", "| phase | seconds | share of the budget |", "| --- | --- | --- |"]
    for name, seconds in phase_seconds(run).items():
        lines.append(f"| {name} | {seconds:.2f} | {seconds / plan.budget.seconds:.1%} |")
    lines += ["", "## Why this plan", ""]
    lines += [f"- **{name}**: {reason}" for name, reason in plan.reasons.items()]
    lines += ["", "## Techniques", ""]
    touched = {(t.technique, t.seam): t.places for t in everything if isinstance(t, Touched)}
    for choice in plan.techniques:
        seams = ", ".join(f"{seam} ({places})" for (name, seam), places in touched.items() if name == choice.name)
        lines.append(f"- **{choice.name}** is on; touched {seams or 'nothing yet'}")
    lines += [f"- {name} is off: {reason}" for name, reason in plan.refused.items()]
    lines += ["", "## Text", ""]
    lines += [
        f"- {units.count(corpus.documents)} documents, {units.size(corpus.bytes)} in {corpus.files} files; held out: "
        f"{units.count(corpus.heldout_documents)} documents, {units.size(corpus.heldout_bytes)}",
        f"- bytes per token by vocabulary: {', '.join(f'{v}: {b:.2f}' for v, b in corpus.bytes_per_token.items())}",
        f"- Kneser-Ney of order {corpus.ngram_order} on {corpus.ngram_unit}s, counted on "
        f"{units.size(corpus.ngram_bytes)}: {corpus.ngram_bits_per_byte:.3f} bits per byte; xz "
        f"{corpus.xz_bits_per_byte:.3f}",
        *(f"- {note}" for note in corpus.notes),
    ]
    validations = [r for r in everything if isinstance(r, Validation)]
    if validations:
        lines += [
            "",
            "## On the way",
            "",
            "| progress | bits per byte | seconds | weights |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {v.progress:.0%} | {v.bits_per_byte:.3f} | {v.used_seconds:.0f} | {v.weights} |" for v in validations
        ]
    samples = [r for r in everything if isinstance(r, Sample)]
    if samples:
        lines += ["", "## Samples", ""]
        for sample in samples:
            lines += [f"At {sample.progress:.0%}:", "", *_quoted(sample.prompt + sample.text), ""]
    amendments = run.amendments()
    if amendments:
        lines += ["", "## Amendments", "", *(f"- {amendment}" for amendment in amendments), ""]
    events = [r for r in everything if isinstance(r, Event) and r.name in ("warning", "resumed")]
    if events:
        lines += ["## Events", ""]
        lines += [f"- {e.used_seconds:.0f} s: {e.name} {e.detail}" for e in events]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> list[str]:
    """Indented: nothing in it is read as Markdown."""
    return [f"    {line}" for line in text.split("\n")]
