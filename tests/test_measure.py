"""Measure: cells that go on, planted techniques that do nothing or harm, the order, the deadline, and errors."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from daybreak import cli, techniques
from daybreak.core.clock import Stopwatch
from daybreak.core.errors import BudgetTooShort, DaybreakError, UsageError
from daybreak.core.run import Run, write_json
from daybreak.core.shapes import GptShape, NgramShape
from daybreak.core.types import Machine, Plan, Request, TechniqueChoice
from daybreak.engine import optimizers
from daybreak.engine.machine import compiler
from daybreak.models import ladder
from daybreak.stages.measure import ablations, cold_start, runner, trials
from daybreak.stages.measure import measurement as measure
from daybreak.stages.prepare import prepare_only
from daybreak.techniques import Context, Technique
from daybreak.training.marks import Marks
from daybreak.views import gains, report_page

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Idle(Technique):
    """Watches and does nothing."""

    claim = "bits_per_byte"

    def step(self, followers: list[Any], run: Context) -> tuple[list[Any], int]:
        return [*followers, lambda module, progress: None], 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frozen(Technique):
    """Learns nothing at all."""

    claim = "bits_per_byte"

    def optimizer(self, optimizer: Any, run: Context) -> tuple[Any, int]:
        optimizer.parts = []
        return optimizer, 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blind(Technique):
    """Touches nothing."""

    claim = "bits_per_byte"

    def module(self, module: Any, run: Context) -> tuple[Any, int]:
        return module, 0


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"idle": Idle, "frozen": Frozen, "blind": Blind}
    entries = {name: SimpleNamespace(load=lambda kind=kind: kind) for name, kind in kinds.items()}
    monkeypatch.setattr(techniques, "_third_parties", lambda: entries)
    monkeypatch.setattr(measure, "LEAST_SCORED_BYTES", 4000)


@pytest.fixture(scope="module")
def text_folder(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    (folder / "text.txt").write_text(small_text.read_text()[:90_000])
    sources = (str(folder / "text.txt"),)
    prepare_only(Request(sources=sources, seconds=0.0, settings={"vocabulary": "257"}), out=str(folder / "run"))
    return folder / "run"


@pytest.fixture
def a_run(text_folder: Path, tmp_path: Path, plan: Callable[..., Plan]) -> Callable[..., Run]:
    def made(*names: str, **changes: Any) -> Run:
        run = Run(tmp_path / "run")
        shutil.copytree(text_folder, run.path)
        on = tuple(TechniqueChoice(name=name) for name in names)
        tiny = plan(corpus=run.corpus().digest, tokens=64 * 256, batch_tokens=256, micro_batch=16, techniques=on)
        write_json(run.plan_file, tiny.replace(**changes).to_json())
        return run

    return made


def equal_times(setup: Any, one: Plan, other: Plan, before: Any, *, until: float) -> dict[str, Any]:
    rounds = [[1e-4, 2e-4]] * 4
    return {"one": rounds, "other": rounds, "steps": 2, "done": True}


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step times without the noise of the machine."""
    monkeypatch.setattr(trials, "timed", equal_times)


def row_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in found["rows"] if row["name"] == name)


# Verdicts on real trainings


def test_what_does_nothing_has_no_evidence_and_what_harms_is_a_loss(a_run: Callable[..., Run], steady: None) -> None:
    run = a_run("idle", "ngram_mix")
    told: list[str] = []
    estimated: list[str] = []
    found = measure.measure(
        str(run), include=("frozen",), names=("idle",), log=told.append, log_estimate=estimated.append
    )
    assert len(estimated) == 1 and estimated[0].startswith("verdicts on 2: the first ones after about ")
    idle, frozen = row_of(found, "idle"), row_of(found, "frozen")
    assert idle["verdict"] == "no evidence" and idle["decided"] and idle["negligible"]
    assert idle["equal_steps"]["pairs"] == [0.0, 0.0]  # the same seed, the same training to the last bit
    assert frozen["verdict"] == "loss" and frozen["decided"] and not frozen["in_plan"]
    assert frozen["equal_time"]["low"] > 0.1
    assert found["complete"] and not found["missing"]
    assert found["plan"]["techniques"] == ["idle"], "what only decodes is no part of a training"
    assert len(found["plan_losses"]) == 2 and found["slope"]["loss"] > 0
    # What tells most comes first.
    assert [line.split(",")[0] for line in told[:3]] == ["step time", "step time", "learning"]
    assert told.index("learning, with frozen, seed 0") < told.index("learning, plan, seed 1")
    assert json.loads(run.measure_file.read_text()) == found


