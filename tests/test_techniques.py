"""Techniques: every one says what it claims, where it comes from and when it does not apply."""

from __future__ import annotations

import dataclasses
import inspect
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from daybreak import techniques
from daybreak.core import former_techniques
from daybreak.core.errors import UsageError
from daybreak.core.types import Plan, Request, TechniqueChoice
from daybreak.data.batches import Batch
from daybreak.engine import checkpoints
from daybreak.engine.machine import compiler
from daybreak.engine.schedules import Schedule
from daybreak.models import families, ladder
from daybreak.models.fused_loss import chunked
from daybreak.models.gpt import Gpt, tensors_of
from daybreak.planning import names
from daybreak.tasks.next_token import NextToken
from daybreak.techniques import ORDER, SEAMS, Context, Technique, class_of, fold, make
from daybreak.techniques.averaging import Mean
from daybreak.techniques.batch_ramp import BatchRamp
from daybreak.techniques.bf16 import Bf16
from daybreak.techniques.compiled import Compiled
from daybreak.techniques.ema import Average, Ema, Following
from daybreak.techniques.fused_loss import FusedLoss
from daybreak.techniques.kernels import Kernels
from daybreak.techniques.ngram_mix import NgramMix
from daybreak.training.build import build
from daybreak.training.marks import Marks

pytestmark = pytest.mark.usefixtures("one_thread")

CLAIMS = ("tokens_per_second", "bits_per_byte", "memory_bytes")
SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|https?://")
IN_WORDS = ("ngram_mix",)  # its formula stands in its docstring


# The contract


@pytest.mark.parametrize("name", ORDER)
def test_a_technique_claims_a_number_cites_its_source_and_changes_a_seam(name: str) -> None:
    kind = class_of(name)
    assert issubclass(kind, Technique) and kind.claim in CLAIMS
    assert kind.__doc__ and (SOURCE.search(kind.__doc__) or name in IN_WORDS), "cite the source in the class' docstring"
    assert inspect.getmodule(kind).__doc__  # type: ignore[union-attr]
    changed = [seam for seam in SEAMS if hasattr(kind, seam)]
    assert changed, "a technique has a method named after each seam that it changes"
    folded = {
        name
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if list(inspect.signature(method).parameters)[-1] == "run"
    }
    assert folded == set(changed), "a method that takes the run's context and is named after no seam is never called"


@pytest.mark.parametrize("name", ORDER)
def test_a_technique_refuses_with_a_reason_or_not_at_all(name: str, plan, machine) -> None:
    technique = class_of(name)()
    plans = [plan(), plan(tokens=1), plan(batch_tokens=8 * 16 * 8), plan(micro_batch=10**6)]
    machines = [
        machine(),
        machine(compiler=""),
        machine(matmul_flops={}),
        machine(kind="cuda"),
        machine(memory_bytes=1),
    ]
    for one in machines:
        reasons = [technique.unusable(one), *(technique.refuses(some, one) for some in plans)]
        for reason in reasons:
            assert reason is None or (isinstance(reason, str) and len(reason.split()) > 3), reason
        if technique.unusable(one):
            assert all(technique.refuses(some, one) for some in plans), "what is unusable here must refuse every plan"


@pytest.mark.parametrize("name", ORDER)
def test_a_setting_that_a_technique_does_not_have_is_an_error_that_names_the_nearest(name: str) -> None:
    kind = class_of(name)
    assert make(TechniqueChoice(name=name)) == kind()
    for field in (field.name for field in dataclasses.fields(kind)):
        value = getattr(kind(), field)
        assert getattr(make(TechniqueChoice(name=name, settings={field: value})), field) == value
        with pytest.raises(UsageError, match=f"did you mean '{field}'"):
            make(TechniqueChoice(name=name, settings={f"{field}x": value}))
    with pytest.raises(UsageError, match="no such setting"):
        make(TechniqueChoice(name=name, settings={"zzz": 1}))


def test_an_unknown_technique_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'compiled'"):
        make(TechniqueChoice(name="compile"))
    with pytest.raises(UsageError, match="unknown technique"):
        class_of("__init__")


def test_techniques_of_third_parties_come_after_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Technique):
        claim = "bits_per_byte"

    entries = {"aaa": SimpleNamespace(load=lambda: Mine), "ema": SimpleNamespace(load=lambda: Mine)}
    monkeypatch.setattr(techniques, "_third_parties", lambda: entries)
    assert techniques.names() == (*ORDER, "aaa")
    assert class_of("aaa") is Mine and class_of("ema") is Ema


# Folding


def touching(seam: str, places: int) -> Any:
    return SimpleNamespace(**{seam: lambda thing, run: ([*thing, places], places)})


