"""Families: a run of each by a count of tokens, its figures, its records, its model/ and what it writes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import daybreak
from daybreak.core import records
from daybreak.core.errors import DataError, UsageError
from daybreak.core.metrics import BITS_PER_BYTE, MASKED_ACCURACY, METRICS, SPAN_LOSS
from daybreak.core.records import Measurement, Sample, Step, Validation
from daybreak.core.run import Run
from daybreak.evaluation.loaded import load
from daybreak.evaluation.score_table import Scores
from daybreak.models import families
from daybreak.models.checkpoints.special_tokens import specials_of, spelled
from daybreak.models.inference.sampling import Sampling
from daybreak.models.inference.scores import Score
from daybreak.stages.compare.text import compare
from daybreak.stages.evaluate.text import evaluate
from daybreak.stages.measure import measurement as measure
from daybreak.stages.measure.ablations import of_optimizers
from daybreak.tasks.fill_mask import Filler
from daybreak.tasks.scoring import Hidden, TokenScores

SETTINGS = {
    "bert": {"layers": 2, "width": 64},
    "t5": {"layers": 1, "width": 64},
    "lstm": {"layers": 1, "width": 64},
}
TOKENS = 24_000


@pytest.fixture(scope="module")
def run_of(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each family's run, made once."""
    made: dict[tuple[str, int], Any] = {}

    def run(family: str, seed: int = 0) -> Any:
        if (family, seed) not in made:
            out = tmp_path_factory.mktemp(family) / "run"
            settings = {**SETTINGS[family], "vocabulary": 512, "context_length": 64, "batch_tokens": 2048}
            made[family, seed] = daybreak.run(
                str(small_text),
                budget="10m",
                out=str(out),
                family=family,
                reproducible=True,
                seed=seed,
                settings={**settings, "tokens": TOKENS, "evaluation_bytes": 6_000},
                exclude=["compiled"],
            )
        return made[family, seed]

    return run


@pytest.mark.parametrize("family", SETTINGS)
def test_the_headline_stands_where_bits_per_byte_stands_for_a_gpt(run_of: Any, family: str) -> None:
    finished = run_of(family)
    plan = finished.run.plan()
    headline = METRICS[{"bert": "masked_accuracy", "t5": "span_loss", "lstm": "bits_per_byte"}[family]]
    assert plan.headline == headline and plan.objective == families.named(family).objective
    found = list(records.read(finished.run.log_file))
    [told] = [r for r in found if isinstance(r, Measurement) and r.name == headline.name]
    assert told.value == finished.figures[headline.name] and told.unit == headline.unit
    assert plan.predicted.figure_low < plan.predicted.figure < plan.predicted.figure_high
    assert any(isinstance(r, Validation) for r in found) and any(isinstance(r, Sample) for r in found)
    # The plan has said that a part of the held-out text is scored, and the run says which part it was.
    share, interval = finished.figures["heldout_share"], finished.figures[f"{headline.name}_interval"]
    assert 0.1 < share < 0.6 and told.share == share and told.interval == interval
    assert interval is None or interval[0] <= told.value <= interval[1]
    assert not Scores.read(finished.run.scores_file).whole
    assert finished.figures["verdict"] and ("compares only" in finished.figures["verdict"]) == (family != "lstm")
    samples = [r for r in found if isinstance(r, Sample)]
    assert all(r.prompt.strip() and r.text.strip() for r in samples)
    steps = [r for r in found if isinstance(r, Step)]
    assert steps[-1].tokens >= TOKENS and steps[-1].nats < steps[0].nats - 0.1
    report = json.loads(finished.run.report_data_file.read_text())
    assert report["headline"]["name"] == headline.name
    assert report["result"]["model"]["value"] == told.value
    assert (report["result"]["kneser_ney"] is not None) == headline.of_text


