"""The planner: a pure function of what was measured and what was asked."""

import itertools
import re
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from daybreak.core import units
from daybreak.core.errors import BudgetTooShort, UsageError
from daybreak.core.shapes import GptShape
from daybreak.core.types import Corpus, Machine, Origin, Plan, Probe, Request, Timing
from daybreak.engine import scaling
from daybreak.models.ngram import cost
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.planning.candidates import Candidate
from daybreak.planning.counting import counting_plan
from daybreak.planning.planner import choose, write_plan
from daybreak.planning.recipe import inherited_share
from daybreak.planning.speed import memory_bytes
from daybreak.planning.tokenizer_choice import nearest_vocabulary
from daybreak.techniques import chosen, class_of
from daybreak.views.progress import summary
from daybreak.views.terminal import plan_lines

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "benchmarks")]
import unchanged  # noqa: E402


@pytest.fixture
def corpus():
    return unchanged.corpora()["english"].replace


def unprobed(used: float = 5.0) -> Probe:
    return Probe(timings=(), earlier=(), compile_cold_seconds=0.0, compile_warm_seconds=0.0, used_seconds=used)


def asked(seconds: float = 600.0, **changes) -> Request:
    return Request(sources=("text.txt",), seconds=seconds).replace(**changes)


def planned(corpus: Corpus, machine: Machine, probe: Probe, request: Request, *, timed_only: bool = False) -> Plan:
    if request.family == "ngram":
        return counting_plan(corpus, request, held_bytes=probe.held_bytes)
    return write_plan(choose(corpus, machine, probe, request, timed_only=timed_only))


def timing(plan: Plan, *, mode: str, factor: float = 1.0) -> Timing:
    assert isinstance(plan.shape, GptShape)
    tokens = plan.micro_batch * plan.shape.context_length
    return Timing(
        shape=plan.shape,
        dtype="float32",
        mode=mode,
        micro_batch=plan.micro_batch,
        step_seconds=factor * tokens / plan.predicted.tokens_per_second,
        forward_seconds=0.1,
        memory_bytes=10**9,
        compile_seconds=20.0 if mode == "compiled" else 0.0,
        cold=True,
    )


def test_the_same_facts_give_the_same_plan(corpus, machine):
    one, other = (planned(corpus(), machine(), unprobed(), asked()) for _ in range(2))
    assert one == other
    assert Plan.from_json(one.to_json()) == one


def test_the_phases_add_up_to_the_budget(corpus, machine):
    for seconds in (60.0, 600.0, 86400.0):
        plan = planned(corpus(), machine(), unprobed(), asked(seconds))
        assert sum(plan.predicted.phase_seconds.values()) == pytest.approx(seconds)


def test_more_time_never_makes_a_worse_or_a_smaller_model(corpus, machine):
    text = corpus(bytes=10**9)
    plans = [planned(text, machine(), unprobed(), asked(s)) for s in (600.0, 6000.0, 60000.0, 600000.0)]
    for shorter, longer in itertools.pairwise(plans):
        assert longer.predicted.figure <= shorter.predicted.figure
        assert longer.shape.parameters() >= shorter.shape.parameters()
        assert longer.batch_tokens >= shorter.batch_tokens


@pytest.mark.parametrize("family", ["bert", "t5", "lstm"])
def test_more_time_is_expected_to_give_a_better_figure_of_the_family_too(corpus, machine, family):
    text = corpus(bytes=10**9)
    plans = [planned(text, machine(), unprobed(), asked(s, family=family)) for s in (600.0, 6000.0, 60000.0)]
    for shorter, longer in itertools.pairwise(plans):
        better, worse = longer.predicted.figure, shorter.predicted.figure
        assert (better > worse) == longer.headline.higher_is_better
        assert longer.predicted.figure_low < better < longer.predicted.figure_high
    if family == "bert":
        assert 0 < plans[0].predicted.figure < plans[-1].predicted.figure < 1


def test_every_decision_has_a_reason_and_settings_are_named(corpus, machine):
    plan = planned(corpus(), machine(), unprobed(), asked(settings={"layers": "3", "learning_rate": "0.01"}))
    assert plan.shape.layers == 3
    assert plan.optimizer.learning_rate == 0.01
    assert plan.reasons["layers"] == "you set layers=3"
    for name in ("shape", "tokens", "vocabulary", "context_length", "batch_tokens", "optimizer", "schedule", "family"):
        assert plan.reasons[name]