def test_folding_goes_in_order_and_tells_what_was_touched() -> None:
    on = [("one", touching("loss", 1)), ("other", touching("module", 3)), ("two", touching("loss", 2))]
    thing, touched = fold(on, "loss", [], None)
    assert thing == [1, 2]
    assert [(record.technique, record.seam, record.places) for record in touched] == [
        ("one", "loss", 1),
        ("two", "loss", 2),
    ]
    assert fold(on, "weights", [], None) == ([], [])


@pytest.mark.parametrize("seam", SEAMS)
def test_a_technique_that_touches_nothing_is_a_defect_except_where_what_there_is_depends_on_more(seam: str) -> None:
    on = [("idle", touching(seam, 0))]
    if seam in ("documents", "batches", "optimizer", "weights"):
        assert fold(on, seam, [], None)[1][0].places == 0
    else:
        with pytest.raises(RuntimeError, match=f"idle changed nothing in {seam}"):
            fold(on, seam, [], None)


# Techniques of earlier versions


@pytest.mark.parametrize("name", former_techniques.FIELDS)
def test_a_technique_that_is_gone_is_refused_by_its_name_and_says_what_to_use(name: str) -> None:
    field, value = former_techniques.FIELDS[name]
    for find in (class_of, lambda name: make(TechniqueChoice(name=name))):
        with pytest.raises(UsageError, match="no longer exists") as error:
            find(name)
        assert name in error.value.received and f"--set {field}={value}" in error.value.attempt
    for option, words in (("--with", {"include": (name,)}), ("--without", {"exclude": (name,)})):
        with pytest.raises(UsageError, match="no longer exists") as error:
            names.check(Request(sources=("-",), seconds=60.0, **words))
        assert error.value.received == f"{option} {name}"


OLD_SHAPE = {"logit_cap": 15.0, "value_embeddings": True, "skips": True, "activation": "squared_relu"}


def test_an_old_plan_whose_shape_has_what_its_techniques_made_is_carried_out_as_it_was(plan, shape) -> None:
    asked = Request(sources=("a.txt",), seconds=60.0, native=False, settings={"logit_cap": "30"})
    old = plan(shape=shape(**OLD_SHAPE | {"logit_cap": 30.0}), request=asked).to_json()
    today = Plan.from_json(old)
    ours = {"name": "averaging", "settings": {}}
    old["techniques"] = [{"name": name, "settings": {}} for name in former_techniques.FIELDS] + [ours]
    old["request"]["include"] = [*former_techniques.FIELDS, "averaging"]
    read = Plan.from_json(old)
    assert [choice.name for choice in read.techniques] == ["averaging"] and read.shape == today.shape
    assert read.identity() == today.identity()
    told = {"value_embeddings": "true", "skips": "true", "activation": "squared_relu", "logit_cap": "30"}
    assert read.request == asked.replace(include=("averaging",), settings=told)
    assert Request.from_json(old["request"]) == read.request
    assert Plan.from_json(read.to_json()) == read


@pytest.mark.parametrize("name", former_techniques.FIELDS)
def test_an_old_plan_whose_shape_lacks_it_is_refused_by_name(name: str, plan, machine) -> None:
    old = plan().to_json() | {"techniques": [{"name": name, "settings": {}}]}
    with pytest.raises(UsageError, match="no longer exists") as error:
        build(Plan.from_json(old), machine(), torch.device("cpu"))
    assert error.value.received == name


def test_the_average_follows_running_means_too() -> None:
    module = nn.BatchNorm1d(2, affine=False, track_running_stats=False)
    module.register_buffer("running_mean", torch.zeros(2))
    average = Average(memory=0.1)
    average.follow(module, 0.7)
    module.running_mean.fill_(1.0)
    average.follow(module, 0.75)
    assert average.weights["running_mean"].tolist() == pytest.approx([0.5, 0.5])


# One by one


def test_bf16_refuses_where_it_is_slower_and_not_where_it_is_faster(plan, machine) -> None:
    slow, fast = machine(), machine(matmul_flops={"float32": 1e11, "bfloat16": 3e11})
    assert "0.1 times" in (Bf16().refuses(plan(), slow) or "")
    assert Bf16().refuses(plan(), fast) is None
    assert Bf16().refuses(plan(), machine(matmul_flops={"float32": 1e11})) is not None
    assert Bf16(least_gain=4.0).refuses(plan(), fast) is not None


def test_bf16_multiplies_in_bfloat16_and_keeps_weights_in_float32(network, plan, machine) -> None:
    module, places = Bf16().module(network(), Context(plan=plan(), machine=machine()))
    assert places == 7 + 2
    tokens = torch.randint(64, (1, 8))
    assert module.hidden(tokens).dtype == torch.bfloat16
    assert all(weight.dtype == torch.float32 for weight in module.parameters())


