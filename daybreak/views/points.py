"""Points: turns the lines of a run's log into the points that a mirror writes: thinned, in order, each only once."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from daybreak.core.types import Plan
from daybreak.core.values import Json

STEPS_A_RUN = 2000  # steps shown at least, if there are as many, spread evenly over the run's progress
SECONDS_APART = 0.5  # more steps are shown if they are this far apart


@dataclass(frozen=True, kw_only=True)
class Point:
    """The values of one step. Tags have one slash, such as train/loss_nats."""

    step: int
    time: float  # seconds since 1970
    scalars: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class MirrorState:
    """How far a mirror has read the log, so that another process can continue. JSON by `dataclasses.asdict`."""

    step: int = 0  # of the last line on a step
    highest: int = -1  # step of the last point
    repeated_until: int = -1  # a resumed run repeats the steps up to here
    cell: int = -1  # of STEPS_A_RUN equal parts of the progress, the one of the last point
    used: float = -1.0  # seconds of the budget used at the last point
    seconds: float = 0.0  # seconds of the budget used at the last line
    finished: bool = False  # the run has come to its end
    skipped: int = 0  # steps with a non-finite loss or gradient
    phases: dict[str, float] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    waiting: Json | None = None  # the last step line, where it was thinned out


class Translation:
    """Translates log lines into points.

    began: when the budget began, in seconds since 1970. A resumed run repeats some steps; their points are left out, so
    that steps never decrease.
    """

    def __init__(self, plan: Plan, state: MirrorState, *, began: float = 0.0) -> None:
        self.state, self.began = state, began
        self._context = int(getattr(plan.shape, "context_length", 0))
        self._token_bytes = plan.predicted.bytes_per_token
        self._headline = plan.headline

    @property
    def finished(self) -> bool:
        """Whether the log says that the run has finished."""
        return self.state.finished

    def take(self, line: Json) -> Iterator[Point]:
        """The points of one line; none for a line that is damaged or of an unknown kind."""
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
                    self.state.final[f"final/{name}"] = float(line["value"])
                case "phase":
                    sums = self.state.phases
                    sums[line["name"]] = sums.get(line["name"], 0.0) + float(line["seconds"])
                case "event":
                    self._event(line)
            self.state.seconds = float(line.get("used_seconds", self.state.seconds))
        except (KeyError, TypeError, ValueError):
            return

    def end(self) -> Iterator[Point]:
        """The points at the end of a run, finished or not: its last step, the seconds of its phases, its scores."""
        state = self.state
        if state.waiting is not None:
            yield self._given(state.waiting)
        scalars = {f"phases/{name} seconds": seconds for name, seconds in state.phases.items()} | state.final
        if scalars:
            state.highest = max(state.highest, state.step)
            yield self._point(state.highest, state.seconds, scalars)

    def _event(self, line: Json) -> None:
        if line["name"] == "resumed":
            self.state.repeated_until = max(self.state.repeated_until, self.state.highest)
            self.state.waiting = None
        elif line["name"] == "finished":
            self.state.finished = True

    def _step(self, line: Json) -> Iterator[Point]:
        state = self.state
        state.step = int(line["step"])
        if state.step <= state.repeated_until:
            return
        state.skipped += bool(line["skipped"])
        cell = int(float(line["progress"]) * STEPS_A_RUN)
        if cell != state.cell or float(line["used_seconds"]) - state.used >= SECONDS_APART:
            yield self._given(line)
        else:
            state.waiting = line

    def _given(self, line: Json) -> Point:
        state = self.state
        state.waiting = None
        state.cell, state.used = int(float(line["progress"]) * STEPS_A_RUN), float(line["used_seconds"])
        state.highest = int(line["step"])
        rows = int(line["micro_batch"]) * int(line["accumulation"])
        scalars = {
            "train/tokens": float(line["tokens"]),
            "train/learning_rate_factor": float(line["learning_rate_factor"]),
            "train/batch_rows": float(rows),
            "train/progress": float(line["progress"]),
            "train/used_seconds": float(line["used_seconds"]),
        }
        if state.skipped:
            scalars["train/skipped_steps"] = float(state.skipped)
        if not line["skipped"]:
            scalars["train/loss_nats"] = float(line["nats"])
            scalars["train/gradient_norm"] = float(line["gradient_norm"])
            if self._headline.of_text and self._token_bytes > 0:
                scalars["train/bits_per_byte"] = float(line["nats"]) / math.log(2) / self._token_bytes
        if self._context and line["seconds"] > 0:
            scalars["train/tokens_per_second"] = rows * self._context / float(line["seconds"])
        return self._point(state.highest, state.used, scalars)

    def _validation(self, line: Json) -> Iterator[Point]:
        if int(line["step"]) <= self.state.repeated_until:
            return
        of = "" if line["weights"] == "current" else f" of {line['weights']}"
        named = {self._headline.name: line["figure"], "perplexity": line["perplexity"]}
        scalars = {f"validation/{name}{of}": float(value) for name, value in named.items()}
        yield from self._caught_up()
        yield self._point(int(line["step"]), float(line["used_seconds"]), scalars)

    def _sample(self, line: Json) -> Iterator[Point]:
        if self.state.step <= self.state.repeated_until:
            return
        yield from self._caught_up()
        text = {"samples/text": f"{line['prompt']}{line['text']}"}
        yield self._point(self.state.step, float(line["used_seconds"]), {}, text)

    def _caught_up(self) -> Iterator[Point]:
        """The step that was left out, if any: it has to come before a later point."""
        if self.state.waiting is not None:
            yield self._given(self.state.waiting)

    def _point(
        self, step: int, seconds: float, scalars: dict[str, float], texts: dict[str, str] | None = None
    ) -> Point:
        finite = {tag: value for tag, value in scalars.items() if math.isfinite(value)}
        self.state.highest = max(self.state.highest, step)
        return Point(step=step, time=self.began + seconds, scalars=finite, texts=texts or {})


def state_from_json(data: Json) -> MirrorState:
    """The state that `dataclasses.asdict` wrote; fields of another version are left out."""
    known = {f.name for f in dataclasses.fields(MirrorState)}
    return MirrorState(**{name: value for name, value in data.items() if name in known})
