"""What tests share: a cache of their own, the data where it is there, and tiny shapes, plans and models."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak  # before torch, whose threads then wait without keeping a core busy

if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a core: two threads there wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# isort: split
import torch

from daybreak.core.errors import BudgetTooShort
from daybreak.core.shapes import GptShape
from daybreak.core.types import Budget, Machine, OptimizerChoice, Plan, Prediction, ScheduleChoice, TokenizerChoice
from daybreak.engine import faults
from daybreak.models.gpt import Gpt
from daybreak.training.execution import Finished

ROOT = Path(__file__).resolve().parents[1]


def pytest_itemcollected(item: pytest.Item) -> None:
    """A promise and how often it was tried go into pytest's XML, where benchmarks/promises.py adds them up."""
    for mark in item.iter_markers("promise"):
        item.user_properties += [("promise", mark.args[0]), *(("tried", times) for times in mark.args[1:])]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what a fixture of their file has made go to one worker, so that it is made once."""
    for item in items:
        made = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        if any(one[-1].scope in ("module", "class") and one[-1].baseid.endswith(".py") for one in made if one):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what was measured for the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYBREAK_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYTHONSAFEPATH", "1")  # what tests start imports nothing from where they work
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the data sets are not on this machine ({folder})")
    return folder


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tiny tensors: a second thread is waited for longer than it helps, above all on a busy machine."""
    with _threads(1):
        yield


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests that compare bits, of processes that they start too: sums of threads can come in another order."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with _threads(2):
        yield


@pytest.fixture(scope="session")
def waited() -> Callable[[], float]:
    """Seconds so far in which something on this machine waited for a processor, and none was to be had."""

    def seconds() -> float:
        found = 0.0
        with contextlib.suppress(OSError, IndexError, ValueError):
            some = Path("/proc/pressure/cpu").read_text().splitlines()[0]
            found += int(some.rsplit("total=", 1)[1]) / 1e6
        with contextlib.suppress(OSError, IndexError, ValueError):  # what the hypervisor gave to others
            found += int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
        return found

    return seconds


@pytest.fixture(scope="session")
def unhurried() -> Callable[..., Finished]:
    """`daybreak.run`, and again with the budget that its error names where the machine is too busy for the first."""

    def run(*sources: str, **asked: Any) -> Finished:
        for _ in range(3):
            try:
                return daybreak.run(*sources, **asked)
            except BudgetTooShort as error:
                asked["budget"] = f"{2 * float(error.attempt.split('--for ')[1].split('s')[0])}s"
        return daybreak.run(*sources, **asked)

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes something go wrong in this process, as DAYBREAK_FAULT says."""

    def ask(fault: str) -> None:
        monkeypatch.setenv("DAYBREAK_FAULT", fault)
        faults.forget()

    yield ask
    monkeypatch.undo()
    faults.forget()


@pytest.fixture(scope="session")
def shape() -> Callable[..., GptShape]:
    return _shape


def _shape(**changes: Any) -> GptShape:
    tiny = GptShape(
        vocabulary=64,
        layers=1,
        width=64,
        heads=2,
        key_value_heads=2,
        head_dim=32,
        mlp_width=64,
        context_length=16,
        tied=False,
    )
    return tiny.replace(**changes)


@pytest.fixture(scope="session")
def network() -> Callable[..., Gpt]:
    """A tiny Gpt in which every weight is random, output projections and gains included."""

    def made(*, seed: int = 0, **changes: Any) -> Gpt:
        module = Gpt(_shape(**changes))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in module.parameters():
                if weight.ndim == 1:
                    weight.uniform_(0.5, 1.5, generator=generator)
                else:
                    weight.normal_(0.0, 1.5 / weight.shape[1] ** 0.5, generator=generator)
        return module

    return made


@pytest.fixture(scope="session")
def machine() -> Callable[..., Machine]:
    def made(**changes: Any) -> Machine:
        plain = Machine(
            kind="cpu",
            name="a test",
            cores=2,
            devices=1,
            memory_bytes=8 * 2**30,
            matmul_flops={"float32": 1e11, "bfloat16": 1e10},
            bandwidth_bytes_per_second=1e10,
            disk_bytes_per_second=1e8,
            compiler="/usr/bin/g++",
            fast_dtypes=("float32",),
            versions={"torch": "2"},
        )
        return plain.replace(**changes)

    return made


@pytest.fixture(scope="session")
def optimizer_choice() -> Callable[..., OptimizerChoice]:
    return _optimizer_choice


def _optimizer_choice(**changes: Any) -> OptimizerChoice:
    choice = OptimizerChoice(
        name="muon",
        learning_rate=0.02,
        table_learning_rate=0.01,
        weight_decay=0.1,
        momentum=0.95,
        orthogonalize_steps=5,
    )
    return choice.replace(**changes)


@pytest.fixture(scope="session")
def schedule_choice() -> Callable[..., ScheduleChoice]:
    return _schedule_choice


def _schedule_choice(**changes: Any) -> ScheduleChoice:
    return ScheduleChoice(name="linear", warmup=0.0, decay=0.5, floor=0.0).replace(**changes)


@pytest.fixture(scope="session")
def plan() -> Callable[..., Plan]:
    def made(**changes: Any) -> Plan:
        tiny = Plan(
            objective="next_token",
            corpus="0123456789abcdef",
            tokenizer=TokenizerChoice(kind="bytes", vocabulary=257),
            shape=_shape(vocabulary=320),
            budget=Budget(clock="seconds", seconds=600.0),
            tokens=10_000_000,
            batch_tokens=1024,
            micro_batch=8,
            optimizer=_optimizer_choice(),
            schedule=_schedule_choice(),
            techniques=(),
            refused={},
            seed=0,
            reproducible=False,
            evaluation_bytes=10_000,
            predicted=Prediction(
                tokens_per_second=20_000.0,
                figure=2.0,
                figure_low=1.8,
                figure_high=2.2,
                memory_bytes=10**8,
                corpus_tokens=1_000_000,
                bytes_per_token=1.0,
                compile_seconds=20.0,
                mode="eager",
                compiled_speedup=1.5,
                phase_seconds={"training": 500.0, "compile": 20.0, "the end": 80.0},
            ),
            reasons={"shape": "it is a test"},
        )
        return tiny.replace(**changes)

    return made


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """English prose of about 300 KB that every Python has: the help topics of the language."""
    from pydoc_data import topics

    path = tmp_path_factory.mktemp("text") / "topics.txt"
    path.write_text("\n\n".join(topics.topics[name] for name in sorted(topics.topics))[:300_000])
    return path