@pytest.mark.parametrize("family", SETTINGS)
def test_a_model_scores_the_same_when_it_is_read_again(run_of: Any, family: str) -> None:
    finished = run_of(family)
    headline = finished.run.plan().headline
    loaded = load(finished.run.path)
    again = evaluate(finished.run.path, ())
    # Of all the held-out text, in the place of a part.
    assert again[headline.name] == pytest.approx(finished.figures[headline.name], rel=0.1, abs=0.03)
    assert loaded.plan.shape == finished.run.plan().shape


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_gaps_are_filled(run_of: Any, family: str) -> None:
    loaded = load(run_of(family).run.path)
    assert isinstance(loaded.alone, Filler)
    filled = loaded.predictor.filled("The <mask> of the [MASK].", Sampling(max_tokens=20, temperature=0.0))
    assert filled.text.startswith("The ") and len(filled.gaps) == 2
    if family == "bert":
        shares = [share for _, share in filled.gaps[0]]
        assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
    with pytest.raises(UsageError, match="no gap"):
        loaded.predictor.filled("The end of the line.", Sampling())


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_runs_that_hide_tokens_are_compared_by_their_figure(run_of: Any, family: str) -> None:
    one, other = run_of(family), run_of(family, 1)
    headline = one.run.plan().headline
    facts = compare([str(one.run), str(other.run)], resamples=200)
    assert facts["headline"] == headline.name
    for run, finished in zip(facts["runs"], (one, other), strict=True):
        value = finished.figures[headline.name]
        assert run["compared"]["alone"] == pytest.approx(1 - value if headline.higher_is_better else value, rel=1e-6)
    [verdict] = facts["verdicts"]
    assert verdict["low"] <= verdict["difference"] <= verdict["high"]


@pytest.mark.parametrize("family", SETTINGS)
def test_from_python_a_model_fills_gaps_or_continues_texts(run_of: Any, family: str) -> None:
    model = daybreak.load(str(run_of(family).run.path))
    if family == "lstm":
        assert isinstance(model.generate("It was", max_tokens=5), str)
        with pytest.raises(UsageError, match="continues texts and fills no gaps"):
            model.fill("The <mask>.")
        return
    filled = model.fill("The <mask> of it.", candidates=3, max_tokens=8, temperature=0.0)
    assert filled.text.startswith("The") and len(filled.gaps) == 1
    assert len(filled.gaps[0]) == (3 if family == "bert" else 1)
    for ask in (model.generate, lambda text: list(model.stream(text))):
        with pytest.raises(UsageError, match="fills in masks and does not continue text"):
            ask("The <mask>.")


def test_from_python_a_model_answers_tasks_and_goes_out(run_of: Any, tmp_path: Path) -> None:
    run = Run(shutil.copytree(run_of("bert").run.path, tmp_path / "run"))
    (tmp_path / "pairs.jsonl").write_text('{"good": "It is.", "bad": "It are."}\n' * 3)
    model = daybreak.load(str(run.path))
    [told] = model.evaluate(tasks=[str(tmp_path / "pairs.jsonl")], limit=2)["tasks"]
    assert told["items"] == 2
    assert Path(model.export("torch-export", out=str(tmp_path / "out"))["folder"]).is_dir()
    # Report and card have the scores, too.
    [kept] = json.loads(run.report_data_file.read_text())["tasks"]
    assert kept["scores"] == told["scores"] and str(tmp_path) not in json.dumps(kept)
    card = (tmp_path / "out" / "README.md").read_text()
    assert re.search(r"\| pairs, zero-shot, accuracy \| [\d.]+ .*\| 2 questions; chance is 0.5000 \|", card)


@pytest.mark.parametrize(
    "family", [name if name == "lstm" else pytest.param(name, marks=pytest.mark.long) for name in SETTINGS]
)
def test_what_a_technique_gains_is_measured_in_the_loss_of_the_family(run_of: Any, family: str, tmp_path: Path) -> None:
    run = Run(shutil.copytree(run_of(family).run.path, tmp_path / "run"))
    found = measure.measure(str(run), include=("ema",), share=0.5, most_seeds=2)
    [row] = found["rows"]
    assert row["seeds"] == 2 and row["step_time"]["ratio"] > 0 and len(found["plan_losses"]) == 2
    assert found["method"]["unit"] == ("bits/byte" if family == "lstm" else "nats/token")
    # Of the same kind as the loss that the run itself has logged after as many steps.
    logged = [r.loss(run.plan().headline) for r in records.read(run.log_file) if isinstance(r, Validation)]
    assert min(logged) - 0.5 < found["plan_losses"][0] < max(logged) + 0.5
    with pytest.raises(UsageError, match=f"models of the family {family} have only one kind of norm"):
        measure.measure(str(run), norms=True)
    with pytest.raises(UsageError, match="it applies to gpt only"):
        measure.measure(str(run), include=("fp8",))


