"""lm-eval with our model behind it: local tasks, the same scores in batches of 1 and 16, and those of its own model."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_runs

from daybreak import cli
from daybreak.core.errors import DataError, UsageError
from daybreak.core.run import Run
from daybreak.core.types import Plan
from daybreak.data.tokenizers import train_tokenizer
from daybreak.evaluation import lm_eval
from daybreak.evaluation.loaded import load
from daybreak.evaluation.questions import scorer_of
from daybreak.models.gpt import Gpt

TEXT = "the cat sat on the mat while a dog ran after the ball and the bird sang in a tree"
WORDS = TEXT.split()
ROWS = [
    {
        "query": f"{' '.join(WORDS[i % 7 : i % 7 + 3])}",
        "choices": [" ".join(WORDS[(i * k) % 11 : (i * k) % 11 + 1 + i % 3]) for k in (1, 3, 5)],
        "gold": i % 3,
    }
    for i in range(30)
]
CHOICES = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{query}}}}"
doc_to_choice: choices
doc_to_target: gold
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
LAST = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{query}}}}"
doc_to_target: "{{{{' ' + choices[0]}}}}"
metric_list:
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
  - {{metric: acc, aggregation: mean}}
"""
ROLLING = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{(query + ' ') * 4}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: byte_perplexity}}, {{metric: bits_per_byte}}]
"""
WRITTEN = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{query}}}}"
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs: {{until: ["a"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
"""
TASKS = {"local_choices": CHOICES, "local_last": LAST, "local_rolling": ROLLING, "local_written": WRITTEN}


@pytest.fixture
def run(tmp_path: Path, plan: Callable[..., Plan], network: Callable[..., Gpt], one_thread: None) -> Run:
    tokenizer = train_tokenizer([TEXT * 20], 300)
    return small_runs.of_network(tmp_path / "net", plan(), network(vocabulary=320, context_length=32), tokenizer)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    made = tmp_path / "tasks"
    made.mkdir()
    (made / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, text in TASKS.items():
        (made / f"{name}.yaml").write_text(text.format(name=name, data=made / "rows.jsonl"))
    return made


def requests(*pairs: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=pair) for pair in pairs]


PAIRS = [(row["query"], f" {choice}") for row in ROWS for choice in row["choices"]]


def test_without_the_package_the_error_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval, "LM", object)
    with pytest.raises(UsageError) as raised:
        lm_eval.evaluate(str(run), ["blimp"])
    assert raised.value.attempt == "run pip install '.[lm-eval]' in the checkout"


