"""The day in a minute: from text to a model that is reloaded, scored, continued and explained."""

import json
import math

import numpy as np
import pytest

import daybreak
from daybreak.core import records
from daybreak.core.records import Measurement, Phase, Validation
from daybreak.core.run import Run
from daybreak.evaluation.score_table import Scores
from daybreak.views.report_page import phase_seconds
from daybreak.views.terminal import finished_lines

BUDGET = 11.0

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def day(small_text, tmp_path_factory, unhurried, waited):
    """A run, and the seconds that something waited for a processor meanwhile."""
    before, out = waited(), tmp_path_factory.mktemp("day") / "run"
    finished = unhurried(
        str(small_text), budget=f"{BUDGET}s", out=str(out), settings={"layers": 1, "width": 64}, exclude=["compiled"]
    )
    return finished, waited() - before


@pytest.fixture(scope="module")
def finished(day):
    return day[0]


@pytest.fixture(scope="module")
def budget(finished):
    return finished.run.plan().budget.seconds


def test_it_ends_in_time_and_does_not_idle(day, budget):
    finished, waited = day
    used = max(r.used_seconds for r in records.read(finished.run.log_file) if hasattr(r, "used_seconds"))
    assert 0.9 * budget <= used or waited > 0.1 * budget, "it has idled on a machine that had time for it"
    assert used <= budget or waited > 5 * (used - budget), "late on a machine that had time for it"


def test_every_second_is_in_one_phase(finished):
    used = [r.used_seconds for r in records.read(finished.run.log_file) if isinstance(r, Phase)][-1]
    assert sum(phase_seconds(finished.run).values()) == pytest.approx(used, abs=0.05)


def test_the_figure_is_that_of_the_files_on_disk_computed_by_hand(finished):
    import torch

    loaded = daybreak.load(str(finished.run.path), without=("ngram_mix",))._loaded
    text = "".join(loaded.tokenizer.decode(_heldout(finished.run)))
    assert len(text.encode()) == finished.run.corpus().heldout_bytes
    stream = np.array(_heldout(finished.run, ends=True), np.int64)
    context = loaded.context_length
    inputs = np.concatenate(([loaded.tokenizer.end_of_text], stream[:-1]))
    nats = 0.0
    for start in range(0, len(stream), context):
        window = torch.from_numpy(inputs[start : start + context])[None]
        logp = torch.log_softmax(loaded.alone.module(window), -1)[0]
        for position, token in enumerate(stream[start : start + context]):
            if token != loaded.tokenizer.end_of_text:
                nats -= float(logp[position, token])
    expected = nats / math.log(2) / len(text.encode())
    assert daybreak.load(str(finished.run.path)).evaluate()["bits_per_byte"] == pytest.approx(expected, rel=1e-5)
    if finished.figures["bytes"] == len(text.encode()):  # else the budget had room for a part
        assert finished.figures["bits_per_byte"] == pytest.approx(expected, rel=2e-3)  # bfloat16 inside the run


def _heldout(run: Run, *, ends: bool = False) -> list[int]:
    from daybreak.evaluation.streams import heldout_stream

    plan = run.plan()
    stream = heldout_stream(run, plan)
    return [int(t) for t in stream if ends or t != plan.tokenizer.vocabulary - 1]


def test_it_says_how_much_was_scored_and_what_the_figures_mean(finished):
    figures, scores = finished.figures, Scores.read(finished.run.scores_file)
    share = figures["bytes"] / finished.run.corpus().heldout_bytes
    assert figures["heldout_share"] == pytest.approx(share) and scores.whole == (share == 1)
    low, high = figures["bits_per_byte_interval"]
    assert low < figures["bits_per_byte"] < high
    assert f"{figures['bits_per_byte']:.2f}" in figures["verdict"]
    assert figures["verdict"] == json.loads(finished.run.report_data_file.read_text())["result"]["verdict"]
    assert any("held-out text" in line for line in finished_lines(finished))