def test_compiled_refuses_without_a_compiler_and_where_it_does_not_pay(plan, machine) -> None:
    compiled = plan().predicted.replace(mode="compiled")
    assert Compiled().refuses(plan(predicted=compiled), machine()) is None
    assert "compiler" in (Compiled().refuses(plan(), machine(compiler="")) or "")
    assert "compiler" in (Compiled().unusable(machine(kind="cuda", compiler="")) or "")
    assert "does not win that time back" in (Compiled().refuses(plan(), machine()) or "")
    kernels = plan().predicted.replace(mode="kernels")
    assert "the kernels are used instead" in (Compiled().refuses(plan(predicted=kernels), machine()) or "")


def test_kernels_are_for_cpus_with_a_compiler(plan, machine) -> None:
    planned = plan(predicted=plan().predicted.replace(mode="kernels"))
    assert Kernels().refuses(planned, machine()) is None
    assert "CPUs" in (Kernels().refuses(planned, machine(kind="cuda")) or "")
    assert "compiler" in (Kernels().refuses(planned, machine(compiler="")) or "")
    assert "standard layer" in (
        Kernels().refuses(planned.replace(shape=planned.shape.replace(context_length=9000)), machine()) or ""
    )


def test_batch_ramp_refuses_a_batch_of_one_micro_batch(plan, machine) -> None:
    row = plan().shape.context_length
    assert "this plan has 1" in (BatchRamp().refuses(plan(batch_tokens=8 * row), machine()) or "")
    assert BatchRamp().refuses(plan(batch_tokens=16 * row), machine()) is not None
    assert BatchRamp().refuses(plan(batch_tokens=32 * row), machine()) is None


def test_batch_ramp_takes_a_quarter_then_a_half_then_all(plan, machine, schedule_choice) -> None:
    schedule = Schedule(schedule_choice(), batch_rows=64)
    ramp = BatchRamp(quarter_until=0.1, half_until=0.3)
    schedule, _ = ramp.schedule(schedule, Context(plan=plan(), machine=machine()))
    assert [schedule.rows(p) for p in (0.0, 0.099, 0.1, 0.299, 0.3, 1.0)] == [16, 16, 32, 32, 64, 64]


def test_fused_loss_refuses_small_logits(plan, machine, shape) -> None:
    assert "fits into memory" in (FusedLoss().refuses(plan(), machine()) or "")
    large = plan(shape=shape(vocabulary=32768, context_length=512), micro_batch=8)
    assert FusedLoss().refuses(large, machine()) is None  # 512 MiB
    loss, places = FusedLoss().loss(NextToken(), Context(plan=large, machine=machine()))
    assert loss.head is chunked and places == 1


def test_ema_refuses_a_short_run(plan, machine) -> None:
    assert Ema().refuses(plan(tokens=200 * 1024), machine()) is None
    assert "199 steps" in (Ema().refuses(plan(tokens=200 * 1024 - 1), machine()) or "")


def test_ngram_mix_refuses_where_the_budget_or_the_memory_lets_too_little_be_counted(plan, machine) -> None:
    assert NgramMix().refuses(plan(), machine()) is None
    assert "could be counted" in (NgramMix(share=1e-5).refuses(plan(), machine()) or "")
    assert NgramMix().refuses(plan(), machine(memory_bytes=10**6)) is not None


def test_ngram_mix_counts_as_much_as_fits(plan, machine) -> None:
    assert NgramMix().counted_tokens(plan(), machine()) == plan().predicted.corpus_tokens
    assert NgramMix(share=1e-3).counted_tokens(plan(), machine()) < plan().predicted.corpus_tokens
    assert NgramMix().seconds(1e12, 100.0) == pytest.approx(100.0 * NgramMix().share)