def test_only_what_is_missing_is_measured_again(a_run: Callable[..., Run], steady: None) -> None:
    run = a_run("idle")
    first, second, third, fourth = [], [], [], []  # type: ignore[var-annotated]
    found = measure.measure(str(run), log=first.append)
    assert len(first) == len(list(run.measure_trials_folder.iterdir())) == 1 + 2 * 3
    again = measure.measure(str(run), most_seeds=2, log=second.append, log_estimate=second.append)
    assert second == [] and again["rows"] == found["rows"]
    cell = next(path for path in run.measure_trials_folder.iterdir() if "without-idle-seed-1" in path.name)
    kept = json.loads(cell.read_text())
    cell.unlink()
    (run.measure_trials_folder / ".torn").write_text("{")
    again = measure.measure(str(run), log=third.append)
    assert third == ["learning, without idle, seed 1"] and again["rows"] == found["rows"]
    assert json.loads(cell.read_text())["loss"] == kept["loss"]
    write_json(run.plan_file, run.plan().replace(micro_batch=8).to_json())
    measure.measure(str(run), log=fourth.append)
    assert len(fourth) == 7, "a changed plan finds no cell of the old one"


def test_step_times_are_taken_in_turns_and_a_partial_cell_goes_on(
    a_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run("idle", tokens=100 * 256)
    monkeypatch.setattr(trials, "BLOCK_SECONDS", 0.0)
    order: list[str] = []
    block = trials._Side.block

    def noted(side: Any, progress: float, steps: int) -> float:
        order.append("one" if side.plan.techniques else "other")
        return block(side, progress, steps)

    monkeypatch.setattr(trials._Side, "block", noted)
    setup, plan = a_setup(run), run.plan()
    other = plan.replace(techniques=())
    made = trials.timed(setup, plan, other, {}, until=math.inf)
    assert made["done"] and len(made["one"]) == len(made["other"]) == trials.ROUNDS
    assert all(len(round_) == trials.moments_of(plan) == 10 for round_ in made["one"])
    assert all(seconds > 0 for side in ("one", "other") for round_ in made[side] for seconds in round_)
    assert order[6:10] in (["one", "other", "other", "one"], ["other", "one", "one", "other"])
    short = trials.timed(setup, plan, other, {}, until=0.0)
    assert len(short["one"]) == trials.LEAST_ROUNDS and not short["done"]
    more = trials.timed(setup, plan, other, short, until=math.inf)
    assert more["done"] and more["one"][: trials.LEAST_ROUNDS] == short["one"]
    setup.end = setup.stopwatch.used()
    with pytest.raises(trials.OutOfTime):
        trials.timed(setup, plan, other, {}, until=math.inf)
    with pytest.raises(trials.OutOfTime):
        trials.learned(setup, plan, 32 * 256)


def a_setup(run: Run) -> trials.MeasurementSetup:
    from daybreak.core.signals import Signals

    plan = run.plan()
    return measure._setup(run, plan, "cpu", Stopwatch(), None, Signals(), 0.25)


def test_an_average_of_the_weights_costs_its_time_in_every_round(a_run: Callable[..., Run]) -> None:
    run = a_run("ema", tokens=100 * 256)
    side = trials._Side(a_setup(run), run.plan())
    for _ in range(2):
        side.forget()
        for progress, followed in ((0.65, False), (0.75, True), (0.95, True)):
            side.block(progress, 1)
            assert bool(side.built.callbacks[0].average.weights) == followed


def test_weights_are_chosen_on_the_other_half_of_the_text(a_run: Callable[..., Run]) -> None:
    run = a_run("ema")
    cell = trials.learned(a_setup(run), run.plan(), 32 * 256)
    assert set(cell["weights"]) == {"current", "ema", "best_mark"}
    assert min(cell["weights"].values()) - 1e-9 <= cell["loss"] <= max(cell["weights"].values()) + 1e-9
    assert cell["steps"] == 32 and 3_000 < cell["scored_bytes"] < 6_000


def test_what_works_by_marks_gets_them(a_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    marks = []
    monkeypatch.setattr(Marks, "validated", lambda self, module, progress, bits: marks.append((progress, bits)))
    run = a_run("early_stopping")
    trials.learned(a_setup(run), run.plan(), 32 * 256)
    assert len(marks) == 9 and all(0.09 < progress < 1 and 0 < bits < 9 for progress, bits in marks)


# The order, the deadline and the search, on made-up cells


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, steady: None) -> SimpleNamespace:
    """Cells that take ten seconds each of a clock that stands still between them; `bits` says what is learnt."""
    clock = SimpleNamespace(now=0.0, bits=lambda plan, tokens: 2.0 - 0.1 * math.log(tokens), made=[])

    def learned(setup: Any, plan: Plan, tokens: int) -> dict[str, Any]:
        clock.now += 10.0
        clock.made.append((plan, tokens))
        bits = clock.bits(plan, tokens) + 0.001 * (plan.seed % 7)
        return {"loss": bits, "scored_bytes": 9, "tokens": tokens, "training_seconds": tokens / 20_000}

    monkeypatch.setattr(trials, "learned", learned)
    clock.stopwatch = Stopwatch(start=0.0, now=lambda: clock.now)
    return clock


def test_how_long_verdicts_take_is_told_before_and_is_about_right(
    a_run: Callable[..., Run], made_up: SimpleNamespace
) -> None:
    run = a_run("idle")
    estimated: list[str] = []
    measure.measure(str(run), seconds=21.5, stopwatch=made_up.stopwatch, log_estimate=estimated.append)
    assert re.fullmatch(
        r"verdicts on 1: the first ones after about .* s \(2 seeds\), all of them after .* s at most \(8 seeds\)",
        estimated[0],
    )
    assert "1 min 00 s is enough for a part of it" in measure._estimate(3, {2: 400.0, 8: 900.0}, 60.0)
    setup, plan = a_setup(run), measure._plan_of(run)[0]
    found = ablations.of_techniques(plan, setup.machine, (), ())
    again = runner.TrialRunner(setup, plan, found, share=0.25, most_seeds=8, pace=1 / 20_000, log=print)
    setup.costs["scoring"] = 0.0
    assert again.expected(0) == 0, "the step times are there already"
    two, three = again.expected(2), again.expected(3)
    # A seed: the plan, half of it, and the case.
    assert three - two == pytest.approx(2.5 * again.tokens() * 1.1 / 20_000 + 3 * 0.5)


@pytest.mark.parametrize("width", [80, 60])
def test_a_narrow_terminal_shows_whole_figures(width: int) -> None:
    step_time = {"ratio": 0.7, "low": 0.605, "high": 0.829}
    row = {"name": "thread_parallel", "note": "", "diverged": "", "negligible": False, "verdict": "not measured"}
    empty = dict.fromkeys(("equal_steps", "equal_time", "time_saved", "start", "cold_start", "memory"))
    rows = [{**row, **empty, "decided": False, "seeds": 0, "step_time": step_time, "in_plan": True}]
    found = {"rows": rows, "missing": [], "slope": None, "method": {"steps": 8, "share": 0.25, "unit": "bits/byte"}}
    written = io.StringIO()
    gains.show(found, Console(width=width, file=written, force_terminal=True, color_system=None))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "  step time           -30.0% (-39.5% to -17.1%)" in lines
    assert "thread_parallel: faster steps; effect on learning not measured" in " ".join(map(str.strip, lines))


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        ({"ratio": 0.52, "low": 0.5, "high": 0.6}, "faster steps; effect on learning not measured"),
        ({"ratio": 1.3, "low": 1.1, "high": 1.6}, "slower steps; effect on learning not measured"),
        ({"ratio": 0.99, "low": 0.9, "high": 1.1}, "no faster steps seen; effect on learning not measured"),
        ({"ratio": 0.52, "low": None, "high": None}, "faster steps; effect on learning not measured"),
        (None, "not measured"),
    ],
)
def test_step_times_are_told_where_learning_was_not_measured(figure: dict[str, Any] | None, told: str) -> None:
    row = {"note": "", "diverged": "", "negligible": False, "verdict": "not measured", "decided": False}
    assert gains.verdict_of({**row, "step_time": figure}) == told