def test_scores_are_the_same_in_batches_of_1_and_of_16(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is an extra")
    words = ["evaluate", str(run), "--lm-eval", ",".join(TASKS), "--lm-eval-tasks", str(folder), "--json"]
    found = []
    for batch in ("1", "16", "16"):
        cli.app([*words, "--batch", batch], standalone_mode=False)
        found.append(json.loads(capsys.readouterr().out))
    assert found[1] == found[2]
    assert [task["name"] for task in found[0]["tasks"]] == list(TASKS)
    for one, many in zip(found[0]["tasks"], found[1]["tasks"], strict=True):
        assert one["items"] == len(ROWS) and one["scores"].keys() == many["scores"].keys()
        for name, score in one["scores"].items():
            exactly = name in ("acc", "acc_norm", "exact_match")
            assert score == (many["scores"][name] if exactly else pytest.approx(many["scores"][name], rel=1e-5))
            assert score["low"] <= score["value"] <= score["high"]
    kept = json.loads(run.task_scores_file.read_text())["tasks"]
    assert kept["lm-eval/local_last"]["scores"] == found[2]["tasks"][1]["scores"]


def test_log_likelihoods_do_not_depend_on_the_batch(run: Run) -> None:
    loaded = load(run.path)
    asked = [lm_eval.DaybreakLM(loaded, scorer_of(loaded, batch)).loglikelihood(requests(*PAIRS)) for batch in (1, 16)]
    differences = [abs(one[0] - many[0]) for one, many in zip(*asked, strict=True)]
    assert max(differences) < 1e-5
    assert [one[1] for one in asked[0]] == [many[1] for many in asked[1]]


def test_greedy_text_ends_where_the_task_says(run: Run) -> None:
    loaded = load(run.path)
    model = lm_eval.DaybreakLM(loaded, scorer_of(loaded))
    (whole,) = model.generate_until(requests((PAIRS[0][0], {"max_gen_toks": 20})))
    stop = whole[3:5]
    cut, none = model.generate_until(
        requests((PAIRS[0][0], {"until": [stop, ""], "max_gen_toks": 20}), (PAIRS[0][0], {"until": whole[0]}))
    )
    assert cut == whole[: whole.index(stop)] and none == ""
    drawn = model.generate_until(requests((PAIRS[0][0], {"do_sample": True, "temperature": 2.0, "max_gen_toks": 20})))
    assert drawn != [whole]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mean", [0.0, 1.0, 1.0, 1.0]),
        ("mean", [0.5, 1.25, 1.0]),
        ("perplexity", [-1.0, -2.0, -3.0]),
        ("weighted_perplexity", [(-10.0, 5), (-3.0, 2)]),
        ("bits_per_byte", [(-10.0, 5), (-3.0, 2)]),
        ("f1_score", [(1, 1), (0, 1), (1, 1), (0, 0)]),
    ],
)
def test_an_interval_is_around_what_lm_eval_makes_of_its_values(name: str, values: list[Any]) -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics", reason="lm-eval is an extra")
    aggregate = getattr(metrics, name)
    low, high = lm_eval.interval(values * 30, aggregate)
    assert low <= aggregate(values * 30) <= high and low < high


def test_an_unknown_task_and_data_that_cannot_be_had_are_refused(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = pytest.importorskip("lm_eval.tasks", reason="lm-eval is an extra")
    # To look through the thousands that it brings along takes ten seconds.
    monkeypatch.setattr(tasks, "TaskManager", functools.partial(tasks.TaskManager, include_defaults=False))
    with pytest.raises(UsageError, match="the folder does not exist"):
        lm_eval.evaluate(str(run), ["local_last"], folder=str(folder / "nowhere"))
    with pytest.raises(UsageError, match="local_last"):
        lm_eval.evaluate(str(run), ["local_lasts"], folder=str(folder))
    (folder / "rows.jsonl").unlink()
    with pytest.raises(DataError, match="could not be loaded"):
        lm_eval.evaluate(str(run), ["local_last"], folder=str(folder))


@pytest.mark.long
def test_lm_evals_own_model_says_the_same_of_the_folder_that_transformers_opens(run: Run) -> None:
    """Of texts without a context: only before these does its own model put the end-of-text token."""
    pytest.importorskip("lm_eval", reason="lm-eval is an extra")
    pytest.importorskip("accelerate", reason="lm-eval's own model needs it")
    transformers = pytest.importorskip("transformers", reason="an extra")
    from lm_eval.models.huggingface import HFLM

    opened = transformers.AutoModelForCausalLM.from_pretrained(run.model_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.model_folder)
    theirs = HFLM(pretrained=opened, tokenizer=tokenizer, max_length=32, batch_size=4, add_bos_token=False)
    loaded = load(run.path)
    ours = lm_eval.DaybreakLM(loaded, scorer_of(loaded))
    texts = requests(*(("", context + rest) for context, rest in PAIRS))
    for one, other in zip(ours.loglikelihood(texts), theirs.loglikelihood(texts, disable_tqdm=True), strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-4, rel=1e-5) and one[1] == bool(other[1])
    long = requests((f"{TEXT} {TEXT} {TEXT}",), ("the cat",))
    assert ours.loglikelihood_rolling(long) == pytest.approx(
        theirs.loglikelihood_rolling(long, disable_tqdm=True), rel=1e-5
    )
