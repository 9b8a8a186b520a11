"""Progress: shows a run's progress: a live line on a terminal, a plain line from time to time elsewhere."""

import contextlib
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from daybreak.core import units
from daybreak.core.messages import localized
from daybreak.core.metrics import BITS_PER_BYTE, Metric
from daybreak.core.records import Event, Record, Sample, Step, Validation
from daybreak.core.types import Machine, Plan

if TYPE_CHECKING:
    from rich.status import Status

PLAIN_EVERY = 0.05  # share of the progress between two lines, if the output is not a terminal
SMOOTHING = 0.05


def expected_final(bits_now: float, progress: float, planned: float) -> float:
    """Forecast of the final loss: the planned value at first, then more and more the observed loss.

    A long decay takes off its share late; the loss on training text stands above its end by about a seventh at the
    beginning of the decay and falls to it in a line (own runs).
    """
    seen = bits_now / (1 + 0.15 * (1 - progress))
    trust = min(1.0, max(0.0, (progress - 0.05) / 0.5))
    return planned * (1 - trust) + seen * trust


class Progress:
    """Prints the records of a run for its user."""

    def __init__(self, *, write: Callable[[str], object] | None = None, live: bool | None = None) -> None:
        self._to = write or self._to_error
        self._gone = False  # whether the terminal or pipe is closed: the run goes on without output
        self._live = sys.stderr.isatty() if live is None else live
        self._status: Status | None = None
        self._plan: Plan | None = None
        self._rate = self._loss = 0.0
        self._peak = 0.0
        self._printed_at = -1.0
        self._shown_at = 0.0
        self._bytes_per_token = 1.0
        self._flops = 0.0

    def phase(self, name: str) -> None:
        if not self._live:
            self._write(f"{name} ...")
            return
        self._line(f"{name} ...")

    def planned(self, plan: Plan, machine: Machine) -> None:
        self._plan = plan
        dtype = "bfloat16" if plan.technique("bf16") else "float32"
        self._peak = machine.matmul_flops.get(dtype, 0.0)
        if not plan.shape.counted:
            self._flops = plan.shape.flops_per_token()
        for line in summary(plan):
            self._print(line)

    def record(self, record: Record) -> None:
        match record:
            case Step():
                self._step(record)
            case Validation():
                weights = "" if record.weights == "current" else f" with the weights of {record.weights}"
                self._print(
                    f"{record.progress:4.0%}  held out: {self._headline().told(record.figure)}{weights}"
                    f"  (perplexity {record.perplexity:.2f}, {units.size(record.bytes)})"
                )
            case Sample():
                self._print(f"{record.progress:4.0%}  sample: {plain(record.prompt)}\u2502{plain(record.text)}")
            case Event(name="warning"):
                self._print(f"warning: {record.detail.get('what', '')}")
            case Event(name="mirror", detail={"name": name, "open": command}):
                self._print(f"{name}: open it with: {command}")
            case Event(name="stopped early"):
                self._print(f"{record.detail.get('progress', 1):4.0%}  stopped early: {record.detail.get('what', '')}")
            case Event(name="resumed"):
                self._print(
                    f"continued at step {record.detail.get('step')}, {units.duration(record.used_seconds)} used"
                )

    def close(self) -> None:
        if self._status is not None:
            with contextlib.suppress(OSError):
                self._status.stop()
            self._status = None

    def _step(self, step: Step) -> None:
        if self._plan is None or step.skipped:
            return
        rate = step.micro_batch * step.accumulation * self._context() / max(step.seconds, 1e-9)
        self._rate = rate if not self._rate else self._rate + SMOOTHING * (rate - self._rate)
        # The loss is in nats per target where the main metric is not in bits per byte.
        loss = step.nats / math.log(2) / self._token_bytes() if self._headline().of_text else step.nats
        self._loss = loss if not self._loss else self._loss + SMOOTHING * (loss - self._loss)
        now = time.monotonic()
        if self._live and now - self._shown_at > 0.2:
            self._shown_at = now
            self._line(self._words(step))
        elif not self._live and step.progress - self._printed_at >= PLAIN_EVERY:
            self._printed_at = step.progress
            self._write(self._words(step))

    def _words(self, step: Step) -> str:
        assert self._plan is not None
        used = f", MFU {self._rate * self._flops / self._peak:.0%}" if self._peak else ""
        left = max(0.0, self._plan.budget.seconds - step.used_seconds)
        headline, final = self._headline(), self._plan.predicted.figure
        if not headline.higher_is_better:
            final = expected_final(self._loss, step.progress, final)
        end = headline.told(final, 2) if headline.higher_is_better else f"{final:.2f}"
        loss = f"{self._loss:.3f} nats a target" if headline.higher_is_better else headline.told(self._loss)
        return (
            f"{step.progress:4.0%}  {loss}, {self._rate:,.0f} tokens/s{used}, "
            f"{units.duration(left)} left, expected end {end}"
        )

    def _headline(self) -> Metric:
        return self._plan.headline if self._plan is not None else BITS_PER_BYTE

    def _context(self) -> int:
        if self._plan is None or self._plan.shape.counted:
            return 1
        return self._plan.network.context_length

    def _token_bytes(self) -> float:
        return self._plan.predicted.bytes_per_token if self._plan else 1.0

    def _write(self, text: str) -> None:
        if self._gone:
            return
        try:
            self._to(localized(text))
        except OSError:
            self._gone = True

    def _line(self, text: str) -> None:
        if self._status is None:
            from rich.console import Console
            from rich.status import Status

            self._status = Status("", console=Console(stderr=True), refresh_per_second=5)
            with contextlib.suppress(OSError):
                self._status.start()
        self._status.update(localized(text).replace("[", "\\["))

    def _print(self, text: str) -> None:
        if self._status is not None:
            with contextlib.suppress(OSError):
                self._status.console.print(localized(text), markup=False, highlight=False)
        else:
            self._write(text)

    @staticmethod
    def _to_error(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Silence:
    """Prints nothing."""

    def phase(self, name: str) -> None: ...

    def planned(self, plan: Plan, machine: Machine) -> None: ...

    def record(self, record: Record) -> None: ...

    def close(self) -> None: ...


def plain(text: str) -> str:
    """A model's text on one line, without control characters, which could move the cursor or change colours."""
    return harmless(text).replace("\n", "\u21b5").replace("\t", " ")


def harmless(text: str) -> str:
    """The text without control characters, except line breaks and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def summary(plan: Plan) -> list[str]:
    """The plan in a few lines."""
    predicted = plan.predicted
    if plan.shape.counted:
        return [f"plan: {plan.shape.in_words()}"]
    shape = plan.network
    from daybreak.data.cleaning import STEPS  # imports numpy, which errors should not wait for

    of_text = [t.name for t in plan.techniques if t.name in STEPS]
    of_training = [t.name for t in plan.techniques if t.name not in of_text]
    cleaned = f"; text cleaned in {len(of_text)} steps" if of_text else ""
    lines = [
        f"plan: {units.count(shape.parameters())} parameters ({shape.layers} layers of {shape.width}, "
        f"vocabulary {plan.tokenizer.vocabulary}, context {shape.context_length}), "
        f"{units.count(plan.tokens)} tokens at {predicted.tokens_per_second:,.0f}/s, "
        f"{plan.optimizer.name}, {', '.join(of_training) or 'no techniques'}{cleaned}",
        f"expected: {plan.headline.told(predicted.figure, 2)} ({_band(plan)})",
    ]
    if not shape.native():
        left = ", ".join(f"{name}={value}" for name, value in shape.not_in_transformers().items())
        lines.append(f"native: no ({left}); only daybreak can open model/")
    return lines


def _band(plan: Plan) -> str:
    low, high = plan.predicted.figure_low, plan.predicted.figure_high
    return f"{low:.0%} to {high:.0%}" if plan.headline.percent else f"{low:.2f} to {high:.2f}"
