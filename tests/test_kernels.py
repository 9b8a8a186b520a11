"""Kernels: the fused layer and head give what the plain ones give, values and gradients, on every size and dtype."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from late import Late
from torch import nn

from daybreak.core import records
from daybreak.core.errors import ResourceError
from daybreak.core.request import Request
from daybreak.core.run import Run
from daybreak.core.types import OptimizerChoice
from daybreak.data.batches import Batch
from daybreak.engine.machine import compiler
from daybreak.engine.optimizers import Muon, Rates
from daybreak.models import ladder
from daybreak.models.gpt import Gpt
from daybreak.models.kernels import compiling
from daybreak.models.kernels import layer as fused
from daybreak.models.kernels import library as libraries
from daybreak.models.kernels.library import Library
from daybreak.stages import plan as plan_of_stages
from daybreak.stages import run as stages_run
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import kernels as technique
from daybreak.techniques.kernels import MuonByKernels
from daybreak.training import train

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no C++ compiler on this machine")


def library(folder, dtype: torch.dtype) -> Library:
    return libraries.library(folder, dtype, compiler())


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def networks(dtype: torch.dtype, found: Library, *, context_length: int = 24, **changes: int) -> tuple[Gpt, Gpt]:
    """The same weights twice, far from their beginnings: plain, and trained by the kernels."""
    shape = ladder.gpt(2, 64, vocabulary=200, context_length=context_length, changes={"head_dim": 16, **changes})
    plain, kernels = Gpt(shape), Gpt(shape)
    plain.initialize(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in plain.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    kernels.load_state_dict(plain.state_dict())
    for module in (plain, kernels):
        module.compute_dtype = dtype
        module.train()
    assert fused.fuse(kernels, found) == 3
    return plain, kernels


def error(wrong: torch.Tensor, right: torch.Tensor) -> float:
    return float(((wrong - right).norm() / right.norm()).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", [{}, {"key_value_heads": 2}, {"key_value_heads": 1, "mlp_width": 40}, {"tied": 1}])
def test_loss_and_gradients_are_those_of_the_plain_layers(dtype, changes, folder, threads) -> None:
    """As near to float32's as the plain layers' are."""
    found = library(folder, dtype)
    plain, kernels = networks(dtype, found, **changes)
    exact, _ = networks(torch.float32, library(folder, torch.float32), **changes)
    rows = torch.randint(200, (3, 25), generator=torch.Generator().manual_seed(2))
    totals = [loss(module, Batch(rows)) for module, loss in _with_losses(exact, plain, (kernels, found))]
    for total in totals:
        (total / 72).backward()
    right, _, mine = (float(total.detach()) for total in totals)
    assert mine == pytest.approx(right, rel=1e-6 if dtype == torch.float32 else 3e-3)
    for (name, one), other, own in zip(exact.named_parameters(), plain.parameters(), kernels.parameters(), strict=True):
        assert own.grad.dtype == torch.float32
        least = 2e-6 if dtype == torch.float32 else 1e-2
        assert error(own.grad, one.grad) < least + 1.3 * error(other.grad, one.grad), name


def _with_losses(exact: Gpt, plain: Gpt, fused_one: tuple[Gpt, Library]) -> list[tuple[Gpt, NextToken]]:
    kernels, found = fused_one
    return [(exact, NextToken()), (plain, NextToken()), (kernels, NextToken(fused.head(found)))]


FEWER_THREADS = """
import sys, torch
from daybreak.models.kernels import library
from daybreak.models.kernels.layer import _Kernels as Kernels
from pathlib import Path
kernels = Kernels(library.library(Path(sys.argv[1]), torch.float32, sys.argv[2]))
torch.set_num_threads(2)
x, gain = torch.randn(64, 32), torch.ones(32)
for _ in range(50):
    spoilt = [torch.full((2, 32), 1e30) for _ in range(8)]  # memory that is handed out again
    del spoilt
    y, scale = kernels.norm(x, gain)
    _, dgain = kernels.norm_backward(torch.ones_like(x), x, gain, scale, torch.zeros_like(x))
    assert torch.allclose(dgain, y.sum(0), atol=1e-3), dgain
