"""Runner: runs the trials of a measurement, the most informative first, and keeps each in a file of its own."""

import contextlib
import functools
import hashlib
import json
import math
import re
import statistics
from collections.abc import Callable
from dataclasses import replace

from daybreak.core.errors import ResourceError
from daybreak.core.run import write_json
from daybreak.core.types import Plan
from daybreak.core.values import Json
from daybreak.evaluation import t_intervals
from daybreak.planning.execution_modes import mode_of
from daybreak.planning.speed import KERNELS_SECONDS
from daybreak.stages.measure import gains, trials
from daybreak.stages.measure.ablations import Case, with_rates
from daybreak.stages.measure.analysis import analyze
from daybreak.stages.measure.cold_start import measure_in_subprocess
from daybreak.stages.measure.trials import MeasurementSetup, OutOfTime

MOST_SEEDS = 8
SLOPE_SEEDS = 4  # trials of the plan with half the steps
LEAST_STEPS = 8  # of a training trial
TIMING_SHARE = 0.3  # share of a limited time for measuring the step times of all cases
FACTORS = (1 / 3, 1.0, 3.0)  # times an optimizer's usual rates; if the best is the first or last, the search goes on
MOST_FACTORS = 7
SEARCH_SHARE = 0.25  # of a training trial's steps
SEARCH_SEED = 1_000_003  # added to the plan's: rates are not chosen on the seeds that the verdict uses
IMPORT_SECONDS = 8.0  # that a new process takes to start