def weight_module(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def test_the_average_by_hand() -> None:
    average = Average(memory=0.1)
    module = weight_module(1.0)
    average.follow(module, 0.70)
    assert average.weights["weight"].item() == 1.0
    for value, progress, expected in (
        (2.0, 0.72, 1.2),  # a fifth of the memory has passed: a fifth of the way to 2
        (0.0, 0.77, 0.6),  # half of it: half of the way to 0
        (5.0, 0.77, 0.6),  # no time has passed
        (3.0, 0.99, 3.0),  # more than all of it
    ):
        nn.init.constant_(module.weight, value)
        average.follow(module, progress)
        assert average.weights["weight"].item() == pytest.approx(expected)
    assert module.weight.item() == 3.0 and module.weight.data_ptr() != average.weights["weight"].data_ptr()


def test_the_average_follows_from_its_start_and_now_and_then() -> None:
    following = Following(Average(0.1), Ema(memory=0.1, start=0.5, every=0.01))
    module = weight_module(1.0)
    following(module, 0.49)
    assert following.state() == ({}, 0.0)
    following(module, 0.5)
    nn.init.constant_(module.weight, 2.0)
    following(module, 0.505)
    assert following.state()[0]["weight"].item() == 1.0 and following.state()[1] == 0.5
    following(module, 0.52)
    assert following.state()[0]["weight"].item() == pytest.approx(1.2)


def test_the_average_comes_back_from_its_state() -> None:
    module = weight_module(1.0)
    one, other = (Following(Average(0.1), Ema()) for _ in range(2))
    one(module, 0.8)
    weights, progress = one.state()
    other.load({name: weight.clone() for name, weight in weights.items()}, progress)
    nn.init.constant_(module.weight, 3.0)
    for following in (one, other):
        following(module, 0.85)
    assert torch.equal(one.state()[0]["weight"], other.state()[0]["weight"]) and one.state()[1] == other.state()[1]


@pytest.mark.parametrize("norm", ["rms", "batch"])
def test_averages_go_on_from_a_checkpoint_and_fit_the_model(norm: str, tmp_path, shape) -> None:
    module = Gpt(shape(norm=norm)) if norm != "rms" else Gpt(shape())
    module.initialize(0)
    followers = [(Mean(0.5, 4), Mean(0.5, 4))]
    followers += [tuple(Following(Average(0.1), Ema(start=0.5, every=0.01)) for _ in range(2))]
    for one, other in followers:
        one(module, 0.5)
        kept, facts = one.state()
        checkpoints.save(tmp_path / one.name, 1, dict(kept), {"facts": facts})
        tensors, read, _ = checkpoints.newest(tmp_path / one.name)  # in the order of their names
        other.load(tensors, read["facts"])
        with torch.no_grad():
            module.model.embed_tokens.weight.add_(1.0)
        for follower in (one, other):
            follower(module, 0.9)
        assert one.state()[0].keys() == tensors_of(module).keys()
        assert all(torch.equal(weight, other.state()[0][name]) for name, weight in one.state()[0].items())


def test_the_weights_of_the_best_mark_are_whole(shape) -> None:
    module, marks = Gpt(shape(norm="batch")), Marks()
    for loss in (3.0, 4.0, 5.0):
        marks.validated(module, loss / 10, loss)
    assert marks.progress == 0.3 and marks.best.keys() == tensors_of(module).keys()


def test_ema_adds_a_candidate_beside_the_current_weights(plan, machine) -> None:
    context = Context(plan=plan(), machine=machine())
    followers, places = Ema(start=0.0).step([], context)
    assert places == 1 and len(followers) == 1
    current = {"weight": torch.ones(1)}
    candidates, places = Ema().weights({"current": current}, context)
    assert candidates["current"] is current and candidates["ema"] is current and places == 1  # no average yet
    followers[0](weight_module(7.0), 0.5)
    candidates, _ = Ema().weights({"current": current}, context)
    assert candidates["ema"]["weight"].item() == 7.0


@pytest.mark.long
@pytest.mark.skipif(not compiler(), reason="there is no C++ compiler")
def test_compiled_gives_the_loss_and_the_gradients_of_the_plain_module(
    network, plan, machine, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    rows = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(0))
    found = []
    for on in ([], [("compiled", Compiled())]):
        context = Context(plan=plan(), machine=machine())
        module, _ = fold(on, "module", network(layers=2).train(), context)
        loss, _ = fold(on, "loss", NextToken(), context)
        total = loss(module, Batch(rows))
        (total / 64).backward()
        found.append(
            (float(total.detach()), [weight.grad for weight in module.parameters()], list(module.state_dict()))
        )
    (plain, gradients, names), (compiled, compiled_gradients, compiled_names) = found
    assert compiled == pytest.approx(plain, rel=1e-3)
    assert names == compiled_names  # what is saved has the family's names, whatever was on
    for one, other in zip(gradients, compiled_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-2)


@pytest.mark.long
@pytest.mark.skipif(not compiler(), reason="there is no C++ compiler")
@pytest.mark.parametrize("family", ["gpt", "bert"])
def test_gradients_compiled_in_bfloat16_are_those_of_the_plain_module(
    family: str, plan, machine, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(256, (8, 64), generator=generator)
    seen = torch.randn(8, 64, 64, generator=generator)
    found = []
    for on in ([], [("compiled", Compiled())]):
        shape = getattr(ladder, family)(2, 64, vocabulary=512, context_length=64)
        module = families.of(shape).module(shape)
        module.initialize(0)
        for weight in module.matrices():
            nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))  # some begin with nothing
        module.compute_dtype = torch.bfloat16
        module, _ = fold(on, "module", module.train(), Context(plan=plan(), machine=machine()))
        (module.hidden(rows).float() * seen).sum().backward()
        found.append({name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None})
    plain, compiled = found
    assert plain.keys() == compiled.keys()
    for name, gradient in plain.items():
        assert (compiled[name] - gradient).norm() < 0.05 * gradient.norm(), name
