"""Conclusion: what the scores at the end of a run mean, in a sentence or two, and what would improve them."""

from collections.abc import Iterable

from daybreak.core import units
from daybreak.core.types import Corpus, Plan
from daybreak.core.values import Json
from daybreak.tasks import task_of

ALIKE = 0.005  # relative difference below which two scores count as equal


def verdict(plan: Plan, corpus: Corpus, figures: Json) -> str:
    """One or two sentences on a finished run. figures: its scores, by the keys of --json."""
    headline = plan.headline
    if not headline.of_text:
        return (
            f"{headline.told(figures[headline.name])}: a model that fills in masks has no bits per byte, so it "
            f"compares only with other runs of its family (`daybreak compare`)."
        )
    alone = float(figures["bits_per_byte"])
    if plan.shape.counted:
        return _of_counting(alone, corpus)
    mixture = figures.get("mixture") or {}
    mixed = mixture.get("bits_per_byte")
    counting, sample = mixture.get("counts_bits_per_byte"), ""
    if counting is None:
        counting = task_of(plan.objective).floor(corpus) or 0.0
        sample = f" (on a sample of {units.size(corpus.ngram_bytes)})" if corpus.ngram_bytes < corpus.bytes else ""
    told = {
        "network": f"network alone {alone:.2f}",
        "mixture": f"network with n-gram counts {mixed:.2f}" if mixed is not None else "",
        "counting": f"n-gram model alone {counting:.2f}{sample}",
        "xz": f"xz {corpus.xz_bits_per_byte:.2f}",
    }
    values = {"network": alone, "counting": float(counting), "xz": corpus.xz_bits_per_byte}
    if mixed is not None:
        values["mixture"] = float(mixed)
    ranked = sorted(values, key=lambda name: values[name])
    best = ranked[0]
    if best == "xz":
        own = "mixture" if values.get("mixture", alone) < alone else "network"
        rest = _listed(told[name] for name in ranked[1:])
        return (
            f"xz, which only finds repetitions, is better than the run: {values['xz']:.2f} bits per byte; "
            f"{rest}. More time or text would help; {_use(own, mixed is not None)}."
        )
    others = _listed(told[name] for name in ranked[1:] if name != "xz" or values["xz"] < alone)
    figure = f"{values[best]:.2f} bits per byte"
    beside = f"; {others}" if others else ""
    more = "More time or text would help the network"
    ngram = "--family ngram, without --from," if plan.origin is not None else "--family ngram"
    if best == "mixture":
        said = f"Best result: the network with its n-gram counts, {figure}{beside}. `generate` uses both by default."
        if counting < alone * (1 - ALIKE):
            said += f" {more}, which is still behind the n-gram model; {ngram} alone takes a fraction of the time."
        return said
    if best == "counting":
        own = "mixture" if values.get("mixture", alone) < alone else "network"
        near = values[own] <= counting * (1 + ALIKE)
        ahead = "about as good as the run" if near else "better than the run"
        return (
            f"An n-gram model alone is {ahead}: {figure}{sample}{beside}. {ngram} may be the better choice for this "
            f"text and time; {more[0].lower()}{more[1:]}."
        )
    said = f"Best result: the network, {figure}{beside}."
    return f"{said} Its n-gram counts do not help: {_use('network', True)}." if mixed is not None else said


def _of_counting(reached: float, corpus: Corpus) -> str:
    packed = f"xz {corpus.xz_bits_per_byte:.2f}"
    if corpus.xz_bits_per_byte < reached:
        return f"xz is better than the n-gram model: {packed}, n-gram model {reached:.2f} bits per byte."
    return f"The n-gram model reaches {reached:.2f} bits per byte, {packed}. With more time, a network may be better."


def _use(own: str, mixes: bool) -> str:
    if own == "mixture":
        return "`generate` uses the network with its n-gram counts"
    return "use `generate --without ngram_mix`" if mixes else "`generate` uses the network"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
