"""Verdict: what the figures at the end of a run mean, in words: which of its parts to use, and what would help."""

from typing import Any

from daybreak.core import units
from daybreak.core.types import Corpus, Plan

ALIKE = 0.005  # of a figure: closer ones are told as equal


def verdict(plan: Plan, corpus: Corpus, figures: dict[str, Any]) -> str:
    """One or two sentences. figures: what the end of the run has scored, by the keys of --json."""
    headline = plan.headline
    if not headline.of_text:
        return (
            f"{headline.told(figures[headline.name])}: a model that fills gaps has no bits per byte, so it compares "
            f"only with other runs of its family, by `daybreak compare`."
        )
    alone = float(figures["bits_per_byte"])
    if plan.shape.counted:
        return _of_counting(alone, corpus)
    mixture = figures.get("mixture") or {}
    mixed = mixture.get("bits_per_byte")
    counting, sample = mixture.get("counts_bits_per_byte"), ""
    if counting is None:
        counting = corpus.ngram_bits_per_byte
        sample = f" (on a sample of {units.size(corpus.ngram_bytes)})" if corpus.ngram_bytes < corpus.bytes else ""
    told = {
        "network": f"the network alone {alone:.2f}",
        "mixture": f"with its counts {mixed:.2f}" if mixed is not None else "",
        "counting": f"counting alone {counting:.2f}{sample}",
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
            f"xz, which only repeats what it has seen, is better than the run, at {values['xz']:.2f} bits per byte; "
            f"{rest}. More time or text would help; {_use(own, mixed is not None)}."
        )
    others = _listed(told[name] for name in ranked[1:] if name != "xz" or values["xz"] < alone)
    figure = f"{values[best]:.2f} bits per byte"
    beside = f"; {others}" if others else ""
    more = "More time or text would help the network"
    ngram = "--family ngram, without --from," if plan.origin is not None else "--family ngram"
    if best == "mixture":
        said = f"The run is best with its counts, at {figure}{beside}. Use them: generate does so by itself."
        if counting < alone * (1 - ALIKE):
            said += f" {more}, which counting is still ahead of; {ngram} counts alone, in a fraction of the time."
        return said
    if best == "counting":
        own = "mixture" if values.get("mixture", alone) < alone else "network"
        near = values[own] <= counting * (1 + ALIKE)
        ahead = "about as good as the run" if near else "better than the run"
        return (
            f"Counting alone is {ahead}, at {figure}{sample}{beside}. {ngram} may be the better choice for this text "
            f"in this time; {more[0].lower()}{more[1:]}."
        )
    said = f"The network is better than counting, at {figure}{beside}."
    return f"{said} Its counts do not help: {_use('network', True)}." if mixed is not None else said


def _of_counting(reached: float, corpus: Corpus) -> str:
    packed = f"xz {corpus.xz_bits_per_byte:.2f}"
    if corpus.xz_bits_per_byte < reached:
        return f"xz packs the text better than counting predicts it: {packed}, counting {reached:.2f} bits per byte."
    return f"Counting reaches {reached:.2f} bits per byte, {packed}. A network may do better where it has more time."


def _use(own: str, mixes: bool) -> str:
    if own == "mixture":
        return "use the run with its counts, as generate does"
    return "use it with `generate --without ngram_mix`" if mixes else "generate uses the network"


def _listed(parts: Any) -> str:
    return ", ".join(parts)