"""


def test_fewer_threads_than_were_asked_for_change_nothing(folder) -> None:
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    words = [sys.executable, "-c", FEWER_THREADS, str(folder), compiler()]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("context_length", [1, 7, 130])
@pytest.mark.parametrize("rows", [1, 5])
def test_odd_sizes_and_single_rows(rows, context_length, folder, threads) -> None:
    found = library(folder, torch.float32)
    plain, kernels = networks(torch.float32, found, context_length=context_length)
    tokens = torch.randint(200, (rows, context_length + 1), generator=torch.Generator().manual_seed(3))
    for module, loss in ((plain, NextToken()), (kernels, NextToken(fused.head(found)))):
        loss(module, Batch(tokens)).backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), kernels.named_parameters(), strict=True):
        if float(one.grad.norm()) > 1e-6:
            assert error(other.grad, one.grad) < 1e-4, name


def test_the_head_in_pieces_is_the_head_in_one(folder, monkeypatch) -> None:
    found = library(folder, torch.float32)
    generator = torch.Generator().manual_seed(0)
    values = []
    for most in (2**30, 1):
        monkeypatch.setattr(fused, "CHUNK_BYTES", most)
        generator.manual_seed(0)
        hidden = torch.randn(300, 16, generator=generator).requires_grad_()
        head = nn.Parameter(torch.randn(50, 16, generator=generator))
        total = fused.head(found)(hidden, head, torch.randint(50, (300,), generator=generator))
        (3 * total).backward()
        values.append((total.detach(), hidden.grad, head.grad))
    for one, other in zip(*values, strict=True):
        assert error(one, other) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_exponential_is_exact_to_the_last_places_and_hands_on_what_is_not_a_number(dtype, folder) -> None:
    """Seen through the cross-entropy of two words, whose gradient is a logistic function."""
    found = library(folder, dtype)
    logits = torch.zeros(2001, 2, dtype=dtype)
    logits[:, 1] = torch.linspace(-60, 60, 2001)
    nats, targets = torch.empty(2001), torch.zeros(2001, dtype=torch.int64)
    right = torch.softmax(logits.double(), -1)
    found.call("cross_entropy", logits, targets, nats, 2001, 2)
    assert torch.allclose(logits[:, 1].double(), right[:, 1], rtol=4e-7 if dtype == torch.float32 else 4e-3, atol=1e-30)
    assert torch.allclose(nats.double(), -right[:, 0].log(), rtol=1e-5, atol=1e-6)
    broken = torch.tensor([[math.nan, 0.0]], dtype=dtype)
    found.call("cross_entropy", broken, targets[:1], nats[:1], 1, 2)
    assert math.isnan(float(nats[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(32, 32), (40, 24), (24, 40), (7, 33)], ids=str)
def test_steps_of_muon_are_those_of_the_plain_one(dtype, size, folder, threads) -> None:
    choice = OptimizerChoice(
        name="muon",
        learning_rate=0.03,
        table_learning_rate=0.004,
        weight_decay=0.5,
        momentum=0.9,
        orthogonalize_steps=5,
    )
    generator = torch.Generator().manual_seed(0)
    begun = [torch.randn(shape, generator=generator) for shape in (size, size, size[::-1])]
    ways = [[nn.Parameter(weight.clone()) for weight in begun] for _ in range(2)]
    plain, kernels = (Muon(weights, choice, dtype=dtype) for weights in ways)
    kernels = MuonByKernels(kernels, library(folder, dtype))
    for step in range(3):
        for mine, theirs in zip(*ways, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            theirs.grad = mine.grad.clone()
        for optimizer in (plain, kernels):
            optimizer.step(Rates(learning_rate=1 - 0.3 * step))
    least = 1e-5 if dtype == torch.float32 else 2e-2
    for mine, theirs, weight in zip(*ways, begun, strict=True):
        assert error(theirs - weight, mine - weight) < least
    for name, velocity in plain.state().items():
        assert error(kernels.state()[name], velocity) < 1e-6


def test_a_step_repeats_to_the_last_bit(folder, threads) -> None:
    found = library(folder, torch.bfloat16)
    seen = []
    for _ in range(2):
        _, module = networks(torch.bfloat16, found)
        rows = torch.randint(200, (9, 25), generator=torch.Generator().manual_seed(2))
        NextToken(fused.head(found))(module, Batch(rows)).backward()
        seen.append([weight.grad for weight in module.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


def test_what_is_not_trained_runs_as_it_is(folder) -> None:
    plain, kernels = networks(torch.float32, library(folder, torch.float32))
    tokens = torch.randint(200, (2, 24))
    assert torch.equal(plain.eval()(tokens), kernels.eval()(tokens))
    caches = kernels.new_caches(1, 24)
    assert kernels(tokens[:1, :5], caches).shape == (1, 5, plain.shape.vocabulary)


def test_it_is_compiled_once_for_a_dtype(folder, monkeypatch) -> None:
    library(folder, torch.float32)
    libraries.library.cache_clear()
    monkeypatch.setattr(compiling, "_compile", lambda *_: pytest.fail("it was compiled already"))
    assert library(folder, torch.float32).dtype == torch.float32
    libraries.library.cache_clear()


def test_a_compiler_that_fails_is_an_error_with_its_words(tmp_path, monkeypatch) -> None:
    liar = tmp_path / "cc"
    liar.write_text("#!/bin/sh\necho 'no space for a compiler' >&2\nexit 1\n")
    liar.chmod(0o755)
    libraries.library.cache_clear()
    with pytest.raises(ResourceError) as caught:
        libraries.library(tmp_path / "made", torch.float32, str(liar))
    assert "no space for a compiler" in caught.value.received
    assert caught.value.attempt == "use --without kernels"
    assert not list((tmp_path / "made").iterdir())


def a_compiler(path: Path, does: str) -> str:
    """A compiler that does something else wherever it is asked for the processor's own instructions."""
    path.write_text(f'#!/bin/sh\ncase "$*" in *=native*) {does};; esac\nexec {compiler()} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("sleep 5", "more than 0.3 s"),
        ("kill -9 $$", "signal 9"),
        ("echo 'gcc: fatal error: Killed signal terminated program cc1' >&2; exit 1", "terminated program cc1"),
    ],
    ids=["time-out", "signal", "of its own process"],
)
def test_a_compiler_that_is_stopped_says_nothing_of_its_flags(does: str, said: str, tmp_path, monkeypatch) -> None:
    """Were others taken, the kernels would round otherwise from then on, and nobody would know."""
    monkeypatch.setattr(compiling, "SECONDS", 0.3)
    with pytest.raises(compiling.CompilerStopped, match="did not finish") as caught:
        compiling.compiled(libraries.SOURCE, tmp_path / "made", a_compiler(tmp_path / "cc", does), libraries.OPTIONS)
    assert said in caught.value.received
    assert not list((tmp_path / "made").iterdir())