class TrialRunner:
    """Runs the trials of a run's plan and keeps them in its folder.

    plan: the result of `ablations.trained_part`, with the tokens that the run was trained on. pace: about how many
    seconds a token takes. log: is given a line before each trial.
    """

    def __init__(
        self,
        setup: MeasurementSetup,
        plan: Plan,
        chosen: list[Case],
        *,
        share: float,
        most_seeds: int,
        pace: float,
        log: Callable[[str], None],
    ) -> None:
        self.setup, self.plan, self.cases, self.share = setup, plan, chosen, share
        self.most_seeds, self.log = most_seeds, log
        self.factors: dict[str, float] = {}  # by case: the best factor on an optimizer's usual learning rates
        self.trials: dict[str, Json] = {}
        self.missing: list[str] = []
        self.least = math.inf  # seconds of the shortest trial that there was no time for
        self._paces = {mode_of(plan): pace}  # seconds a token, by execution mode
        setup.costs.setdefault("scoring", 0.5 * setup.scored_tokens * pace)

    def carry_out(self) -> None:
        """Runs what is missing. Raises what a trial raises; the trials done by then are kept."""
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
        """About how many seconds all missing trials take, with so many seeds for every case."""
        changed = [case for case in self.cases if case.changed != self.plan]
        seconds = sum(
            self._timing_seconds(case) for case in changed if not self.known(self._time_key(case)).get("done")
        )
        for case in changed:
            if case.kind == "optimizer":
                seconds += len(FACTORS) * self._learning_seconds(case.with_, self.tokens(SEARCH_SHARE))
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

    # The trials

    def _timing_seconds(self, case: Case) -> float:
        """Seconds that all rounds of timing a case take, about."""
        blocks = trials.ROUNDS * trials.moments_of(self.plan)
        steps = trials.BLOCK_STEPS * self.plan.batch_tokens
        return sum(
            blocks * max(trials.BLOCK_SECONDS, steps * self._pace(plan)) + _starting(plan)
            for plan in (case.with_, case.without)
        )

    def _learning_seconds(self, plan: Plan, tokens: int) -> float:
        return 1.1 * tokens * self._pace(plan) + 1.5 * self.setup.costs["scoring"] + _starting(plan)

    def _time(self, case: Case, cases_left: int) -> None:
        before = self.known(self._time_key(case))
        if before.get("done") or case.changed == self.plan:
            return
        setup = self.setup
        until = setup.stopwatch.used() + TIMING_SHARE * setup.left() / cases_left
        least = trials.LEAST_ROUNDS * min(trials.LEAST_MOMENTS, trials.moments_of(self.plan)) * trials.BLOCK_STEPS + 3
        paces = self._pace(case.with_) + self._pace(case.without)
        expected = least * self.plan.batch_tokens * paces + _starting(case.with_) + _starting(case.without)

        def work() -> Json:
            return trials.timed(setup, case.with_, case.without, before, until=until)

        if timing := self._run(self._time_key(case), f"step time, {_label(case)}", expected, work):
            for side, plan in (("one", case.with_), ("other", case.without)):
                self._paces[mode_of(plan)] = statistics.median(s for taken in timing[side] for s in taken)

    def _learn(self, label: str, plan: Plan, seed: int, *, share: float = 1.0) -> Json:
        """A training trial, run now if it was not kept; {} if there is no time for it."""
        key = self._learning_key(label, plan, seed, share)
        if known := self.known(key):
            return known
        tokens = self.tokens(share)
        expected = self._learning_seconds(plan, tokens)

        def work() -> Json:
            return trials.learned(self.setup, plan.replace(seed=plan.seed + seed), tokens)

        trial = self._run(key, f"learning, {label}, seed {seed}", expected, work)
        if trial:
            self._paces[mode_of(plan)] = trial["training_seconds"] / trial["tokens"]
        return trial

    def _searched(self, case: Case) -> Case:
        """An optimizer's case at the best of a few learning rates; other cases unchanged."""
        if case.kind != "optimizer" or case.changed == self.plan:
            return case
        tried: dict[float, float] = {}
        wanted = list(FACTORS)
        while wanted and len(tried) < MOST_FACTORS:
            factor = wanted.pop(0)
            label = f"{case.name} at {factor:.3g} of its rates"
            trial = self._learn(label, with_rates(case.with_, factor), SEARCH_SEED, share=SEARCH_SHARE)
            if not trial:
                break
            tried[factor] = math.inf if trial["loss"] is None else trial["loss"]
            if not wanted:
                best = min(tried, key=lambda one: tried[one])
                beyond = {max(tried): 3 * best, min(tried): best / 3}
                wanted = [beyond[best]] if best in beyond and math.isfinite(tried[best]) else []
        if not tried:
            return case
        self.factors[case.name] = min(tried, key=lambda one: tried[one])
        return replace(case, with_=with_rates(case.with_, self.factors[case.name]))

    def _start(self, case: Case) -> None:
        """Measures cold and warm start if the two plans compile different things, and memory if that is the claim."""
        if not case.starts_measured():
            return
        for key, (side, plan) in zip(self._start_keys(case), _sides(case), strict=True):
            if not self.known(key):
                seconds = self.setup.left() if math.isfinite(self.setup.end) else None
                work = functools.partial(
                    measure_in_subprocess,
                    plan,
                    self.setup.machine,
                    str(self.setup.device),
                    warm=case.starts_differ(),
                    seconds=seconds,
                )
                self._run(key, f"start and memory, {side} {case.name}", _start_seconds(case, plan), work)

    def _run(self, key: str, label: str, expected: float, work: Callable[[], Json]) -> Json:
        """Runs a trial and writes it; {} if there is no time for it. Raises ResourceError: it cannot be written."""
        self.setup.check()
        if expected > self.setup.left():
            self.missing.append(label)
            self.least = min(self.least, expected)
            return {}
        self.log(label)
        try:
            trial = {"schema": trials.SCHEMA, "cell": label, **work()}
        except (OutOfTime, TimeoutError):
            self.missing.append(label)
            self.least = min(self.least, 2 * expected)
            return {}
        except ResourceError:
            self.setup.check()  # Ctrl-C also ends the subprocess
            raise
        self.trials[key] = trial
        try:
            self.setup.run.measure_trials_folder.mkdir(parents=True, exist_ok=True)
            write_json(self.setup.run.measure_trial_file(key), trial)
        except OSError as error:
            raise ResourceError(
                "the measurements could not be written",
                received=f"{self.setup.run.measure_trials_folder}: {error.strerror}",
                attempt="free some disk space; repeating the command continues",
            ) from None
        return trial

    def known(self, key: str) -> Json:
        """A trial that was kept; {} if there is none, or only a damaged file."""
        if key not in self.trials:
            with contextlib.suppress(OSError, ValueError):
                trial = json.loads(self.setup.run.measure_trial_file(key).read_text(encoding="utf-8"))
                if isinstance(trial, dict) and trial.get("schema") == trials.SCHEMA:
                    self.trials[key] = trial
        return self.trials.get(key, {})

    def _pace(self, plan: Plan) -> float:
        """About how many seconds a token takes; for a mode that was not timed yet, a guess from the plan's."""
        mode, known = mode_of(plan), self._paces[mode_of(self.plan)]
        slower = self.plan.predicted.compiled_speedup if mode == "eager" else 1.0
        return self._paces.get(mode, known * max(1.0, slower))

    # Names of trials: they hold a digest of what is measured, so that a changed plan does not find the old trials

    def _time_key(self, case: Case) -> str:
        # Learning rates change in the search and do not change the time of a step.
        plans = [_decisions(with_rates(plan, 0.0)) for plan in (case.with_, case.without)]
        return _key("time", case.name, [*plans, self.plan.tokens, self.setup.machine.key()])

    def _learning_key(self, label: str, plan: Plan, seed: int, share: float) -> str:
        depends_on = [_decisions(plan), self.tokens(share), self.setup.scored_tokens, seed]
        return _key("learn", f"{label} seed {seed}", depends_on)

    def _start_keys(self, case: Case) -> list[str]:
        rest = [self.setup.machine.key(), case.starts_differ()]
        # The run's own plan is in every case and is started only once.
        labels = ["plan" if plan == self.plan else _label(case) for _, plan in _sides(case)]
        plans = [_decisions(plan) for _, plan in _sides(case)]
        return [_key("start", label, [plan, *rest]) for label, plan in zip(labels, plans, strict=True)]

    def tokens(self, share: float = 1.0) -> int:
        """Tokens of a training trial: whole steps."""
        steps = self.share * self.plan.tokens / self.plan.batch_tokens
        return max(LEAST_STEPS, round(share * max(2 * LEAST_STEPS, steps))) * self.plan.batch_tokens

    # Results

    def losses(self, label: str, plan: Plan, share: float = 1.0) -> dict[int, float | None]:
        """Losses of the training trials that are kept, by seed; None: the training diverged."""
        seeds = range(max(self.most_seeds, MOST_SEEDS))
        found = {seed: self.known(self._learning_key(label, plan, seed, share)) for seed in seeds}
        return {seed: trial["loss"] for seed, trial in found.items() if trial}

    def slope(self) -> t_intervals.Estimate | None:
        """How much more training lowers the loss; see `gains.slope_of`."""
        whole, half = self.losses("plan", self.plan), self.losses("plan, half the steps", self.plan, 0.5)
        both = [(w, h) for seed, w in whole.items() if w is not None and (h := half.get(seed)) is not None]
        return gains.slope_of([w for w, _ in both], [h for _, h in both])

    def row(self, case: Case) -> Json:
        """A row of `measure.json`."""
        row: Json = {
            "name": case.name,
            "kind": case.kind,
            "claim": case.claim,
            "in_plan": case.in_plan or case.changed == self.plan,
            "note": case.note,
            "modes": dict(zip(("with", "without"), case.modes(), strict=True)) if case.starts_differ() else None,
        }
        if case.kind == "optimizer":
            row |= {
                "learning_rate": case.with_.optimizer.learning_rate,
                "table_learning_rate": case.with_.optimizer.table_learning_rate,
                "rate_factor": self.factors.get(case.name),
            }
        if case.changed == self.plan:  # the plan's own optimizer
            nothing = analyze(timing={}, with_={}, without={}, slope=None, starts=None, run_tokens=0)
            return {**row, **nothing, "note": "the plan itself", "decided": True}
        plan, changed = self.losses("plan", self.plan), self.losses(_label(case), case.changed)
        with_, without = (plan, changed) if case.in_plan else (changed, plan)
        starts = [self.known(key) for key in self._start_keys(case)]
        result = analyze(
            timing=self.known(self._time_key(case)),
            with_=with_,
            without=without,
            slope=self.slope(),
            starts=starts if all(starts) else None,
            run_tokens=self.plan.tokens,
            starts_differ=case.starts_differ(),
        )
        return row | result