@pytest.mark.parametrize("family", SETTINGS)
def test_optimizers_begin_at_the_rates_of_the_family(run_of: Any, family: str) -> None:
    plan = run_of(family).run.plan()
    by_name = {case.name: case.with_.optimizer for case in of_optimizers(plan)}
    assert by_name[f"optimizer={plan.optimizer.name}"] == plan.optimizer
    rate = {"bert": 0.01, "t5": 0.015, "lstm": 0.03}[family]
    assert by_name["optimizer=adamw"].learning_rate == (0.02 if family == "lstm" else 3e-3)
    assert by_name["optimizer=muon"].learning_rate == rate and by_name["optimizer=adamw_rms"].learning_rate == 0.02


def test_runs_of_different_figures_are_not_compared(run_of: Any) -> None:
    with pytest.raises(DataError, match="different metrics"):
        compare([str(run_of("bert").run), str(run_of("t5").run)])


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_transformers_opens_what_a_run_has_written(run_of: Any, family: str) -> None:
    transformers = pytest.importorskip("transformers")
    finished = run_of(family)
    folder, plan = finished.run.model_folder, finished.run.plan()
    kind = {"bert": transformers.AutoModelForMaskedLM, "t5": transformers.AutoModelForSeq2SeqLM}[family]
    theirs = kind.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours = load(finished.run.path).alone.module
    ids = tokenizer("The end of the line.", return_tensors="pt")["input_ids"]
    end = plan.tokenizer.end()
    assert ids[0, -1] == end and (family == "t5" or ids[0, 0] == end)
    assert tokenizer.pad_token_id == plan.tokenizer.specials.pad
    with torch.no_grad():
        if family == "bert":
            assert tokenizer.mask_token_id == plan.tokenizer.specials.mask
            torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=0)
        else:
            assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == plan.tokenizer.specials.sentinels[0]
            start = torch.tensor([[plan.tokenizer.specials.pad, *ids[0, :3].tolist()]])
            logits = theirs(input_ids=ids, decoder_input_ids=start).logits
            torch.testing.assert_close(ours(ids, start), logits, atol=1e-4, rtol=0)


def test_what_a_pipeline_of_transformers_needs_is_there(run_of: Any) -> None:
    transformers = pytest.importorskip("transformers")
    guesses = transformers.pipeline("fill-mask", model=str(run_of("bert").run.model_folder))("The <|mask|> of it.")
    assert len(guesses) == 5 and all(0 <= guess["score"] <= 1 for guess in guesses)


# Figures, by hand


def test_headlines_by_hand() -> None:
    score = Score(nats=20.0, bytes=8, tokens=10, hits=3)
    assert MASKED_ACCURACY.value(score.sums()) == pytest.approx(0.3)
    assert SPAN_LOSS.value(score.sums()) == pytest.approx(2.0)
    assert BITS_PER_BYTE.value(score.sums()) == pytest.approx(20 / 8 / np.log(2))
    assert MASKED_ACCURACY.told(0.3123) == "31.2% of masked tokens guessed"
    assert SPAN_LOSS.told(2.0) == "2.000 nats a token of the spans"


def test_targets_without_bytes_count_where_all_do() -> None:
    nats, sizes, hits = np.array([1.0, 2.0, 4.0]), np.array([3, 0, 1]), np.array([True, True, False])
    some = TokenScores(nats=nats, sizes=sizes, hits=hits).total()
    assert (some.nats, some.bytes, some.tokens, some.hits) == (5.0, 4, 2, 1)
    every = TokenScores(nats=nats, sizes=sizes, hits=hits, every=True).total()
    assert (every.nats, every.bytes, every.tokens, every.hits) == (7.0, 4, 3, 2)
    assert len(TokenScores(nats=nats, sizes=sizes, hits=hits).first(2)) == 2


def test_windows_of_an_exam_do_not_overlap_but_for_their_last_token() -> None:
    rows = np.concatenate(list(Hidden.rows(np.arange(35), 8)))
    assert rows.shape == (4, 9) and (rows[:, 0] == [0, 8, 16, 24]).all() and (np.diff(rows) == 1).all()


@pytest.mark.parametrize("family", families.listed())
def test_special_tokens_stand_behind_the_tokenizers_own(family: str) -> None:
    ids = spelled(specials_of(family, 512))
    assert sorted(ids.values()) == list(range(512, 512 + len(ids)))
    assert ("<|mask|>" in ids) == (family == "bert") and ("<extra_id_99>" in ids) == (family == "t5")


def test_an_unknown_family_is_named(small_text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'bert'"):
        daybreak.run(str(small_text), budget="60s", out=str(tmp_path / "run"), family="brt")