def test_a_compiler_that_refuses_flags_gets_the_next_and_the_file_names_them(tmp_path, monkeypatch) -> None:
    refusing = a_compiler(tmp_path / "cc", "echo 'error: bad value native' >&2; exit 1")
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }\n")
    made = compiling.compiled(source, tmp_path / "made", refusing, ())
    assert made.library.one() == 1 and made.flags == ("-fopenmp",)
    assert [file.name for file in (tmp_path / "made").iterdir()] == [made.file.name]
    assert made.file.name.endswith("-fopenmp.so") and "native" not in made.file.name
    usual = compiling.compiled(source, tmp_path / "made", compiler(), ())
    assert usual.file.name.endswith("native-fopenmp.so")
    monkeypatch.setattr(compiling.process, "run", None)
    assert compiling.compiled(source, tmp_path / "made", refusing, ()).flags == made.flags


@pytest.mark.parametrize("reproducible", [False, True], ids=["timed", "reproducible"])
def test_a_run_goes_on_without_kernels_only_where_nothing_was_promised_of_its_weights(
    small_text, tmp_path, monkeypatch, reproducible: bool
) -> None:
    """The kernels were there when the run was planned; the deadline of the timed one comes at its fifth step."""
    run, real = Run(tmp_path / "run"), train.build

    def building(*asked, **more):
        with monkeypatch.context() as patch:
            stopped = compiling.CompilerStopped("the compiler did not finish", received="a signal", attempt="again")
            patch.setattr(technique, "library", failing(stopped))
            return real(*asked, **more)

    monkeypatch.setattr(train, "build", building)
    settings = {"layers": "1", "width": "64", "context_length": "32"} | ({"tokens": "6000"} if reproducible else {})
    request = Request(
        sources=(str(small_text),),
        seconds=120.0,
        reproducible=reproducible,
        settings=settings,
        exclude=("compiled", "ngram_mix"),
    )
    late = Late(5)
    with pytest.raises(compiling.CompilerStopped) if reproducible else contextlib.nullcontext():
        stages_run.run(request, late, out=str(run.path), stopwatch=late.stopwatch)
    assert "kernels" in [choice.name for choice in run.plan().techniques]
    found = list(records.read(run.log_file))
    told = [str(r.detail.get("what")) for r in found if isinstance(r, records.Event)]
    assert any("without the kernels" in what for what in told) is not reproducible
    assert run.finished() is not reproducible
    assert not {r.technique for r in found if isinstance(r, records.Touched)} & {"kernels", "thread_parallel"}


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_where_nothing_can_be_compiled_the_plan_does_without_the_kernels(small_text, tmp_path, monkeypatch) -> None:
    refusal = compiling.NotCompiled("kernels.c could not be compiled", received="cc: no", attempt="--without kernels")
    monkeypatch.setattr(technique, "library", failing(refusal))
    sizes = {"layers": "1", "width": "64", "context_length": "32"}
    request = Request(sources=(str(small_text),), seconds=120.0, settings=sizes, exclude=("compiled",))
    plan = plan_of_stages.plan_only(request, Late(0).stopwatch, out=str(tmp_path / "run"))
    assert plan.predicted.mode == "eager" and not {"kernels", "thread_parallel"} & {c.name for c in plan.techniques}
    assert "the plan does without the kernels" in Run(tmp_path / "run").log_file.read_text()


def test_the_threads_are_those_of_torch_whatever_else_is_loaded(monkeypatch) -> None:
    ours, theirs = "/site-packages/torch/lib/libgomp.so.1", "/site-packages/scikit_learn.libs/libgomp-e985bcbb.so.1.0.0"
    monkeypatch.setattr(compiling, "_loaded", lambda: ["/usr/lib/libc.so.6", theirs, ours])
    assert compiling._threads(("-fopenmp",)) == (ours,)
    monkeypatch.setattr(compiling, "_loaded", lambda: [theirs])
    assert compiling._threads(("-fopenmp",)) == ("-fopenmp",)
    assert compiling._threads(()) == ()


def test_a_library_that_does_not_open_is_compiled_again(tmp_path) -> None:
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }")
    made = compiling.compiled(source, tmp_path / "made", compiler(), ())
    broken = tmp_path / "other" / made.file.name
    broken.parent.mkdir()
    broken.write_bytes(b"no library")
    assert compiling.compiled(source, tmp_path / "other", compiler(), ()).library.one() == 1