def test_a_vocabulary_that_a_text_is_too_small_for_is_the_next_smaller_one(corpus):
    for wanted, taken in ((8192, 4096), (4096, 4096), (2048, 1024), (257, 257)):
        assert nearest_vocabulary(wanted, corpus()) == taken
    assert nearest_vocabulary(4096, corpus(bytes_per_token={"5000": 3.0})) == 5000
    assert nearest_vocabulary(512, corpus(bytes_per_token={"4096": 3.0, "8192": 3.1})) == 4096
    with pytest.raises(UsageError, match="not trained with this vocabulary"):
        nearest_vocabulary(300, corpus())


def test_a_measured_shape_is_believed(corpus, machine):
    words = asked(exclude=("compiled", "kernels"))
    first = planned(corpus(), machine(), unprobed(), words)
    probe = unprobed().replace(timings=(timing(first, mode="eager", factor=2.0),))
    second = planned(corpus(), machine(), probe, words, timed_only=True)
    assert second.shape == first.shape
    assert second.predicted.tokens_per_second == pytest.approx(first.predicted.tokens_per_second / 2, rel=0.01)


def test_steps_are_timed_of_a_choice_and_the_plan_is_written_once(corpus, machine, monkeypatch):
    from daybreak.core.clock import Stopwatch
    from daybreak.training.probe import probe

    sizes = {"layers": "1", "width": "64", "context_length": "64", "vocabulary": "257", "batch_tokens": "512"}
    request = asked(settings=sizes, exclude=("bf16", "compiled", "kernels"))
    made, construct = [], Plan.__init__

    def counted(plan: Plan, **words) -> None:
        made.append(words["shape"])
        construct(plan, **words)

    monkeypatch.setattr(Plan, "__init__", counted)
    known = probe(corpus(), machine(), request, torch.device("cpu"), Stopwatch())
    assert len(known.timings) == 1 and made == []
    plan = planned(corpus(), machine(), known, request, timed_only=True)
    assert made == [plan.shape] == [known.timings[0].shape]
    assert plan.predicted.tokens_per_second == known.timings[0].micro_batch * 64 / known.timings[0].step_seconds


def test_what_a_tiny_shape_took_says_nothing_of_a_large_one(corpus, machine):
    words = asked(exclude=("compiled", "kernels"))
    first = planned(corpus(), machine(), unprobed(), words)
    small = words.replace(settings={"layers": 1, "width": 16, "vocabulary": 257})
    tiny = planned(corpus(), machine(), unprobed(), small)
    # At 16 of width a step is all calls: a hundred times what its products need.
    known = unprobed().replace(earlier=(timing(tiny, mode="eager", factor=100.0),))
    second = planned(corpus(), machine(), known, words)
    assert second.shape == first.shape
    assert second.predicted.tokens_per_second == pytest.approx(first.predicted.tokens_per_second)


def test_kernels_do_without_compiling(corpus, machine):
    plan = planned(corpus(), machine(), unprobed(), asked(3600.0))
    assert plan.technique("kernels") is not None
    assert plan.predicted.mode == "kernels"
    assert "kernels" in plan.refused["compiled"]
    assert plan.predicted.phase_seconds["compile"] < 5


def test_compiling_is_refused_where_it_does_not_pay(corpus, machine):
    words = {"exclude": ("kernels",)}
    short = planned(corpus(bytes=10**6), machine(), unprobed(), asked(40.0, **words))
    assert "does not win that time back" in short.refused["compiled"]
    long = planned(corpus(), machine(), unprobed(), asked(3600.0, **words))
    assert long.technique("compiled") is not None
    without = planned(corpus(), machine(compiler=""), unprobed(), asked(3600.0))
    assert "compiler" in without.refused["compiled"]


def test_a_shape_that_was_compiled_before_is_cheap_to_compile_again(corpus, machine):
    long = planned(corpus(), machine(), unprobed(), asked(3600.0, exclude=("kernels",)))
    probe = unprobed().replace(earlier=(timing(long, mode="compiled"),), compile_warm_seconds=2.0)
    words = {"layers": str(long.shape.layers), "width": str(long.shape.width), "vocabulary": str(long.shape.vocabulary)}
    words["context_length"] = str(long.shape.context_length)
    plan = planned(corpus(), machine(), probe, asked(3600.0, settings=words, exclude=("kernels",)))
    assert plan.shape == long.shape
    assert plan.predicted.compile_seconds == 2.0