def test_what_there_was_no_time_for_is_said(a_run: Callable[..., Run], made_up: SimpleNamespace) -> None:
    run = a_run("idle")
    found = measure.measure(str(run), seconds=21.5, stopwatch=made_up.stopwatch)
    assert row_of(found, "idle")["verdict"] == "not measured" and not found["complete"]
    assert gains.verdict_of(row_of(found, "idle")) == "no faster steps seen; effect on learning not measured"
    assert "learning, without idle, seed 0" in found["missing"]
    told = gains.remarks(found)
    assert any("no time was left for" in line for line in told)
    found = measure.measure(str(run), stopwatch=made_up.stopwatch)
    assert row_of(found, "idle")["verdict"] == "no evidence" and found["complete"]


def test_seeds_are_added_until_it_is_decided(a_run: Callable[..., Run], made_up: SimpleNamespace) -> None:
    # Half a bit at first sight, but with a scatter that only more seeds make small.
    scatter = {0: 0.5, 1: 0.1, 2: 0.4, 3: 0.45, 4: 0.5}
    made_up.bits = lambda plan, tokens: 2.0 - 0.1 * math.log(tokens) + scatter[plan.seed] * (not plan.techniques)
    found = measure.measure(str(a_run("idle")), stopwatch=made_up.stopwatch)
    row = row_of(found, "idle")
    assert row["verdict"] == "gain" and row["seeds"] == 4