def _decisions(plan: Plan) -> Json:
    """The part of a plan that a trial depends on."""
    names = ("objective", "corpus", "tokenizer", "shape", "batch_tokens", "micro_batch", "optimizer", "schedule")
    whole = plan.to_json()
    return {name: whole[name] for name in (*names, "techniques", "seed")}


def _key(kind: str, label: str, depends_on: object) -> str:
    digest = hashlib.sha256(json.dumps([kind, depends_on], sort_keys=True).encode()).hexdigest()[:12]
    words = re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")
    return f"{kind}-{words}-{digest}"


def _label(case: Case) -> str:
    if case.kind != "technique":
        return case.name
    return f"{'without' if case.in_plan else 'with'} {case.name}"


def _sides(case: Case) -> tuple[tuple[str, Plan], tuple[str, Plan]]:
    return ("with", case.with_), ("without", case.without)


def _start_seconds(case: Case, plan: Plan) -> float:
    """About how many seconds measuring a start takes in a new process; twice the import where a warm start follows."""
    return IMPORT_SECONDS + _starting(plan) + case.starts_differ() * IMPORT_SECONDS


def _starting(plan: Plan) -> float:
    """About how many seconds pass before a plan's steps are steady."""
    ready = {"compiled": plan.predicted.compile_seconds, "kernels": KERNELS_SECONDS}
    return 0.5 + ready.get(mode_of(plan), 0.0)
