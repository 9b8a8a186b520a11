"""Analysis: turns the trials of a case into differences, intervals and a verdict, as `measure.json` has them."""

import math
import statistics
from collections.abc import Sequence

from daybreak.core.values import Json
from daybreak.evaluation.t_intervals import Estimate, log_ratio, of_values
from daybreak.stages.measure import gains
from daybreak.stages.measure.gains import Gain

Rounds = Sequence[Sequence[float]]  # seconds a token [rounds, moments of the run]
Losses = dict[int, float | None]  # by seed, in the unit of the main metric's loss; None: the training diverged


def analyze(
    *,
    timing: Json,
    with_: Losses,
    without: Losses,
    slope: Estimate | None,
    starts: Sequence[Json] | None,
    run_tokens: int,
    starts_differ: bool = False,
) -> Json:
    """The differences and the verdict of a case. What is not measured yet is None.

    timing: as `trials.timed` returns it, or {}. starts: what `measure_in_subprocess` returned with and without, once
    both are measured; with `starts_differ`, there is no verdict without them. run_tokens: of the whole run.
    """
    rounds = timing.get("one", []), timing.get("other", [])
    ratio = log_ratio(*rounds)
    pairs = [(a, b) for seed, a in sorted(with_.items()) if a is not None and (b := without.get(seed)) is not None]
    differences = [a - b for a, b in pairs]
    loss = of_values(differences)
    found: dict[str, Gain] = {}
    for name in ("warm", "cold"):
        sides = [side.get(name, {}).get("start_seconds", 0.0) for side in starts] if starts else [0.0, 0.0]
        if ratio and loss and slope and (starts or not starts_differ):
            time = gains.log_time(ratio, run_tokens * _middle(rounds[1]), *sides)
            found[name] = gains.gain(loss, slope, time)
    result = _of_gain(found.get("warm"))
    diverged = _diverged(with_, without)
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


def _of_gain(gain: Gain | None) -> Json:
    if gain is None:
        unknown: Json = {"verdict": gains.UNKNOWN, "decided": False, "negligible": False}
        return {"equal_time": None, "time_saved": None, **unknown}
    saved = gain.saved()
    return {
        "equal_time": value(gain.equal_time, "difference"),
        "time_saved": dict(zip(("share", "low", "high"), saved, strict=True)) if saved else None,
        "verdict": gain.verdict,
        "decided": gain.decided(),
        "negligible": gain.verdict == gains.NO_EVIDENCE and gain.small(),
    }


def value(estimate: Estimate | None, name: str) -> Json | None:
    """An estimate with its interval, its mean under `name`."""
    if estimate is None:
        return None
    low, high = estimate.interval()
    return {name: estimate.mean, "low": low, "high": high}


def _step_time(ratio: Estimate | None, rounds: tuple[Rounds, Rounds]) -> Json | None:
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


def _equal_steps(differences: list[float], loss: Estimate | None) -> Json | None:
    if not differences:
        return None
    low, high = loss.interval() if loss else (None, None)
    return {"difference": statistics.fmean(differences), "low": low, "high": high, "pairs": differences}


def _start(starts: Sequence[Json] | None) -> Json | None:
    """Seconds until steps are steady; None where both plans compile the same."""
    if not starts or not all("warm" in side for side in starts):
        return None
    return {
        name: {"with": starts[0][name]["start_seconds"], "without": starts[1][name]["start_seconds"]}
        for name in ("cold", "warm")
    }


def _memory(starts: Sequence[Json] | None) -> Json | None:
    if not starts:
        return None
    with_, without = (side["cold"]["memory_bytes"] for side in starts)
    return {"with": with_, "without": without, "ratio": with_ / without if without else None}


def _diverged(with_: Losses, without: Losses) -> str:
    """The side ("with" or "without") whose training diverged at a seed where the other's did not; else empty."""
    for seed in sorted(with_.keys() & without.keys()):
        if (with_[seed] is None) != (without[seed] is None):
            return "with" if with_[seed] is None else "without"
    return ""


def _middle(rounds: Rounds) -> float:
    return statistics.median(seconds for moments in rounds for seconds in moments)