def test_it_ends_with_the_last_seed(a_run: Callable[..., Run], made_up: SimpleNamespace) -> None:
    made_up.bits = lambda plan, tokens: 2.0 - 0.1 * math.log(tokens) + (-1) ** plan.seed * 0.1 * (not plan.techniques)
    found = measure.measure(str(a_run("idle")), stopwatch=made_up.stopwatch, most_seeds=3)
    row = row_of(found, "idle")
    assert row["verdict"] == "no evidence" and row["seeds"] == 3 and not row["decided"] and found["complete"]
    assert gains.verdict_of(row) == "no evidence yet"


def test_an_optimizer_is_judged_at_its_best_rates(a_run: Callable[..., Run], made_up: SimpleNamespace) -> None:
    def bits(plan: Plan, tokens: int) -> float:
        best = {"sgd": 0.9}.get(plan.optimizer.name, 3e-3)  # nine times its usual
        return 2.5 - 0.1 * math.log(tokens) + 0.1 * abs(math.log(plan.optimizer.learning_rate / best))

    made_up.bits = bits
    found = measure.measure(str(a_run()), stopwatch=made_up.stopwatch, optimizers=True)
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [f"optimizer={name}" for name in optimizers.NAMES]
    assert rows["optimizer=sgd"]["rate_factor"] == pytest.approx(9.0)
    assert rows["optimizer=sgd"]["learning_rate"] == pytest.approx(0.9)
    assert rows["optimizer=adam"]["rate_factor"] == 1.0 and rows["optimizer=adam"]["verdict"] == "gain"
    assert rows["optimizer=muon"]["note"] == "the plan itself"
    searched = [plan for plan, tokens in made_up.made if plan.seed == runner.SEARCH_SEED]
    assert {plan.seed for plan, _ in made_up.made} - {runner.SEARCH_SEED} == {0, 1}
    assert {plan.schedule.warmup for plan in searched} == {0.02}
    assert any("the best of those tried" in line for line in gains.remarks(found))


