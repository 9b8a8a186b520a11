"""Measuring: which cells are made in which order, what tells most first; each is kept in a file of its own."""

import contextlib
import functools
import hashlib
import json
import math
import re
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daybreak.core.errors import ResourceError
from daybreak.core.run import write_json
from daybreak.core.types import Plan
from daybreak.evaluation import t_intervals
from daybreak.planning.execution_modes import mode_of
from daybreak.planning.speed import KERNELS_SECONDS
from daybreak.stages.measure import gains, trials
from daybreak.stages.measure.ablations import Case, with_rates
from daybreak.stages.measure.analysis import judged
from daybreak.stages.measure.cold_start import apart
from daybreak.stages.measure.trials import OutOfTime, Place

MOST_SEEDS = 8
SLOPE_SEEDS = 4  # of the plan at half the steps
LEAST_STEPS = 8  # of a learning cell
TIMING_SHARE = 0.3  # of a limited time, for the step times of all cases
FACTORS = (1 / 3, 1.0, 3.0)  # of an optimizer's usual rates; where the best is at an end, the search goes on there
MOST_FACTORS = 7
SEARCH_SHARE = 0.25  # of a learning cell's steps
SEARCH_SEED = 1_000_003  # beyond the plan's: rates are not chosen on the seeds that are judged
IMPORT_SECONDS = 8.0  # of a process of its own


