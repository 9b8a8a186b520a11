"""Curves: the steps of a run as columns, thinned to a number of points while they are read."""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from daybreak.core.values import Json

HEAD = 64  # first steps that are never thinned, because the loss falls fastest there
LEAST_BUCKETS = 8
SMOOTHING = 50  # the smooth line averages 1/50 of the points on either side

_COLUMNS = ("step", "used_seconds", "progress", "nats", "gradient_norm", "learning_rate_factor", "seconds", "tokens")


@dataclass(slots=True)
class _Bucket:
    """Neighbouring steps `first` to `last` (indices of the columns) with their extremes and sums."""

    first: int
    last: int
    low: int = -1  # index of the least nats; -1 where no step has a finite loss
    high: int = -1
    gradient_low: int = -1
    gradient_high: int = -1
    nats: float = 0.0  # summed over the steps with a finite loss
    finite: int = 0
    rows: float = 0.0
    seconds: float = 0.0


class Curves:
    """The steps of a run, without those that a resumed run repeated (as in records.standing_steps).

    `append` takes constant time; `json` takes time linear in the points, not in the steps.
    """

    def __init__(self, points: int) -> None:
        self._most = max(LEAST_BUCKETS, points // 4)  # after merging; twice as many before. Each gives up to two points
        self._clear()

    def _clear(self) -> None:
        self._columns = {name: array("d") for name in (*_COLUMNS, "rows", "skipped")}
        self._buckets: list[_Bucket] = []
        self._head: list[_Bucket] = []
        self._skipped: list[int] = []
        self._stride = 1

    def __len__(self) -> int:
        return len(self._columns["step"])

    def append(self, fields: Json) -> None:
        """fields: those of records.Step. Raises KeyError, TypeError, ValueError: not a step; nothing is changed."""
        values = [float(fields[name]) for name in _COLUMNS]
        rows, skipped = float(fields["micro_batch"] * fields["accumulation"]), float(bool(fields["skipped"]))
        if self and self._columns["step"][-1] >= values[0]:
            self.rewind(values[0] - 1)
        for name, value in zip(_COLUMNS, values, strict=True):
            self._columns[name].append(value)
        self._columns["rows"].append(rows)
        self._columns["skipped"].append(skipped)
        self._take(len(self) - 1)

    def rewind(self, step: float) -> None:
        """Removes the steps after `step`."""
        numbers = self._columns["step"]
        keep = len(numbers)
        while keep and numbers[keep - 1] > step:
            keep -= 1
        if keep == len(numbers):
            return
        kept = {name: column[:keep] for name, column in self._columns.items()}
        self._clear()
        self._columns = kept
        for index in range(keep):
            self._take(index)

    def _take(self, index: int) -> None:
        columns = self._columns
        nats, gradient = columns["nats"][index], columns["gradient_norm"][index]
        if columns["skipped"][index]:
            self._skipped.append(index)
        one = _Bucket(index, index, rows=columns["rows"][index], seconds=columns["seconds"][index])
        if math.isfinite(nats):
            one.low = one.high = index
            one.nats, one.finite = nats, 1
        if math.isfinite(gradient):
            one.gradient_low = one.gradient_high = index
        if index < HEAD:
            self._head.append(one)
            return
        if self._buckets and (self._buckets[-1].last - self._buckets[-1].first + 1) < self._stride:
            self._join(self._buckets[-1], one)
        else:
            self._buckets.append(one)
        if len(self._buckets) >= 2 * self._most and one.last - self._buckets[-1].first + 1 == self._stride:
            pairs = zip(self._buckets[::2], self._buckets[1::2], strict=True)
            self._buckets = [self._join(left, right) for left, right in pairs]
            self._stride *= 2

    def _join(self, left: _Bucket, right: _Bucket) -> _Bucket:
        """Merges `right` into `left` and returns it."""
        nats, gradient = self._columns["nats"], self._columns["gradient_norm"]
        left.last = right.last
        left.low = _least(nats, left.low, right.low)
        left.high = _most(nats, left.high, right.high)
        left.gradient_low = _least(gradient, left.gradient_low, right.gradient_low)
        left.gradient_high = _most(gradient, left.gradient_high, right.gradient_high)
        left.nats += right.nats
        left.finite += right.finite
        left.rows += right.rows
        left.seconds += right.seconds
        return left

    # For the page

    def json(self, *, unit_per_nat: float, context_length: int) -> Json:
        """Columns of equal length: losses in a unit, seconds of the budget, rates in tokens per second.

        unit_per_nat: factor from nats per target to the unit of the losses.
        """
        buckets = [*self._head, *self._buckets]
        raw = [i for b in buckets for i in sorted({b.low, b.high}) if i >= 0]
        gradients = [i for b in buckets for i in sorted({b.gradient_low, b.gradient_high}) if i >= 0]
        columns = self._columns
        seconds, progress, nats = columns["used_seconds"], columns["progress"], columns["nats"]
        return {
            "loss": {
                "seconds": [round(seconds[i], 3) for i in raw],
                "step": [int(columns["step"][i]) for i in raw],
                "values": rounded(nats[i] * unit_per_nat for i in raw),
            },
            "smooth": self._smooth(buckets, unit_per_nat),
            "rates": {
                "seconds": [round(seconds[b.last], 3) for b in buckets],
                "progress": rounded(progress[b.last] for b in buckets),
                "learning_rate_factor": rounded(columns["learning_rate_factor"][b.last] for b in buckets),
                "rows": rounded(b.rows / (b.last - b.first + 1) for b in buckets),
                "step_seconds": rounded(b.seconds / (b.last - b.first + 1) for b in buckets),
                "tokens_per_second": rounded(b.rows * context_length / max(1e-9, b.seconds) for b in buckets),
            },
            "gradient": {
                "progress": rounded(progress[i] for i in gradients),
                "norm": rounded(columns["gradient_norm"][i] for i in gradients),
            },
        }

    def _smooth(self, buckets: list[_Bucket], unit_per_nat: float) -> dict[str, list[float]]:
        """Moving average; the windows are short at first, because the loss falls fast there."""
        seconds = self._columns["used_seconds"]
        sums, counts = [0.0], [0]
        for bucket in buckets:
            sums.append(sums[-1] + bucket.nats)
            counts.append(counts[-1] + bucket.finite)
        x, y = [], []
        widest = max(1, len(buckets) // SMOOTHING)
        for i, bucket in enumerate(buckets):
            wing = min(i // 6, widest)
            first, end = i - wing, min(len(buckets), i + wing + 1)
            if counts[end] > counts[first]:
                x.append(round((seconds[bucket.first] + seconds[bucket.last]) / 2, 3))
                y.append((sums[end] - sums[first]) / (counts[end] - counts[first]) * unit_per_nat)
        return {"seconds": x, "values": rounded(y)}

    def totals(self) -> Json:
        """Sums over all steps; skipped ones are counted separately. Empty if there is no step."""
        if not self:
            return {}
        columns = self._columns
        left_out_rows = sum(columns["rows"][i] for i in self._skipped)
        left_out_seconds = sum(columns["seconds"][i] for i in self._skipped)
        buckets = [*self._head, *self._buckets]
        return {
            "begin": columns["used_seconds"][0] - columns["seconds"][0],
            "steps": len(self),
            "skipped": len(self._skipped),
            "skipped_at": [round(columns["used_seconds"][i], 3) for i in self._skipped[:100]],
            "last_step": int(columns["step"][-1]),
            "tokens": int(columns["tokens"][-1]),
            "progress": columns["progress"][-1],
            "used_seconds": columns["used_seconds"][-1],
            "seconds": sum(b.seconds for b in buckets) - left_out_seconds,
            "rows": sum(b.rows for b in buckets) - left_out_rows,
        }


def rounded(values: Iterable[float]) -> list[float]:
    """Values rounded to five digits, which is more than a screen shows and saves two thirds of the bytes."""
    return [float(f"{value:.5g}") for value in values]


def _least(values: array, one: int, other: int) -> int:
    return max(one, other) if min(one, other) < 0 else one if values[one] <= values[other] else other


def _most(values: array, one: int, other: int) -> int:
    return max(one, other) if min(one, other) < 0 else one if values[one] >= values[other] else other