def test_too_short_a_budget_names_one_that_works(corpus, machine):
    slow = machine(matmul_flops={"float32": 1e8})
    with pytest.raises(BudgetTooShort) as caught:
        planned(corpus(bytes=10**6), slow, unprobed(), asked(20.0), timed_only=True)
    seconds = float(caught.value.attempt.split("--for ")[1].split("s")[0])
    planned(corpus(bytes=10**6), slow, unprobed(), asked(seconds), timed_only=True)


def test_a_technique_that_refuses_cannot_be_forced(corpus, machine):
    with pytest.raises(UsageError, match="bf16"):
        planned(corpus(), machine(), unprobed(), asked(include=("bf16",)))


def test_the_ngram_family_takes_its_order_and_nothing_else(corpus, machine):
    assert planned(corpus(), machine(), unprobed(), asked(family="ngram", settings={"order": "5"})).shape.order == 5
    with pytest.raises(UsageError):
        planned(corpus(), machine(), unprobed(), asked(family="ngram", settings={"layers": "5"}))


def test_where_counting_is_expected_to_win_the_plan_says_so(corpus, machine):
    plan = planned(corpus(ngram_bits_per_byte=1.0, ngram_fall=0.3), machine(), unprobed(), asked(60.0))
    assert "--family ngram" in plan.reasons["family"]


def test_a_reproducible_plan_does_not_depend_on_how_fast_the_machine_was_today(corpus, machine):
    words = asked(reproducible=True, seconds=120.0)
    fast = machine(matmul_flops={"float32": 9e11})
    slow_text = corpus(bytes_per_second=1e6, tokens_per_second=1e5)
    one, other = planned(corpus(), machine(), unprobed(), words), planned(slow_text, fast, unprobed(30.0), words)
    assert one == other
    assert one.budget.clock == "tokens"


def test_tokens_that_are_set_are_what_is_planned_for(corpus, machine):
    words = asked(reproducible=True, seconds=8 * 3600.0, settings={"tokens": "1000000"})
    plan = planned(corpus(), machine(cores=16), unprobed(), words)
    assert plan.tokens == 1_000_000 and plan.tokens / plan.batch_tokens >= 100


