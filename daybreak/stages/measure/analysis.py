"""Judged: what the cells of a case tell, as it stands in `measure.json`."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from daybreak.evaluation.t_intervals import Estimate, log_ratio, of_values
from daybreak.stages.measure import gains
from daybreak.stages.measure.gains import Gain

Losses = dict[int, float | None]  # in the unit of the headline's loss, by seed; None where the training diverged


def judged(
    *,
    time_cell: dict[str, Any],
    one: Losses,
    other: Losses,
    slope: Estimate | None,
    starts: Sequence[dict[str, Any]] | None,
    run_tokens: int,
    starts_differ: bool = False,
) -> dict[str, Any]:
    """The figures and the verdict of a case. What is not measured yet is None.

    one, other: with and without. starts: of both sides, {"cold": {...}, "warm": {...}}, where they were measured;
    where they differ, there is no verdict without them.
    """
    rounds = time_cell.get("one", []), time_cell.get("other", [])
    ratio = log_ratio(*rounds)
    pairs = [(a, b) for seed, a in sorted(one.items()) if a is not None and (b := other.get(seed)) is not None]
    differences = [a - b for a, b in pairs]
    loss = of_values(differences)
    found: dict[str, Any] = {}
    for name in ("warm", "cold"):
        sides = [side.get(name, {}).get("start_seconds", 0.0) for side in starts] if starts else [0.0, 0.0]
        if ratio and loss and slope and (starts or not starts_differ):
            time = gains.log_time(ratio, run_tokens * _middle(rounds[1]), *sides)
            found[name] = gains.gain(loss, slope, time)
    result = _of_gain(found.get("warm"))
    diverged = _diverged(one, other)
    if diverged:
        result |= {"verdict": gains.LOSS if diverged == "with" else gains.GAIN, "decided": True}
    return {
        **result,
        "seeds": len(pairs),
        "diverged": diverged,
        "step_time": _step_time(ratio, rounds),
        "equal_steps": _equal_steps(differences, loss),
        "start": _start(starts),
        "cold_start": _of_gain(found["cold"]) if "cold" in found and _start(starts) else None,
        "memory": _memory(starts),
    }


def _of_gain(gain: Gain | None) -> dict[str, Any]:
    if gain is None:
        unknown = {"verdict": gains.UNKNOWN, "decided": False, "negligible": False}
        return {"equal_time": None, "time_saved": None, **unknown}
    saved = gain.saved()
    return {
        "equal_time": value(gain.equal_time, "difference"),
        "time_saved": dict(zip(("share", "low", "high"), saved, strict=True)) if saved else None,
        "verdict": gain.verdict,
        "decided": gain.decided(),
        "negligible": gain.verdict == gains.NO_EVIDENCE and gain.small(),
    }


def value(estimate: Estimate | None, name: str) -> dict[str, float] | None:
    if estimate is None:
        return None
    low, high = estimate.interval()
    return {name: estimate.mean, "low": low, "high": high}


def _step_time(ratio: Estimate | None, rounds: tuple[list[Any], list[Any]]) -> dict[str, Any] | None:
    if ratio is None:
        return None
    low, high = ratio.interval()
    return {
        "ratio": math.exp(ratio.mean),
        "low": math.exp(low),
        "high": math.exp(high),
        "seconds_per_token": _middle(rounds[0]),
        "seconds_per_token_without": _middle(rounds[1]),
        "rounds": len(rounds[0]),
    }


def _equal_steps(differences: list[float], loss: Estimate | None) -> dict[str, Any] | None:
    if not differences:
        return None
    low, high = loss.interval() if loss else (None, None)
    return {"difference": statistics.fmean(differences), "low": low, "high": high, "pairs": differences}


def _start(starts: Sequence[dict[str, Any]] | None) -> dict[str, Any] | None:
    """Seconds until steps are steady; None where compiling is not what the case is about."""
    if not starts or not all("warm" in side for side in starts):
        return None
    return {
        name: {"with": starts[0][name]["start_seconds"], "without": starts[1][name]["start_seconds"]}
        for name in ("cold", "warm")
    }


def _memory(starts: Sequence[dict[str, Any]] | None) -> dict[str, Any] | None:
    if not starts:
        return None
    one, other = (side["cold"]["memory_bytes"] for side in starts)
    return {"with": one, "without": other, "ratio": one / other if other else None}


def _diverged(one: Losses, other: Losses) -> str:
    """The side that diverged where the other did not."""
    for seed in sorted(one.keys() & other.keys()):
        if (one[seed] is None) != (other[seed] is None):
            return "with" if one[seed] is None else "without"
    return ""


def _middle(rounds: Sequence[Sequence[float]]) -> float:
    return statistics.median(seconds for places in rounds for seconds in places)
