"""Faults: makes something go wrong at a named point, for tests; nothing does unless DAYBREAK_FAULT asks for it.

    DAYBREAK_FAULT="checkpoint.rename:kill@2" daybreak run ...

A fault is POINT:KIND or POINT:KIND=VALUE, then @TURN: the first time that the point is reached (where nothing is said),
the TURN-th, or @* every time. @?TURNS is one of the first TURNS, which DAYBREAK_FAULT_SEED draws. Several are separated
by commas. What was done is told on standard error with the variables that repeat it.
"""

import errno
import functools
import math
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass

POINTS = {
    "prepare.part": "after a part of the text is cleaned and on disk",
    "prepare.tokenizer": "before a tokenizer is learnt",
    "prepare.facts": "before the facts of the whole text are written",
    "phase.imports": "before the libraries are waited for",
    "phase.scan": "before the text is read",
    "phase.probe": "before steps are timed",
    "phase.plan": "before the plan is made",
    "phase.encode": "before the text is encoded",
    "phase.build": "before the network is built",
    "phase.counting": "before n-grams are counted beside the network",
    "phase.report": "before the report is written",
    "checkpoint.sweep": "before what a killed save has left is taken away",
    "checkpoint.make": "before the folder aside is made",
    "checkpoint.state": "before weights and optimizer's state are written",
    "checkpoint.facts": "before the facts beside them are written",
    "checkpoint.manifest": "before sizes and hashes are written",
    "checkpoint.sync": "before a file is synced, each",
    "checkpoint.rename": "before the one rename that makes it count",
    "checkpoint.renamed": "after it",
    "checkpoint.prune": "before older ones are taken away",
    "model.write": "before model/ is written",
    "export.write": "before an export is written",
    "export.rename": "after it was compared, before the rename that makes it count",
    "step.forward": "in the forward pass",
    "step.backward": "in the backward pass",
    "step.optimizer": "in the optimizer's step",
    "step.loss": "the value of the loss",
    "step.gradient": "the value of the gradient's norm",
    "step.end": "after a step",
    "validate": "before a validation",
}
ERRNOS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES")}
SIGNALS = {"kill": "SIGKILL", "term": "SIGTERM", "int": "SIGINT", "usr1": "SIGUSR1", "hup": "SIGHUP"}
VALUES = {"nan": math.nan, "inf": math.inf, "spike": 100.0}  # the last one times what it was
KINDS = (*SIGNALS, *ERRNOS, *VALUES, "memory", "slow")
_WRITTEN = re.compile(r"(?P<point>[\w.]+):(?P<kind>\w+)(?:=(?P<value>[\d.]+))?(?:@(?P<turn>\*|\d+|\?\d+))?")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. turn: 0 is every time."""

    point: str
    kind: str
    value: float
    turn: int
    written: str


def read(asked: str, seed: int = 0) -> tuple[Fault, ...]:
    """Raises ValueError: no such point, kind or form. A test that injects nothing would prove nothing."""
    found = []
    for number, one in enumerate(part.strip() for part in asked.split(",")):
        matched = _WRITTEN.fullmatch(one)
        if not matched or matched["point"] not in POINTS or matched["kind"] not in KINDS:
            raise ValueError(f"DAYBREAK_FAULT={asked}: {one} is no POINT:KIND[=VALUE][@TURN] of a known point and kind")
        turn = matched["turn"] or "1"
        if turn.startswith("?"):
            turn = str(random.Random(f"{seed} {number}").randint(1, int(turn[1:])))
        found.append(
            Fault(matched["point"], matched["kind"], float(matched["value"] or 1), 0 if turn == "*" else int(turn), one)
        )
    return tuple(found)


def at(point: str) -> None:
    """Kills, raises, signals or waits, where a fault is due."""
    for fault in _due(point):
        if fault.kind in SIGNALS:
            os.kill(os.getpid(), getattr(signal, SIGNALS[fault.kind]))
        elif fault.kind in ERRNOS:
            raise OSError(ERRNOS[fault.kind], os.strerror(ERRNOS[fault.kind]))
        elif fault.kind == "memory":
            raise RuntimeError("an injected fault: out of memory")
        elif fault.kind == "slow":
            time.sleep(fault.value)


def of(point: str, value: float) -> float:
    """The value, or a broken one where a fault is due."""
    for fault in _due(point):
        value = value * VALUES["spike"] if fault.kind == "spike" else VALUES.get(fault.kind, value)
    return value


def _due(point: str) -> tuple[Fault, ...]:
    faults = _asked()
    if not faults:
        return ()
    _turns[point] += 1
    due = tuple(fault for fault in faults if fault.point == point and fault.turn in (0, _turns[point]))
    for fault in due:
        seed = os.environ.get("DAYBREAK_FAULT_SEED", "0")
        print(f"injected: {fault.written}; DAYBREAK_FAULT={os.environ['DAYBREAK_FAULT']!r} "
              f"DAYBREAK_FAULT_SEED={seed} repeats it", file=sys.stderr, flush=True)  # fmt: skip
    return due


_turns: Counter[str] = Counter()


@functools.cache
def _asked() -> tuple[Fault, ...]:
    asked = os.environ.get("DAYBREAK_FAULT", "")
    return read(asked, int(os.environ.get("DAYBREAK_FAULT_SEED", "0"))) if asked else ()


def forget() -> None:
    """Reads the variables anew and counts from the start: between two tests in one process."""
    _asked.cache_clear()
    _turns.clear()