class Measuring:
    """The cells of a run. plan: of `cases.trained_part`, with the run's own tokens; pace: seconds a token, about."""

    def __init__(
        self,
        place: Place,
        plan: Plan,
        chosen: list[Case],
        *,
        share: float,
        most_seeds: int,
        pace: float,
        told: Callable[[str], None],
    ) -> None:
        self.place, self.plan, self.cases, self.share = place, plan, chosen, share
        self.most_seeds, self.told = most_seeds, told
        self.factors: dict[str, float] = {}  # of the optimizers' rates, where they were searched for
        self.cells: dict[str, dict[str, Any]] = {}
        self.missing: list[str] = []
        self.least = math.inf  # seconds of the cheapest cell that there was no time for
        self._paces = {mode_of(plan): pace}  # seconds a token, by mode
        place.costs.setdefault("scoring", 0.5 * place.scored_tokens * pace)

    def carry_out(self) -> None:
        """Raises what a cell raises; what is done by then is in the cells."""
        for index, case in enumerate(self.cases):
            self._time(case, len(self.cases) - index)
        self.cases = [self._searched(case) for case in self.cases]
        for seed in range(self.most_seeds):
            undecided = [case for case in self.cases if not self.row(case)["decided"]]
            if not undecided:
                return
            if not self._learn("plan", self.plan, seed):  # without it there are no pairs
                self.missing += [f"learning, {_label(case)}, seed {seed}" for case in undecided]
                return
            if seed < SLOPE_SEEDS:
                self._learn("plan, half the steps", self.plan, seed, share=0.5)
            for case in undecided:
                self._learn(_label(case), case.changed, seed)
            if seed == 0:
                for case in self.cases:
                    self._start(case)

    def expected(self, seeds: int) -> float:
        """Seconds, about, of all cells that are not there yet, with so many seeds for every case."""
        changed = [case for case in self.cases if case.changed != self.plan]
        seconds = sum(
            self._timing_seconds(case) for case in changed if not self.known(self._time_key(case)).get("done")
        )
        for case in changed:
            if case.kind == "optimizer":
                seconds += len(FACTORS) * self._learning_seconds(case.one, self.tokens(SEARCH_SHARE))
            if case.starts_measured():
                keys = zip(self._start_keys(case), _sides(case), strict=True)
                seconds += sum(_start_seconds(case, plan) for key, (_, plan) in keys if not self.known(key))
        for seed in range(seeds):
            wanted = [("plan", self.plan, 1.0), *((_label(case), case.changed, 1.0) for case in changed)]
            wanted += [("plan, half the steps", self.plan, 0.5)] if seed < SLOPE_SEEDS else []
            for label, plan, share in wanted:
                if not self.known(self._learning_key(label, plan, seed, share)):
                    seconds += self._learning_seconds(plan, self.tokens(share))
        return seconds

    # The cells

    def _timing_seconds(self, case: Case) -> float:
        """Of all rounds of a case's step times."""
        blocks = trials.ROUNDS * trials.places_of(self.plan)
        steps = trials.BLOCK_STEPS * self.plan.batch_tokens
        return sum(
            blocks * max(trials.BLOCK_SECONDS, steps * self._pace(plan)) + _starting(plan)
            for plan in (case.one, case.other)
        )

    def _learning_seconds(self, plan: Plan, tokens: int) -> float:
        return 1.1 * tokens * self._pace(plan) + 1.5 * self.place.costs["scoring"] + _starting(plan)

    def _time(self, case: Case, cases_left: int) -> None:
        before = self.known(self._time_key(case))
        if before.get("done") or case.changed == self.plan:
            return
        place = self.place
        until = place.stopwatch.used() + TIMING_SHARE * place.left() / cases_left
        least = trials.LEAST_ROUNDS * min(trials.LEAST_PLACES, trials.places_of(self.plan)) * trials.BLOCK_STEPS + 3
        paces = self._pace(case.one) + self._pace(case.other)
        expected = least * self.plan.batch_tokens * paces + _starting(case.one) + _starting(case.other)

        def make() -> dict[str, Any]:
            return trials.timed(place, case.one, case.other, before, until=until)

        if made := self._made(self._time_key(case), f"step time, {_label(case)}", expected, make):
            for side, plan in (("one", case.one), ("other", case.other)):
                self._paces[mode_of(plan)] = statistics.median(s for taken in made[side] for s in taken)

    def _learn(self, label: str, plan: Plan, seed: int, *, share: float = 1.0) -> dict[str, Any]:
        """A learning cell, made now if need be; {} where there is no time for it."""
        key = self._learning_key(label, plan, seed, share)
        if known := self.known(key):
            return known
        tokens = self.tokens(share)
        expected = self._learning_seconds(plan, tokens)

        def make() -> dict[str, Any]:
            return trials.learned(self.place, plan.replace(seed=plan.seed + seed), tokens)

        made = self._made(key, f"learning, {label}, seed {seed}", expected, make)
        if made:
            self._paces[mode_of(plan)] = made["training_seconds"] / made["tokens"]
        return made

    def _searched(self, case: Case) -> Case:
        """An optimizer's case at the best rates of a few; others as they are."""
        if case.kind != "optimizer" or case.changed == self.plan:
            return case
        tried: dict[float, float] = {}
        wanted = list(FACTORS)
        while wanted and len(tried) < MOST_FACTORS:
            factor = wanted.pop(0)
            label = f"{case.name} at {factor:.3g} of its rates"
            cell = self._learn(label, with_rates(case.one, factor), SEARCH_SEED, share=SEARCH_SHARE)
            if not cell:
                break
            tried[factor] = math.inf if cell["loss"] is None else cell["loss"]
            if not wanted:
                best = min(tried, key=lambda one: tried[one])
                beyond = {max(tried): 3 * best, min(tried): best / 3}
                wanted = [beyond[best]] if best in beyond and math.isfinite(tried[best]) else []
        if not tried:
            return case
        self.factors[case.name] = min(tried, key=lambda one: tried[one])
        return replace(case, one=with_rates(case.one, self.factors[case.name]))

    def _start(self, case: Case) -> None:
        """Cold and warm start where the sides compile different things; memory where that is what is claimed."""
        if not case.starts_measured():
            return
        for key, (side, plan) in zip(self._start_keys(case), _sides(case), strict=True):
            if not self.known(key):
                seconds = self.place.left() if math.isfinite(self.place.end) else None
                make = functools.partial(
                    apart, plan, self.place.machine, str(self.place.device), warm=case.starts_differ(), seconds=seconds
                )
                self._made(key, f"start and memory, {side} {case.name}", _start_seconds(case, plan), make)

    def _made(self, key: str, label: str, expected: float, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Makes a cell and writes it; {} where there is no time for it. Raises ResourceError: it cannot be written."""
        self.place.check()
        if expected > self.place.left():
            self.missing.append(label)
            self.least = min(self.least, expected)
            return {}
        self.told(label)
        try:
            cell = {"schema": trials.SCHEMA, "cell": label, **make()}
        except (OutOfTime, TimeoutError):
            self.missing.append(label)
            self.least = min(self.least, 2 * expected)
            return {}
        except ResourceError:
            self.place.check()  # a Ctrl-C also ends the process that was asked
            raise
        self.cells[key] = cell
        try:
            self.place.run.measure_cells_folder.mkdir(parents=True, exist_ok=True)
            write_json(self.place.run.measure_cell_file(key), cell)
        except OSError as error:
            raise ResourceError(
                "the measurements could not be written",
                received=f"{self.place.run.measure_cells_folder}: {error.strerror}",
                attempt="free some disk space; the same command goes on",
            ) from None
        return cell

    def known(self, key: str) -> dict[str, Any]:
        """A cell that was made before; {} where there is none, or a torn one."""
        if key not in self.cells:
            with contextlib.suppress(OSError, ValueError):
                cell = json.loads(self.place.run.measure_cell_file(key).read_text(encoding="utf-8"))
                if isinstance(cell, dict) and cell.get("schema") == trials.SCHEMA:
                    self.cells[key] = cell
        return self.cells.get(key, {})

    def _pace(self, plan: Plan) -> float:
        """Seconds a token takes, about; a mode that was not timed yet is guessed from the plan's."""
        mode, known = mode_of(plan), self._paces[mode_of(self.plan)]
        slower = self.plan.predicted.compiled_speedup if mode == "eager" else 1.0
        return self._paces.get(mode, known * max(1.0, slower))

    # Their names: the same for the same measurement, so that a changed plan finds no cell of the old one

    def _time_key(self, case: Case) -> str:
        # The rates are changed by the search, and nothing of a step's time is changed by them.
        plans = [_decisions(with_rates(plan, 0.0)) for plan in (case.one, case.other)]
        return _key("time", case.name, [*plans, self.plan.tokens, self.place.machine.key()])

    def _learning_key(self, label: str, plan: Plan, seed: int, share: float) -> str:
        of = [_decisions(plan), self.tokens(share), self.place.scored_tokens, seed]
        return _key("learn", f"{label} seed {seed}", of)

    def _start_keys(self, case: Case) -> list[str]:
        rest = [self.place.machine.key(), case.starts_differ()]
        # The plan itself stands in every case, and is started once.
        labels = ["plan" if plan == self.plan else _label(case) for _, plan in _sides(case)]
        plans = [_decisions(plan) for _, plan in _sides(case)]
        return [_key("start", label, [plan, *rest]) for label, plan in zip(labels, plans, strict=True)]

    def tokens(self, share: float = 1.0) -> int:
        """Of a learning cell: whole steps."""
        steps = self.share * self.plan.tokens / self.plan.batch_tokens
        return max(LEAST_STEPS, round(share * max(2 * LEAST_STEPS, steps))) * self.plan.batch_tokens

    # What they tell

    def losses(self, label: str, plan: Plan, share: float = 1.0) -> dict[int, float | None]:
        """Losses by seed, of the learning cells that are there; None where the training diverged."""
        seeds = range(max(self.most_seeds, MOST_SEEDS))
        found = {seed: self.known(self._learning_key(label, plan, seed, share)) for seed in seeds}
        return {seed: cell["loss"] for seed, cell in found.items() if cell}

    def slope(self) -> t_intervals.Estimate | None:
        """See gains.slope_of."""
        whole, half = self.losses("plan", self.plan), self.losses("plan, half the steps", self.plan, 0.5)
        both = [(w, h) for seed, w in whole.items() if w is not None and (h := half.get(seed)) is not None]
        return gains.slope_of([w for w, _ in both], [h for _, h in both])

    def row(self, case: Case) -> dict[str, Any]:
        """A case as it stands in `measure.json`."""
        row: dict[str, Any] = {
            "name": case.name,
            "kind": case.kind,
            "claim": case.claim,
            "in_plan": case.in_plan or case.changed == self.plan,
            "note": case.note,
            "modes": dict(zip(("with", "without"), case.modes(), strict=True)) if case.starts_differ() else None,
        }
        if case.kind == "optimizer":
            row |= {
                "learning_rate": case.one.optimizer.learning_rate,
                "table_learning_rate": case.one.optimizer.table_learning_rate,
                "rate_factor": self.factors.get(case.name),
            }
        if case.changed == self.plan:  # the plan's own optimizer
            nothing = judged(time_cell={}, one={}, other={}, slope=None, starts=None, run_tokens=0)
            return {**row, **nothing, "note": "the plan itself", "decided": True}
        plan, changed = self.losses("plan", self.plan), self.losses(_label(case), case.changed)
        one, other = (plan, changed) if case.in_plan else (changed, plan)
        starts = [self.known(key) for key in self._start_keys(case)]
        told = judged(
            time_cell=self.known(self._time_key(case)),
            one=one,
            other=other,
            slope=self.slope(),
            starts=starts if all(starts) else None,
            run_tokens=self.plan.tokens,
            starts_differ=case.starts_differ(),
        )
        return row | told


def _decisions(plan: Plan) -> dict[str, Any]:
    """What of a plan a measurement depends on."""
    names = ("objective", "corpus", "tokenizer", "shape", "batch_tokens", "micro_batch", "optimizer", "schedule")
    whole = plan.to_json()
    return {name: whole[name] for name in (*names, "techniques", "seed")}


def _key(kind: str, label: str, of: Any) -> str:
    digest = hashlib.sha256(json.dumps([kind, of], sort_keys=True).encode()).hexdigest()[:12]
    words = re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")
    return f"{kind}-{words}-{digest}"


def _label(case: Case) -> str:
    if case.kind != "technique":
        return case.name
    return f"{'without' if case.in_plan else 'with'} {case.name}"


def _sides(case: Case) -> tuple[tuple[str, Plan], tuple[str, Plan]]:
    return ("with", case.one), ("without", case.other)


def _start_seconds(case: Case, plan: Plan) -> float:
    """Of a process of its own that starts a plan, a second time where that differs, about."""
    return IMPORT_SECONDS + _starting(plan) + case.starts_differ() * IMPORT_SECONDS


def _starting(plan: Plan) -> float:
    """Seconds until a plan's steps are steady, about."""
    ready = {"compiled": plan.predicted.compile_seconds, "kernels": KERNELS_SECONDS}
    return 0.5 + ready.get(mode_of(plan), 0.0)
