"""Points: what a mirror shows, from the lines of a log: thinned, in the order of the steps, none of them twice."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from daybreak.core.types import Plan
from daybreak.core.values import Json

STEPS_A_RUN = 2000  # at least, where the run has as many; spread evenly over its progress
SECONDS_APART = 0.5  # between two steps beyond those


@dataclass(frozen=True, kw_only=True)
class Point:
    """Values that belong to one step; a tag has one slash, such as train/loss_nats."""

    step: int
    time: float  # seconds since 1970
    scalars: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Place:
    """Where a mirror is in the log, so that another process goes on from here. JSON by `dataclasses.asdict`."""

    step: int = 0  # of the last step line
    highest: int = -1  # step of the last point that was given
    repeated_until: int = -1  # a resumed run repeats the steps up to here
    cell: int = -1  # of the progress, in which the last point fell
    used: float = -1.0  # seconds of the budget at the last point
    seconds: float = 0.0  # of the budget at the last line
    finished: bool = False  # the run has come to its end
    skipped: int = 0  # steps with a non-finite loss or gradient
    phases: dict[str, float] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    waiting: Json | None = None  # the last step line, where it was thinned out


class Translation:
    """Log lines in, points out. `began` is the moment, in seconds since 1970, at which the budget was unused.

    A resumed run repeats some steps; those that were given once are not given again, so steps never fall.
    """

    def __init__(self, plan: Plan, place: Place, *, began: float = 0.0) -> None:
        self.place, self.began = place, began
        self._context = int(getattr(plan.shape, "context_length", 0))
        self._token_bytes = plan.predicted.bytes_per_token
        self._headline = plan.headline

    @property
    def finished(self) -> bool:
        """Whether the log has told the run's end."""
        return self.place.finished

    def take(self, line: Json) -> Iterator[Point]:
        """The points of one line; a line of another shape gives none."""
        try:
            match line.get("record"):
                case "step":
                    yield from self._step(line)
                case "validation":
                    yield from self._validation(line)
                case "sample":
                    yield from self._sample(line)
                case "measurement":
                    needs = line["needs"]
                    name = line["name"] + ("" if needs in ("", "model/") else f" with {needs}")
                    self.place.final[f"final/{name}"] = float(line["value"])
                case "phase":
                    sums = self.place.phases
                    sums[line["name"]] = sums.get(line["name"], 0.0) + float(line["seconds"])
                case "event":
                    self._event(line)
            self.place.seconds = float(line.get("used_seconds", self.place.seconds))
        except (KeyError, TypeError, ValueError):
            return

    def end(self) -> Iterator[Point]:
        """What a run shows when it is over or interrupted: its last step, its phases and its figures."""
        place = self.place
        if place.waiting is not None:
            yield self._given(place.waiting)
        scalars = {f"phases/{name} seconds": seconds for name, seconds in place.phases.items()} | place.final
        if scalars:
            place.highest = max(place.highest, place.step)
            yield self._point(place.highest, place.seconds, scalars)

    def _event(self, line: Json) -> None:
        if line["name"] == "resumed":
            self.place.repeated_until = max(self.place.repeated_until, self.place.highest)
            self.place.waiting = None
        elif line["name"] == "finished":
            self.place.finished = True

    def _step(self, line: Json) -> Iterator[Point]:
        place = self.place
        place.step = int(line["step"])
        if place.step <= place.repeated_until:
            return
        place.skipped += bool(line["skipped"])
        cell = int(float(line["progress"]) * STEPS_A_RUN)
        if cell != place.cell or float(line["used_seconds"]) - place.used >= SECONDS_APART:
            yield self._given(line)
        else:
            place.waiting = line

    def _given(self, line: Json) -> Point:
        place = self.place
        place.waiting = None
        place.cell, place.used = int(float(line["progress"]) * STEPS_A_RUN), float(line["used_seconds"])
        place.highest = int(line["step"])
        rows = int(line["micro_batch"]) * int(line["accumulation"])
        scalars = {
            "train/tokens": float(line["tokens"]),
            "train/learning_rate_factor": float(line["learning_rate_factor"]),
            "train/batch_rows": float(rows),
            "train/progress": float(line["progress"]),
            "train/used_seconds": float(line["used_seconds"]),
        }
        if place.skipped:
            scalars["train/skipped_steps"] = float(place.skipped)
        if not line["skipped"]:
            scalars["train/loss_nats"] = float(line["nats"])
            scalars["train/gradient_norm"] = float(line["gradient_norm"])
            if self._headline.of_text and self._token_bytes > 0:
                scalars["train/bits_per_byte"] = float(line["nats"]) / math.log(2) / self._token_bytes
        if self._context and line["seconds"] > 0:
            scalars["train/tokens_per_second"] = rows * self._context / float(line["seconds"])
        return self._point(place.highest, place.used, scalars)

    def _validation(self, line: Json) -> Iterator[Point]:
        if int(line["step"]) <= self.place.repeated_until:
            return
        of = "" if line["weights"] == "current" else f" of {line['weights']}"
        named = {self._headline.name: line["figure"], "perplexity": line["perplexity"]}
        scalars = {f"validation/{name}{of}": float(value) for name, value in named.items()}
        yield from self._caught_up()
        yield self._point(int(line["step"]), float(line["used_seconds"]), scalars)

    def _sample(self, line: Json) -> Iterator[Point]:
        if self.place.step <= self.place.repeated_until:
            return
        yield from self._caught_up()
        text = {"samples/text": f"{line['prompt']}{line['text']}"}
        yield self._point(self.place.step, float(line["used_seconds"]), {}, text)

    def _caught_up(self) -> Iterator[Point]:
        """The step that was thinned out, before what is measured at it: no step comes after a higher one."""
        if self.place.waiting is not None:
            yield self._given(self.place.waiting)

    def _point(
        self, step: int, seconds: float, scalars: dict[str, float], texts: dict[str, str] | None = None
    ) -> Point:
        finite = {tag: value for tag, value in scalars.items() if math.isfinite(value)}
        self.place.highest = max(self.place.highest, step)
        return Point(step=step, time=self.began + seconds, scalars=finite, texts=texts or {})


def place_of(data: Json) -> Place:
    """The place that `dataclasses.asdict` wrote; fields of another version are left out."""
    known = {f.name for f in dataclasses.fields(Place)}
    return Place(**{name: value for name, value in data.items() if name in known})