def test_a_training_that_diverges_is_a_loss(
    a_run: Callable[..., Run], made_up: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learned(setup: Any, plan: Plan, tokens: int) -> dict[str, Any]:
        bits = None if plan.technique("frozen") else 2.0 - 0.1 * math.log(tokens)
        return {"loss": bits, "scored_bytes": 9, "tokens": tokens, "training_seconds": 1.0}

    monkeypatch.setattr(trials, "learned", learned)
    found = measure.measure(str(a_run()), include=("frozen",), stopwatch=made_up.stopwatch)
    row = row_of(found, "frozen")
    assert (row["verdict"], row["diverged"], row["decided"]) == ("loss", "with", True)
    assert "diverged" in gains.verdict_of(row)


def test_start_and_memory_are_told_apart(
    a_run: Callable[..., Run], made_up: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(plan: Plan, machine: Machine, device: str, *, warm: bool, seconds: float | None) -> dict[str, Any]:
        on = plan.technique("compiled") is not None
        memory = 50 if plan.technique("fused_loss") else 100
        one = {"start_seconds": 3.0 if on else 0.0, "memory_bytes": memory}
        return {"cold": {**one, "start_seconds": 30.0 if on else 0.0}, **({"warm": one} if warm else {})}

    def timed(setup: Any, one: Plan, other: Plan, before: Any, *, until: float) -> dict[str, Any]:
        faster = 0.8 if one.technique("compiled") and not other.technique("compiled") else 1.0
        return {"one": [[1e-4 * faster] * 2] * 4, "other": [[1e-4] * 2] * 4, "steps": 2, "done": True}

    monkeypatch.setattr(runner, "measure_in_subprocess", started)
    monkeypatch.setattr(trials, "timed", timed)
    run = a_run("fused_loss", "compiled", tokens=1_000_000)  # 100 s of steps
    found = measure.measure(str(run), stopwatch=made_up.stopwatch)
    compiled, fused = row_of(found, "compiled"), row_of(found, "fused_loss")
    assert compiled["start"] == {"cold": {"with": 30.0, "without": 0.0}, "warm": {"with": 3.0, "without": 0.0}}
    assert compiled["verdict"] == "gain" and compiled["time_saved"]["share"] == pytest.approx(1 - 83 / 100)
    assert compiled["cold_start"]["verdict"] == "loss"
    assert compiled["cold_start"]["time_saved"]["share"] == pytest.approx(1 - 110 / 100)
    assert fused["memory"] == {"with": 50, "without": 100, "ratio": 0.5}
    assert fused["start"] is None and fused["cold_start"] is None
    console = Console(width=120, record=True, file=io.StringIO())
    gains.show(found, console)
    text = console.export_text()
    assert "gain" in text and "cold 30.0 s" in text and "0.50 times" in text
    facts = report_page.read(run)
    assert facts["measured"]["rows"] == found["rows"]
    assert '"gains.method"' in report_page.page(facts)


@pytest.mark.long
def test_a_plan_starts_in_a_process_of_its_own(plan: Callable[..., Plan], machine: Callable[..., Machine]) -> None:
    on = (TechniqueChoice(name="compiled"),) if compiler() else ()
    found = cold_start.measure_in_subprocess(plan(techniques=on), machine(), "cpu", warm=True)
    assert set(found) == {"cold", "warm"}
    assert found["cold"]["step_seconds"] > 0 and found["cold"]["memory_bytes"] > 0
    if on:
        assert found["cold"]["start_seconds"] > found["warm"]["start_seconds"] > found["warm"]["step_seconds"]
    with pytest.raises(TimeoutError):
        cold_start.measure_in_subprocess(plan(), machine(), "cpu", warm=False, seconds=0.05)
    with pytest.raises(DaybreakError, match="its own process"):
        cold_start.measure_in_subprocess(
            plan(techniques=(TechniqueChoice(name="no_such"),)), machine(), "cpu", warm=False
        )
    begins = plan(techniques=(TechniqueChoice(name="word_vectors"),))
    assert (
        cold_start.first_steps(begins, machine(), "cpu")["step_seconds"] > 0
    )  # there is no text to learn vectors from


# Errors


def failure(*words: str) -> DaybreakError:
    with pytest.raises(DaybreakError) as caught:
        cli.app(["measure", *words], standalone_mode=False)
    assert caught.value.what and caught.value.received and caught.value.attempt
    return caught.value


def test_what_cannot_be_measured_is_usage(a_run: Callable[..., Run], tmp_path: Path) -> None:
    run = a_run("idle", "ngram_mix")
    (tmp_path / "empty").mkdir()
    wrong = [
        ([str(tmp_path / "nothing")], "the run does not exist"),
        ([str(tmp_path / "empty")], "not a run"),
        ([str(run), "--techniques", "idel"], "unknown technique"),
        ([str(run), "--with", "fozen"], "unknown technique"),
        ([str(run), "--techniques", "frozen"], "does not use the technique"),
        ([str(run), "--with", "idle"], "already uses"),
        ([str(run), "--techniques", "ngram_mix"], "changes decoding"),
        ([str(run), "--share", "0"], "--share is out of range"),
        ([str(run), "--seeds", "1"], "seeds must be 2 to 64"),
        ([str(run), "--for", "soon"], "not a duration"),
        ([str(run), "--for", "1s"], "too short"),
        ([str(run), "--with", "blind"], "has no effect here"),
    ]
    for words, what in wrong:
        error = failure(*words)
        assert isinstance(error, UsageError) and error.exit_code == 2
        assert what in error.what, error
    assert "did you mean 'idle'" in failure(str(run), "--techniques", "idel").attempt
    assert "--with frozen" in failure(str(run), "--techniques", "frozen").attempt
    short = failure(str(run), "--for", "1s")
    assert isinstance(short, BudgetTooShort) and "--for" in short.attempt
    assert not run.measure_file.exists()


def test_a_plan_without_techniques_and_one_that_counts(a_run: Callable[..., Run]) -> None:
    run = a_run("ngram_mix")
    assert "nothing to measure" in failure(str(run)).what
    counting = run.plan().replace(shape=NgramShape(order=5, unit="byte", vocabulary=257), techniques=())
    write_json(run.plan_file, counting.to_json())
    assert "n-gram model" in failure(str(run)).what
    run.plan_file.unlink()
    assert "missing" in failure(str(run)).what


# How layers run: eager, compiled, or by the kernels


@pytest.fixture
def by_kernels(plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """A plan by the kernels, on a machine that could also compile."""
    monkeypatch.setattr(techniques.class_of("compiled"), "unusable", lambda self, machine: None)

    def made(*names: str, compile_seconds: float = 20.0, **changes: Any) -> Plan:
        tiny = plan(techniques=tuple(TechniqueChoice(name=name) for name in (*names, "kernels")), **changes)
        phases = {"training": 518.0, "compile": 2.0, "the end": 80.0}
        return tiny.replace(
            predicted=tiny.predicted.replace(mode="kernels", compile_seconds=compile_seconds, phase_seconds=phases)
        )

    return made


def on(plan: Plan) -> list[str]:
    return [choice.name for choice in plan.techniques]


def left_out(plan: Plan, machine: Machine, name: str) -> ablations.Case:
    (case,) = ablations.of_techniques(plan, machine, (name,), ())
    return case


def added(plan: Plan, machine: Machine, name: str) -> ablations.Case:
    (case,) = ablations.of_techniques(plan, machine, (), (name,))
    return case


def test_without_the_kernels_layers_run_as_the_planner_would_have_them(
    by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    pays = left_out(by_kernels("ema"), machine(), "kernels")
    assert on(pays.with_) == ["ema", "kernels"] and on(pays.without) == ["ema", "compiled"]
    assert pays.modes() == ("kernels", "compiled") and pays.starts_differ()
    # Steps 1.5 times as fast do not make up for 400 of 520 seconds.
    slow = left_out(by_kernels("ema", compile_seconds=400.0), machine(), "kernels")
    assert on(slow.without) == ["ema"] and slow.modes() == ("kernels", "eager")
    ruled_out = by_kernels(request=Request(sources=(), seconds=600.0, exclude=("compiled",)))
    assert on(left_out(ruled_out, machine(), "kernels").without) == []
    # What the planner left out because the kernels do its work, comes back.
    wide = by_kernels(micro_batch=16_384)
    assert on(left_out(wide, machine(), "kernels").without) == ["fused_loss", "compiled"]
    assert on(left_out(wide.replace(predicted=wide.predicted.replace(mode="eager")), machine(), "kernels").without) == [
        "compiled"
    ]
    # What only the kernels have a place for goes with them.
    assert on(left_out(by_kernels("thread_parallel"), machine(), "kernels").without) == ["compiled"]
    # Another technique that is left out changes nothing in how layers run.
    assert left_out(by_kernels("ema"), machine(), "ema").modes() == ("kernels", "kernels")


def test_what_the_kernels_have_no_place_for_is_tried_without_them(
    by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    case = added(by_kernels(), machine(), "packing")
    assert on(case.with_) == ["packing", "compiled"] and case.without == by_kernels()
    # One way to run layers in the place of another.
    assert on(added(by_kernels(), machine(), "compiled").with_) == ["compiled"]
    compiled = left_out(by_kernels(), machine(), "kernels").without
    assert on(added(compiled, machine(), "kernels").with_) == ["kernels", "thread_parallel"]
    for unfit in (
        compiled.replace(shape=compiled.shape.replace(norm="layer")),  # type: ignore[union-attr]
        compiled.replace(techniques=(TechniqueChoice(name="dropout"), TechniqueChoice(name="compiled"))),
    ):
        with pytest.raises(UsageError, match="kernels cannot be used here"):
            added(unfit, machine(), "kernels")


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("activation=squared_relu", {"activation": "squared_relu", "mlp_width": 512}),
        ("logit_cap=15", {"logit_cap": 15.0}),
        ("value_embeddings=true", {"value_embeddings": True}),
        ("skips=true", {"skips": True}),
        ("norm=layer", {"norm": "layer"}),
        ("layers=3", {"layers": 3}),
        ("width=192", {"width": 192, "heads": 3, "key_value_heads": 3, "mlp_width": 512}),
        ("mlp_width=96", {"mlp_width": 96}),
    ],
)
def test_a_setting_of_the_shape_is_tried_with_the_sizes_that_follow(
    setting: str, changes: dict[str, Any], by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    shape = ladder.gpt(2, 128, vocabulary=512, context_length=64, changes={"tied": True})
    plan = by_kernels(compile_seconds=400.0, shape=shape)
    case = ablations.of_setting(plan, machine(), setting)
    assert case.without == plan and not case.in_plan and case.kind == setting.split("=")[0]
    assert case.with_.shape == shape.replace(**changes)
    assert case.modes() == ("kernels" if not case.with_.network.not_in_transformers() else "eager", "kernels")


def test_a_size_that_was_set_by_name_does_not_follow_and_an_edited_shape_changes_in_one_field(
    by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    shape = ladder.gpt(2, 128, vocabulary=512, context_length=64, changes={"tied": True, "mlp_width": 96})
    request = Request(sources=(), seconds=9.0, settings={"mlp_width": "96", "optimizer": "adamw"})
    for plan in (by_kernels(shape=shape, request=request), by_kernels(shape=shape)):
        case = ablations.of_setting(plan, machine(), "activation=squared_relu")
        assert case.with_.shape == shape.replace(activation="squared_relu")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("activation", "field of the model shape"),
        ("vocabulary=300", "field of the model shape"),
        ("activation=relu", "unknown activation"),
        ("logit_cap=many", "takes a number"),
        ("heads=5", "not possible"),
        ("skips=false", "so already"),
    ],
)
def test_a_setting_that_cannot_be_tried_is_a_usage_error(
    setting: str, told: str, by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    with pytest.raises(UsageError, match=told):
        ablations.of_setting(by_kernels(), machine(), setting)


def test_a_technique_that_became_a_setting_is_to_be_tried_as_one(
    by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    with pytest.raises(UsageError, match="no longer exists") as error:
        added(by_kernels(), machine(), "squared_relu")
    assert error.value.attempt == "use --try activation=squared_relu"


@pytest.mark.parametrize("field", ["norm", "positions"])
def test_kinds_of_the_shape_are_compared_and_run_as_they_can(
    field: str, by_kernels: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    plan = by_kernels(compile_seconds=400.0)
    found = ablations.of_shapes(plan, machine(), field)
    assert [case.name for case in found] == [f"{field}={value}" for value in GptShape.CHOICES[field][1:]]
    assert all(case.modes() == ("eager", "kernels") and case.without == plan for case in found)
    # From a shape that the kernels are not made for, both sides run alike.
    other = found[0].with_
    assert {case.modes() for case in ablations.of_shapes(other, machine(), field)} == {("eager", "eager")}
    # A kind that does not go with the rest of the shape is left out.
    shared = plan.replace(shape=plan.shape.replace(layers=2, layer_repeats=2))  # type: ignore[union-attr]
    assert "norm=batch" not in [case.name for case in ablations.of_shapes(shared, machine(), field)]


@pytest.mark.skipif(not compiler(), reason="there is no C++ compiler on this machine")
def test_every_kind_learns_beside_a_plan_by_the_kernels(a_run: Callable[..., Run], steady: None) -> None:
    run = a_run("kernels")
    predicted = run.plan().predicted.replace(mode="kernels", compile_seconds=1e4)  # which never pays
    write_json(run.plan_file, run.plan().replace(predicted=predicted).to_json())
    setup, plan = a_setup(run), run.plan()
    found = [case for field in ("norm", "positions") for case in ablations.of_shapes(plan, setup.machine, field)]
    bits = [trials.learned(setup, side, 8 * 256)["loss"] for side in (plan, *(case.with_ for case in found))]
    assert len(bits) == 7 and all(4.0 < one < 9.0 for one in bits) and len(set(bits)) == 7
    seven = runner.TrialRunner(setup, plan, found, share=0.25, most_seeds=2, pace=1e-4, log=print)
    keys = [seven._start_keys(case) for case in found]
    assert len({with_it for with_it, _ in keys}) == 6 and len({without for _, without in keys}) == 1
    row = seven.row(found[0])
    assert row["modes"] == {"with": "eager", "without": "kernels"}
    told = gains.remarks({"rows": [row], "missing": []})
    assert any(line == "norm=layer: layers run eager with it, by the kernels without it" for line in told)


def test_few_places_are_timed_where_time_is_short() -> None:
    def places(seconds: float) -> int:
        setup = SimpleNamespace(end=seconds, left=lambda: seconds)
        return trials._fitting(setup, 10, 1.0)  # type: ignore[arg-type]

    assert [places(seconds) for seconds in (math.inf, 100.0, 28.0, 4.0)] == [10, 10, 7, 4]
    assert trials._fitting(SimpleNamespace(end=4.0, left=lambda: 4.0), 2, 1.0) == 2  # type: ignore[arg-type]