def test_the_model_has_learnt_something(finished):
    assert finished.figures["bits_per_byte"] < finished.run.corpus().xz_bits_per_byte + 1.0
    validations = [r for r in records.read(finished.run.log_file) if isinstance(r, Validation)]
    assert finished.figures["bits_per_byte"] < validations[0].figure


def test_model_opens_in_transformers_and_continues_the_same(finished):
    transformers = pytest.importorskip("transformers")
    import torch

    folder = str(finished.run.model_folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours = daybreak.load(str(finished.run.path), without=("ngram_mix",))
    end = ours._loaded.tokenizer.end_of_text
    tokens = tokenizer("The quick")["input_ids"]
    assert tokens[0] == end and tokens[1:] == ours._loaded.tokenizer.encode("The quick")
    with torch.no_grad():
        mine = ours._loaded.alone.module(torch.tensor([tokens]))
        assert torch.allclose(theirs(torch.tensor([tokens])).logits, mine, atol=1e-4)
    room = ours._loaded.context_length - len(tokens)
    greedy = theirs.generate(torch.tensor([tokens]), max_new_tokens=min(30, room), do_sample=False)[0, len(tokens) :]
    text = ours.generate("The quick", max_tokens=min(30, room), temperature=0.0, top_p=1.0)
    assert tokenizer.decode(greedy, skip_special_tokens=True) == text


def test_generation_repeats_with_its_seed_and_differs_with_another(finished):
    model = daybreak.load(str(finished.run.path))
    one, same, other = (model.generate("The", max_tokens=30, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert len(model.generate("The", n=3, max_tokens=5)) == 3
    assert "".join(model.stream("The", max_tokens=30, seed=1)) == one
    assert "e" not in model.generate("The", max_tokens=60, stop=["e"])


def test_the_mixture_is_measured_beside_the_model(finished):
    figures = [r for r in records.read(finished.run.log_file) if isinstance(r, Measurement)]
    alone, mixed = (m for m in figures if m.name == "bits_per_byte")
    assert (alone.needs, mixed.needs) == ("model/", "model/ and mixture/")
    assert mixed.value < alone.value


def test_whoever_may_read_one_file_of_a_run_may_read_all(finished):
    folder = finished.run.path
    mine = folder / "new"
    mine.touch()
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {"counts.safetensors", "model.safetensors", "state.safetensors"} <= {path.name for path in files}
    assert {
        path.relative_to(folder): path.stat().st_mode for path in files if path.stat().st_mode != mine.stat().st_mode
    } == {}
    mine.unlink()


def test_the_report_has_plan_fact_time_and_samples(finished, budget):
    assert finished.run.report_file.stat().st_size > 60_000, "the page brings its charts along"
    told = json.loads(finished.run.report_data_file.read_text())
    assert told["state"] == "finished"
    assert told["result"]["model"]["value"] == finished.figures["bits_per_byte"]
    spent = sum(phase["seconds"] for phase in told["phases"])
    assert spent + told["budget"]["unused"] - told["budget"]["over"] == pytest.approx(budget)
    assert told["machine"]["kind"] == "cpu"
    assert told["versions"]["torch"]
    assert any(row["name"] == "memory" and row["fact"] > 10**7 for row in told["comparison"])
    assert {technique["claim"] for technique in told["techniques"] if technique["on"]} - {""}


def test_the_same_command_again_says_the_same_at_once(finished, budget, small_text):
    again = daybreak.run(
        str(small_text),
        budget=f"{budget}s",
        out=str(finished.run.path),
        settings={"layers": 1, "width": 64},
        exclude=["compiled"],
    )
    assert again.figures == json.loads(json.dumps(finished.figures))


def test_ngram_family_runs_scores_and_generates(small_text, tmp_path):
    done = daybreak.run(str(small_text), budget="20s", family="ngram", out=str(tmp_path / "counts"))
    model = daybreak.load(str(done.run.path))
    assert model.evaluate()["bits_per_byte"] == pytest.approx(done.figures["bits_per_byte"], rel=1e-6)
    assert model.generate("The ", max_tokens=20, seed=3)