def test_the_kernels_keep_what_attention_weighs(shape):
    short, long = (memory_bytes(shape(context_length=length), 4096 // length, "kernels") for length in (256, 2048))
    weighed = shape().layers * shape().heads * 4096 * (2048 - 256)
    assert long - short >= 2 * weighed


# Shapes


def test_grouped_keys_and_values_take_the_rungs_that_they_divide(corpus, machine):
    for groups in ("1", "2", "3"):
        plan = planned(corpus(), machine(), unprobed(), asked(settings={"key_value_heads": groups}))
        assert plan.shape.key_value_heads == int(groups) and plan.shape.heads % int(groups) == 0
    with pytest.raises(UsageError, match="key_value_heads=2"):
        planned(corpus(), machine(), unprobed(), asked(settings={"key_value_heads": "2", "heads": "3"}))


def test_shared_layers_take_the_rungs_that_they_divide_and_stay_native(corpus, machine):
    for repeats in ("2", "3"):
        plan = planned(corpus(), machine(), unprobed(), asked(settings={"layer_repeats": repeats}))
        assert plan.shape.layer_repeats == int(repeats) and plan.shape.layers % int(repeats) == 0
        assert plan.shape.native() and "native" not in plan.reasons
    with pytest.raises(UsageError, match="layer_repeats=3"):
        planned(corpus(), machine(), unprobed(), asked(settings={"layer_repeats": "3", "layers": "4"}))


LEAVING = ({"norm": "layer"}, {"positions": "none"}, {"activation": "squared_relu"}, {"logit_cap": "30"})
LEAVING += ({"value_embeddings": "true"}, {"skips": "true"})


@pytest.mark.parametrize("setting", LEAVING, ids=str)
def test_a_setting_that_leaves_the_stock_class_needs_native_export_given_up(corpus, machine, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(UsageError, match="no class") as error:
        planned(corpus(), machine(), unprobed(), asked(settings={"layers": "2", **setting}))
    assert error.value.received == f"--set {name}={value}" and "--no-native" in error.value.attempt
    plan = planned(corpus(), machine(), unprobed(), asked(settings=setting, native=False))
    assert plan.shape.not_in_transformers().keys() == setting.keys()
    assert name in plan.reasons["native"] and any("native: no" in line for line in plan_lines(plan))
    assert Plan.from_json(plan.to_json()) == plan


def test_the_stock_class_says_nothing_of_native_and_giving_it_up_alone_changes_nothing(corpus, machine):
    kept, given_up = (planned(corpus(), machine(), unprobed(), asked(native=native)) for native in (True, False))
    assert kept.replace(request=None) == given_up.replace(request=None)
    assert not any("native: no" in line for line in plan_lines(kept))
    assert asked() != asked(native=False) and not asked().continues(asked(native=False))


@pytest.mark.parametrize("wrong", [{"norm": "leyer"}, {"positions": "alibbi"}, {"activation": "squaredrelu"}], ids=str)
def test_a_misspelt_part_of_the_shape_is_answered_with_the_nearest(corpus, machine, wrong):
    for native in (True, False):
        with pytest.raises(UsageError, match="did you mean"):
            planned(corpus(), machine(), unprobed(), asked(settings=wrong, native=native))


def test_every_field_of_the_shape_can_be_set(corpus, machine):
    """In the place of techniques that changed it; the sizes that follow from a value follow."""
    told = {"logit_cap": "15", "value_embeddings": "true", "skips": "true", "activation": "squared_relu"}
    plan = planned(corpus(), machine(), unprobed(), asked(settings=told, native=False))
    assert plan.shape.non_default() == {**told, "logit_cap": 15.0, "value_embeddings": True, "skips": True}
    assert plan.shape.mlp_width == 4 * plan.shape.width
    narrow = planned(corpus(), machine(), unprobed(), asked(settings={**told, "mlp_width": "96"}, native=False))
    assert narrow.shape.mlp_width == 96


def test_a_checkpoint_is_gone_on_from_as_the_last_part_of_one_longer_run(shape):
    read = Origin(path="a", digest="0", shape=shape(), specials=None, tokens=257, seen=36e6, bytes_per_token=3.6)
    assert inherited_share(None, 1e6, 3.6) == 1
    assert inherited_share(read, 1e7, 3.6) == pytest.approx(0.5)
    assert inherited_share(read, 1e3, 3.6) == inherited_share(read.replace(seen=0.0, bytes_per_token=0.0), 1e9, 3.6)
    # Of another language, by its tokens or by those that were added, little is kept in any case.
    assert inherited_share(read, 1e3, 1.0) == inherited_share(read.replace(grown=9), 1e3, 3.6) > 0.5


def test_a_plan_shows_first_what_matters_and_counts_what_nobody_asked_for(corpus, machine):
    plan = planned(corpus(), machine(), unprobed(), asked(exclude=("averaging",), include=("history_mix",)))
    lines = plan_lines(plan)
    assert lines[0].startswith("plan: ") and lines[1].startswith("expected: ") and lines[2].startswith("memory: ")
    on = next(line for line in lines if line.startswith("  on "))
    assert on.split(None, 1)[1].split(", ") == [choice.name for choice in plan.techniques]
    unasked = [name for name, reason in plan.refused.items() if "asked for" in reason]
    assert len(unasked) > 10 and f"  {len(unasked)} more are off by default; --with NAME turns one on" in "\n".join(
        lines
    )
    techniques = lines[lines.index("techniques") : lines.index(f"how {units.duration(600)} are spent")]
    for name, reason in plan.refused.items():
        shown = [line for line in techniques if re.search(rf"\b{name}\b", line)]
        assert len(shown) == (name not in unasked) and all(line.endswith(reason) for line in shown)
    assert len(techniques) < 16


def test_the_line_of_a_plan_names_what_trains_and_counts_what_cleans(corpus, machine):
    plan = planned(corpus(), machine(), unprobed(), asked(exclude=("averaging",)))
    names = [choice.name for choice in plan.techniques]
    assert "ngram_mix" in names and not any("cleaned" in line for line in summary(plan))
    cleaned = tuple(chosen(name, asked()) for name in ("quality", "html_text"))
    line, *_ = summary(plan.replace(techniques=(*cleaned, *plan.techniques)))
    assert line.endswith(f"muon, {', '.join(names)}; text cleaned in 2 steps")


# Memory and the range of the figure


def test_memory_is_what_the_process_holds_and_what_still_comes(corpus, machine):
    def peak(probe: Probe, text: Corpus, **words) -> float:
        return planned(text, machine(memory_bytes=64 * 2**30), probe, asked(**words)).predicted.memory_bytes / 1e6

    held = unprobed().replace(held_bytes=500_000_000, peak_bytes=600_000_000)
    alone = peak(held, corpus(), exclude=("ngram_mix",))
    assert 600 <= alone < 900
    assert peak(held.replace(held_bytes=700_000_000), corpus(), exclude=("ngram_mix",)) == pytest.approx(alone + 200)
    assert peak(held.replace(peak_bytes=2_000_000_000), corpus(), exclude=("ngram_mix",)) == pytest.approx(2000)
    # Counting takes 100 bytes a token while it goes on; measured with the text of 5.2 million tokens.
    size = corpus().bytes_per_token["4096"]
    counts = [peak(held, corpus(bytes=n), settings={"vocabulary": "4096"}) for n in (4 * 10**7, 8 * 10**7)]
    assert counts[0] > alone and counts[1] - counts[0] == pytest.approx(100 * 40 / size, rel=0.02)
    bytes_alone = peak(held, corpus(), family="ngram")
    assert bytes_alone == pytest.approx(500 + 50 * 10, rel=0.01)
    assert peak(unprobed(), corpus(), exclude=("ngram_mix",)) > 400  # the libraries
    large = {"layers": "12", "width": "768"}
    long = {"seconds": 3600.0, "exclude": ("ngram_mix",)}
    weights = planned(corpus(), machine(), held, asked(settings=large, **long)).shape.parameters()
    assert peak(held, corpus(), settings=large, **long) > 500 + 28 * weights / 1e6


def test_counting_takes_the_memory_that_is_foreseen(small_text):
    parts = re.findall(r"\w+|\W", small_text.read_text())
    numbers = {part: number for number, (part, _) in enumerate(Counter(parts).most_common(2048))}
    tokens = np.array([numbers[part] for part in parts if part in numbers], dtype=np.uint16)
    tracemalloc.start()
    try:
        model = KneserNey.fit(tokens, order=5, vocabulary=2048)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    how = {"order": 5, "vocabulary": 2048}
    # Half of what a text without repeated phrases takes; one more copy of the grams would be another third.
    assert 0.4 < peak / cost.counting_bytes(len(tokens), **how) < 0.65
    assert 0.4 < model.bytes_in_memory() / cost.counted_bytes(len(tokens), **how) < 1


def test_on_a_busy_machine_the_range_is_wider_and_says_why(corpus, machine):
    quiet = planned(corpus(), machine(), unprobed(), asked())
    assert quiet.predicted.figure_high == pytest.approx(1.1 * quiet.predicted.figure)
    assert quiet.predicted.figure_low == pytest.approx(0.9 * quiet.predicted.figure)
    assert "range" not in quiet.reasons
    last = quiet.predicted
    for waiting in (0.5, 1.0, 3.0):
        plan = planned(corpus(), machine(), unprobed().replace(waiting=waiting), asked())
        assert plan.predicted.figure == quiet.predicted.figure and plan.shape == quiet.shape
        assert plan.predicted.figure_high > last.figure_high and plan.predicted.figure_low <= last.figure_low
        assert f"{1 + waiting:.1f} times as slow" in plan.reasons["range"]
        last = plan.predicted
    # As high as a plan for a quarter of the time expects, or higher.
    quarter = planned(corpus(), machine(), unprobed(used=5.0), asked(150.0)).predicted.figure
    assert last.figure_high > 1.05 * quarter
    one = timing(quiet, mode="kernels").replace(spread=0.5)
    uneven = planned(corpus(), machine(), unprobed().replace(timings=(one,)), asked(), timed_only=True)
    assert "1.5 times as slow" in uneven.reasons["range"]
    for family in ("bert", "t5"):
        wide = planned(corpus(), machine(), unprobed().replace(waiting=2.0), asked(family=family)).predicted
        narrow = planned(corpus(), machine(), unprobed(), asked(family=family)).predicted
        assert wide.figure_low < narrow.figure_low < wide.figure < narrow.figure_high < wide.figure_high


# Reasons


NUMBER = r"([\d.,]+)"
SIZE = r"([\d+ ]+) layers of (\d+)"
SHAPE = re.compile(
    rf"{SIZE}(?:, as in the checkpoint|: predicted {NUMBER} bits per byte(?: for a GPT of this size)?; "
    rf"(?:next best size \({SIZE}\): {NUMBER}"
    rf"|{SIZE}: {NUMBER}, but the smallest size within 0.3% of the best is used"
    r"|the only size that was timed|no other size was left to choose from))"
)
ASKED = [
    {},
    {"settings": {"layers": "3", "learning_rate": "0.01"}},
    {"settings": {"layers": "4", "width": "256", "vocabulary": "1024"}},
    {"settings": {"batch_tokens": "4096", "micro_batch": "2", "context_length": "512"}},
    {"settings": {"optimizer": "adamw", "schedule": "cosine", "floor": "0.1", "weight_decay": "0.3"}},
    {"settings": {"decay": "0.4", "orthogonalize_steps": "2", "vocabulary": "257"}},
    {"settings": {"optimizer": "sgd", "schedule": "constant"}},
    {"settings": {"norm": "layer"}, "native": False},
    {"family": "bert"},
    {"family": "t5", "settings": {"schedule": "plateau"}},
    {"family": "lstm"},
    {"family": "lstm", "settings": {"cell": "rnn", "optimizer": "muon"}},
    {"reproducible": True, "settings": {"tokens": "100000", "layers": "2", "width": "128"}},
    {"tokenizer": "unigram", "exclude": ("averaging", "kernels")},
    {"include": ("history_mix",)},
]
TEXTS = [  # seconds, and a text
    (30.0, {}),
    (1200.0, {"bytes": 60_000, "bytes_per_token": {"257": 1.0}, "ngram_bytes": 60_000, "heldout_bytes": 6000}),
    (3e6, {"bytes": 10**10, "ngram_bits_per_byte": 1.2}),
    (1200.0, {"tokenizer": "file", "bytes_per_token": {"5000": 3.3}, "end_of_text": 2}),
]


def chosen_of(*about) -> tuple[Plan, list[Candidate]]:
    """The plan, and the candidates that it was chosen from."""
    choice = choose(*about)
    return write_plan(choice), list(choice.pool)


@pytest.mark.parametrize(("seconds", "text"), TEXTS, ids=["10 MB", "60 KB", "10 GB", "a file's tokenizer"])
@pytest.mark.parametrize("words", ASKED, ids=str)
def test_each_reason_is_true(corpus, machine, words, text, seconds):
    request, text = asked(seconds, **words), corpus(**text)
    if (vocabulary := request.settings.get("vocabulary")) and vocabulary not in text.bytes_per_token:
        pytest.skip("a vocabulary that the text does not have")
    fast = machine(matmul_flops={"float32": 1e13 if seconds > 1e6 else 1e11}, cores=2)
    plan, pool = chosen_of(text, fast, unprobed(), request)
    check_reasons(plan, text, request, pool)


@pytest.mark.parametrize("timed", [1, 3])
def test_each_reason_is_true_of_what_was_timed(corpus, machine, timed):
    words, slow = asked(exclude=("compiled", "kernels")), machine(bandwidth_bytes_per_second=1e9)
    _, pool = chosen_of(corpus(), slow, unprobed(), words)
    by_bits = sorted(pool, key=lambda one: one.bits_per_byte)[:timed]
    first = planned(corpus(), slow, unprobed(), words)
    timings = tuple(timing(first.replace(shape=one.shape), mode="eager", factor=3.0) for one in by_bits)
    plan, pool = chosen_of(corpus(), slow, unprobed().replace(timings=timings), words)
    check_reasons(plan, corpus(), words, pool)
    probe = unprobed().replace(timings=timings)
    choice = choose(corpus(), slow, probe, words, timed_only=True)
    plan = write_plan(choice)
    assert len(choice.pool) <= timed
    check_reasons(plan, corpus(), words, list(choice.pool))
    if timed == 1:
        assert plan.reasons["shape"].endswith("the only size that was timed")


def test_each_reason_is_true_of_a_checkpoint(corpus, machine, shape):
    origin = Origin(
        path="a", digest="0", shape=shape(vocabulary=1024), specials=None, tokens=1000, seen=36e6, bytes_per_token=3.6
    )
    text = corpus(origin=origin, tokenizer="file", bytes_per_token={"1000": 3.5})
    words = asked(120.0, parent="runs/a")
    plan, pool = chosen_of(text, machine(), unprobed(), words)
    assert plan.reasons["shape"].endswith("as in the checkpoint")
    assert "the longest context of the checkpoint" in plan.reasons["context_length"]
    check_reasons(plan, text, words, pool)


@pytest.mark.parametrize(("heldout", "whole"), [(50_000, True), (50_000_000, False)])
def test_the_end_has_the_time_for_all_heldout_text_where_that_is_a_small_share(corpus, machine, heldout, whole):
    plan = planned(corpus(heldout_bytes=heldout), machine(), unprobed(), asked(60.0))
    predicted = plan.predicted
    scoring = heldout / predicted.bytes_per_token / (2.5 * predicted.tokens_per_second)
    assert (scoring < 0.04 * 60) == whole
    assert predicted.phase_seconds["the end"] == pytest.approx(min(scoring, 0.04 * 60) + 0.4)
    assert (plan.evaluation_bytes == heldout) == whole
    assert sum(predicted.phase_seconds.values()) == pytest.approx(60.0)


def check_reasons(plan: Plan, corpus: Corpus, request: Request, pool: list[Candidate]) -> None:
    reasons, shape, settings = dict(plan.reasons), plan.shape, request.settings
    for name, value in settings.items():
        assert reasons.pop(name) == f"you set {name}={value}"
    assert not any("you set" in told or "you asked" in told for told in reasons.values())
    if "family" in reasons and "as asked" in reasons["family"]:
        assert request.family != "gpt" and not request.parent
    for name, told in plan.refused.items():
        assert (told == "you said --without") == (name in request.exclude)
        default = class_of(name).default
        assert told.startswith("only where it is asked for") <= (not default and name not in request.include)

    found = SHAPE.fullmatch(reasons.pop("shape"))
    assert found, plan.reasons["shape"]
    size, width, bits, next_size, next_width, next_bits, low_size, low_width, low_bits = found.groups()
    assert (int(size.split("+")[0]), int(width)) == (shape.layers, shape.width)
    sizes = {(c.shape.layers, c.shape.width) for c in pool}
    if bits is not None:
        mine = next(c for c in pool if c.shape == shape).bits_per_byte
        assert float(bits) == pytest.approx(mine, abs=6e-4)
        if shape.family == "gpt":
            assert plan.predicted.figure == pytest.approx(mine)
        rivals = [c for c in pool if (c.shape.layers, c.shape.width) != (shape.layers, shape.width)]
        assert bool(rivals) == bool(next_size or low_size) == (len(sizes) > 1)
        if rivals:
            rival = min(rivals, key=lambda c: c.bits_per_byte)
            told = (int((next_size or low_size).split("+")[0]), int(next_width or low_width))
            assert told == (rival.shape.layers, rival.shape.width) != (shape.layers, shape.width)
            assert float(next_bits or low_bits) == pytest.approx(rival.bits_per_byte, abs=6e-4)
            assert (next_bits is not None) == (rival.bits_per_byte >= mine)
            if low_bits is not None:
                assert mine <= 1.003 * rival.bits_per_byte
                assert shape.matmul_parameters() <= rival.shape.matmul_parameters()

    if told := reasons.pop("tokens", ""):
        tokens, rate, times, each, heart = re.fullmatch(
            r"(.+) tokens at ([\d,]+) per second: ([\d.]+) epochs, ([\d.]+) tokens per parameter"
            r"(; more epochs would overfit so small a text)?",
            told,
        ).groups()
        useful = scaling.most_tokens(shape.parameters(), corpus.bytes, plan.predicted.bytes_per_token)
        assert not heart or (plan.tokens == int(useful) and not {"epochs", "tokens"} & request.settings.keys())
        assert tokens == units.count(plan.tokens)
        assert float(rate.replace(",", "")) == pytest.approx(plan.predicted.tokens_per_second, abs=0.6)
        epochs = plan.tokens * plan.predicted.bytes_per_token / corpus.bytes
        assert float(times) == pytest.approx(epochs, abs=0.006, rel=1e-3)
        assert float(each) == pytest.approx(plan.tokens / shape.matmul_parameters(), abs=0.06)
    epochs = plan.tokens * plan.predicted.bytes_per_token / corpus.bytes
    if told := reasons.pop("weight_decay", ""):
        value, which, many, dense = re.fullmatch(
            r"([\d.]+): (?:the usual value for (at least|fewer than) 2 epochs; this run has [\d.]+|"
            r"strong, against overfitting: ([\d.]+) epochs, ([\d.]+) parameters per byte of text)",
            told,
        ).groups()
        assert float(value) == plan.optimizer.weight_decay
        if dense:
            assert float(many) >= 4 and float(dense) == pytest.approx(shape.parameters() / corpus.bytes, abs=0.06)
            assert float(value) == pytest.approx(min(2.0, 0.2 * shape.parameters() / corpus.bytes), abs=0.06)
        else:
            assert (which == "at least") == (epochs >= 2) and float(value) <= 0.2
        assert plan.optimizer.name not in ("sgd", "adam", "adagrad")
    if told := reasons.pop("vocabulary", ""):
        count, each, share = re.search(rf"with {NUMBER} tokens, {NUMBER} bytes each; .* has (\d+)%", told).groups()
        assert int(count.replace(",", "")) == plan.tokenizer.vocabulary
        assert float(each) == pytest.approx(plan.predicted.bytes_per_token, abs=0.006)
        assert int(share) == pytest.approx(100 * shape.vocabulary * shape.width / shape.matmul_parameters(), abs=0.51)
        assert ("checkpoint" in told) == bool(request.parent)
    if told := reasons.pop("context_length", ""):
        assert told.startswith(f"{shape.context_length} tokens")
        if longer := re.search(r"; (\d+) pay", told):
            assert int(longer[1]) > shape.context_length
    if told := reasons.pop("batch_tokens", ""):
        assert told.startswith(f"{plan.batch_tokens:,} tokens per step: ")
        merged = 2 if shape.family == "t5" else 1
        assert ("times 2" in told) == (merged == 2)
        if "the smallest batch" in told:
            assert plan.batch_tokens == 2048 * merged
        if "1/1,700 of" in told:
            assert merged * plan.tokens / 1700 == pytest.approx(plan.batch_tokens, rel=0.42)
    if told := reasons.pop("micro_batch", ""):
        once = plan.micro_batch * shape.context_length
        assert told.startswith(f"{plan.micro_batch} sequence")
        assert ("whole step" in told) == (once >= plan.batch_tokens)
        if tokens := re.search(rf"{NUMBER} tokens keep", told):
            assert int(tokens[1].replace(",", "")) == once
    if told := reasons.pop("optimizer", ""):
        assert told.startswith(f"{plan.optimizer.name}: ")
    if told := reasons.pop("orthogonalize_steps", ""):
        assert plan.optimizer.name.startswith("muon")
        steps, added = re.match(r"(\d) iterations add ([\d.]+)%", told).groups()
        assert int(steps) == plan.optimizer.orthogonalize_steps
        assert float(added) / 100 == pytest.approx(int(steps) * shape.width / plan.batch_tokens, abs=6e-4)
        assert (int(steps) < 5) == (5 * shape.width / plan.batch_tokens >= 0.2) == ("would add" in told)
    if told := reasons.pop("schedule", ""):
        assert told.startswith(f"{plan.schedule.name}: ")
        assert f"last {plan.schedule.decay:.0%} of the run to {plan.schedule.floor:.0%} of its peak" in told
    final, during = re.fullmatch(
        r"(.+) for the final score, (.+) for scores during training", reasons.pop("evaluation")
    ).groups()
    assert final == units.duration(plan.predicted.phase_seconds["the end"])
    assert during == units.duration(plan.predicted.phase_seconds["validation"])
    told = reasons.pop("family")
    if reached := re.search(rf"predicted {NUMBER} bits per byte; n-gram counts reached {NUMBER} on (.+?)(;|$)", told):
        assert float(reached[1]) == pytest.approx(plan.predicted.figure, abs=0.006)
        assert float(reached[2]) == pytest.approx(corpus.ngram_bits_per_byte, abs=0.006)
        assert reached[3] == units.size(corpus.ngram_bytes)
        assert ("--family ngram" in told) == (corpus.ngram_bits_per_byte < plan.predicted.figure)
    else:
        assert f"scored by {plan.headline.name}" in told
    if told := reasons.pop("range", ""):
        slower = float(re.search(rf"{NUMBER} times as slow", told)[1])
        assert slower > 1.1 and plan.predicted.figure_high / plan.predicted.figure_low > 1.25
    assert reasons.keys() <= {"native"} and ("native" in reasons) == (not shape.native())


@pytest.mark.parametrize("size", [20_000, 62_000, 250_000])
def test_with_more_time_the_plan_of_a_small_text_stays_what_it_is(corpus, machine, size) -> None:
    """A minute is enough for all that the text is worth: five and fifty are planned alike, and end as early."""
    plans = []
    for seconds in (60.0, 300.0, 3000.0):
        request = asked(seconds, settings={"layers": "2", "width": "128", "vocabulary": "1024"})
        plans.append(planned(corpus(bytes=size), machine(matmul_flops={"float32": 4e11}), unprobed(), request))
    assert len({(plan.shape, plan.tokens, plan.batch_tokens, plan.optimizer) for plan in plans}) == 1
    assert {plan.budget.most_tokens for plan in plans} == {plans[0].tokens}
    assert plans[1].predicted.phase_seconds["left over"] > 200
