"""Questions: the file format and its errors, how text is cut for scoring, scores by hand, the verbs, kept scores."""

from __future__ import annotations

import gzip
import importlib.util
import json
import lzma
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_runs

from daybreak import cli
from daybreak.core.errors import DataError, UsageError
from daybreak.core.run import Run
from daybreak.core.types import Plan
from daybreak.data import questions
from daybreak.data.questions import joint
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.evaluation import bootstrap
from daybreak.evaluation.questions import Answers, answered, clusters_of, credit, difference, pairs_of, scores
from daybreak.models.gpt import Gpt
from daybreak.models.inference.likelihood import Likelihood, Pair
from daybreak.stages.compare import tasks as compare_tasks
from daybreak.stages.evaluate import text as evaluating
from daybreak.stages.evaluate.tasks import evaluate_tasks
from daybreak.views import comparison

PAIRS = [{"good": "the cat sleeps", "bad": "the cat sleep"}, {"good": "dogs bark", "bad": "dogs barks"}]
CHOICES = [
    {"query": "Water is", "choices": ["wet.", "a dry thing."], "gold": 0},
    {"query": "天是", "choices": ["蓝的", "方的", "方"], "gold": 0, "cluster": "sky"},
]
LAST = [{"context": "It was a dark and stormy", "continuation": "night"}]
SCHEMA = [{"context_options": ["The cat sat because the cat", "The cat sat because the mat"],
           "continuation": "was tired.", "gold": 0}]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def written(rows: list[Any], name: str = "task.jsonl") -> str:
        text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
        pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(Path(name).suffix, bytes)
        (tmp_path / name).write_bytes(pack(text.encode()))
        return str(tmp_path / name)

    return written


# The format


@pytest.mark.parametrize(("kind", "rows"), [("pairs", PAIRS), ("choices", CHOICES), ("last_words", LAST),
                                            ("schema", SCHEMA)])  # fmt: skip
@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
def test_a_kind_is_told_by_its_fields_packed_or_not(file: Callable[..., str], kind: str, rows: list[Any], packed: str):
    task = questions.read(file(rows, f"my_task.jsonl{packed}"))
    assert (task.name, task.kind, task.items, len(task.questions)) == ("my_task", kind, len(rows), len(rows))


def test_options_of_every_kind(file: Callable[..., str]) -> None:
    def options(rows: list[Any]) -> list[Any]:
        return [question.options for question in questions.read(file(rows)).questions]

    assert options(PAIRS[:1]) == [(("", "the cat sleeps"), ("", "the cat sleep"))]
    assert options(CHOICES) == [
        (("Water is", " wet."), ("Water is", " a dry thing.")),
        (("天是", "蓝的"), ("天是", "方的"), ("天是", "方")),
    ]
    assert options(LAST) == [(("It was a dark and stormy", " night"),)]
    first, second = SCHEMA[0]["context_options"]
    assert options(SCHEMA) == [((first, " was tired."), (second, " was tired."))]
    assert options([{**CHOICES[0], "delimiter": "\n"}])[0][0] == ("Water is", "\nwet.")
    assert questions.read(file(CHOICES)).questions[1].sizes == (6, 6, 3)


def test_chance_is_what_guessing_reaches(file: Callable[..., str]) -> None:
    chances = [questions.read(file(rows)).chance for rows in (PAIRS, CHOICES, LAST, SCHEMA)]
    assert chances == pytest.approx([1 / 2, (1 / 2 + 1 / 3) / 2, 0, 1 / 2])


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        ("It is", "so", " "), ("It is ", "so", ""), ("It is", " so", ""), ("", "so", ""), ("天", "蓝", ""),
        ("天", "blue", ""), ("It is", "蓝", ""), ("说：", "Yes", ""), ("안녕", "하세요", " "), ("ano", "です", ""),
    ],
)  # fmt: skip
def test_a_space_stands_where_words_are_spaced(before: str, after: str, between: str) -> None:
    assert joint(before, after) == between


def test_a_limit_is_spread_over_the_file(file: Callable[..., str]) -> None:
    rows = [{"good": f"good {i}", "bad": "b", "UID": str(i // 10)} for i in range(100)]
    task = questions.read(file(rows))
    few = task.limited(10)
    assert [question.part for question in few.questions] == [str(i) for i in range(10)] and few.items == 100
    assert task.limited(0) == task and task.limited(1000) == task
    assert few.digest != task.digest == questions.read(file(rows)).digest


BROKEN = [
    ([], "no questions"),
    (['{"good": "a", "bad": "b"'], "not JSON"),
    ([*PAIRS, "nonsense"], "not JSON"),
    ([*PAIRS, *LAST], "row 3"),
    ([["a", "b"]], "not a JSON object"),
    ([{"text": "a"}], "the fields text"),
    ([{"good": "a", "bad": 3}], "`bad` is not a string"),
    ([{"good": "a", "bad": ""}], "`bad` is empty"),
    ([{**CHOICES[0], "gold": 2}], "`gold` is 2"),
    ([{**CHOICES[0], "gold": True}], "`gold` is True"),
    ([{**CHOICES[0], "gold": "a"}], "`gold` is 'a'"),
    ([{**CHOICES[0], "choices": ["one"]}], "`choices`"),
    ([{**CHOICES[0], "choices": ["one", ""]}], "`choices`"),
    ([{**CHOICES[0], "delimiter": 1}], "`delimiter`"),
    ([{**SCHEMA[0], "context_options": "ab"}], "`context_options`"),
]


@pytest.mark.parametrize(("rows", "told"), BROKEN, ids=[told for _, told in BROKEN])
def test_what_is_no_question_is_refused_by_its_row(file: Callable[..., str], rows: list[Any], told: str) -> None:
    with pytest.raises(DataError) as raised:
        questions.read(file(rows))
    assert told in str(raised.value) and raised.value.attempt


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl.xz"
    torn.write_bytes(lzma.compress(b'{"good": "a", "bad": "b"}\n' * 100)[:40])
    for path in (tmp_path / "nowhere.jsonl", tmp_path, torn):
        with pytest.raises(DataError, match="cannot be read"):
            questions.read(path)


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "marked.jsonl"
    path.write_text(json.dumps(PAIRS[0]), encoding="utf-8-sig")
    assert questions.read(path).items == 1


# Cutting


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["the cat sat on the mat. the dog sat on the log. " * 20], 300)


def test_context_and_continuation_are_cut_as_one_text(tokenizer: Tokenizer) -> None:
    for context, continuation in [("the cat", " sat"), ("the cat ", "sat"), ("th", "e cat"), ("", "the"), (" ", "the")]:
        (pair,) = pairs_of(tokenizer, [(context, continuation)])
        assert [*pair.context, *pair.continuation] == tokenizer.encode(context + continuation)
        assert pair.continuation
        assert tokenizer.decode(pair.continuation).endswith(continuation.strip())
    spaced, moved = pairs_of(tokenizer, [("the cat", " sat"), ("the cat ", "sat")])
    assert spaced == moved and tokenizer.decode(spaced.continuation) == " sat"


def test_a_token_across_the_joint_belongs_to_the_continuation(tokenizer: Tokenizer) -> None:
    the = tokenizer.encode("the")
    assert len(the) == 1  # and not those of "th" and "e"
    assert pairs_of(tokenizer, [("th", "e")]) == [Pair([], the)]


# Scores


@pytest.mark.parametrize(
    ("values", "gold", "part"),
    [([-1.0, -2.0], 0, 1.0), ([-1.0, -2.0], 1, 0.0), ([-1.0, -1.0], 1, 0.5), ([-3.0, -1.0, -1.0], 0, 0.0)],
)
def test_options_that_tie_share_the_credit(values: list[float], gold: int, part: float) -> None:
    assert credit(values, gold) == part


class Told:
    """A scorer that has its likelihoods from the tokens: minus as many nats as there are tokens of each."""

    method = "told"

    def __init__(self, nats: float = 1.0) -> None:
        self.nats = nats

    def log_likelihoods(self, pairs: list[Pair], *, greedy: bool = False) -> list[Likelihood]:
        return [Likelihood(-self.nats * len(pair.continuation), greedy, len(pair.context) > 2) for pair in pairs]


def test_scores_by_hand(file: Callable[..., str]) -> None:
    def found(rows: list[Any]) -> dict[str, Any]:
        return scores(answered(questions.read(file(rows)), byte_tokenizer(), Told()))

    assert found(PAIRS)["scores"]["accuracy"]["value"] == 0.5  # the shorter is the likelier
    choices = found(CHOICES)["scores"]
    assert choices["accuracy"]["value"] == 0.5
    # By bytes: 1.2 and 13/12 nats a byte with the space, then three that tie.
    assert choices["accuracy_by_bytes"]["value"] == pytest.approx((0 + 1 / 3) / 2)
    last = found(LAST)
    assert last["scores"]["accuracy"]["value"] == 1 and last["cut"] == 1
    assert last["scores"]["perplexity"]["value"] == pytest.approx(math.exp(6))
    assert found(SCHEMA)["scores"]["accuracy"]["value"] == 0.5
    parts = found([{**PAIRS[0], "UID": "one"}, {**PAIRS[1], "UID": "two"}])["parts"]
    assert {name: part["accuracy"]["value"] for name, part in parts.items()} == {"one": 0.0, "two": 1.0}


def test_no_number_is_no_score(file: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="not a number"):
        answered(questions.read(file(PAIRS)), byte_tokenizer(), Told(math.nan))


def test_questions_of_one_cluster_are_drawn_together(file: Callable[..., str]) -> None:
    rows = [{**PAIRS[i % 2], "cluster": f"passage {i // 20}"} for i in range(400)]
    task = questions.read(file(rows))
    assert clusters_of(task).tolist() == [i // 20 for i in range(400)]
    assert clusters_of(questions.read(file(PAIRS))).tolist() == [0, 1]
    right = np.repeat(np.arange(20) % 2, 20).astype(float)  # a passage is answered, or it is not
    together = scores(Answers(task=task, right={"accuracy": right}, nats=right, cut=0))
    alone = questions.read(file(PAIRS * 200))
    apart = scores(Answers(task=alone, right={"accuracy": right}, nats=right, cut=0))
    assert (together["clusters"], apart["clusters"]) == (20, 400)
    width, narrow = (one["scores"]["accuracy"]["high"] - one["scores"]["accuracy"]["low"] for one in (together, apart))
    assert width == pytest.approx(narrow * math.sqrt(20), rel=0.15)


# The bootstrap of a score


def test_an_interval_of_a_share_is_that_of_the_binomial() -> None:
    found = bootstrap.share(np.repeat([1.0, 0.0], [300, 100]), np.ones(400))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.value == 0.75 and (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.004)
    assert found == bootstrap.share(np.repeat([1.0, 0.0], [300, 100]), np.ones(400))


def test_none_and_all_right_have_an_interval_too() -> None:
    none, every = (bootstrap.share(np.full(50, value), np.ones(50)) for value in (0.0, 1.0))
    assert (none.low, none.high) == pytest.approx((0, 1 - 0.025 ** (1 / 50)))
    assert (every.low, every.high) == pytest.approx((0.025 ** (1 / 50), 1))


def test_few_kinds_of_values_and_many_are_drawn_alike() -> None:
    generator = np.random.default_rng(0)
    tops, bottoms = generator.integers(0, 4, 500).astype(float), generator.integers(1, 3, 500).astype(float)
    few = bootstrap.ratio(tops, bottoms)
    many = bootstrap.ratio(tops + generator.random(500) * 1e-9, bottoms)
    assert (few.low, few.high) == pytest.approx((many.low, many.high), abs=0.01)


def test_a_difference_is_paired() -> None:
    generator = np.random.default_rng(0)
    one = (generator.random(300) < 0.5).astype(float)
    other = np.where(generator.random(300) < 0.1, 0.0, one)  # of the same questions, a tenth is lost
    task = questions.Task(name="t", path=Path("t"), kind="pairs", items=300, questions=(
        questions.Question(options=(("", "a"), ("", "b")), sizes=(1, 1), gold=0),) * 300)  # fmt: skip
    first, second = (Answers(task=task, right={"accuracy": right}, nats=right, cut=0) for right in (one, other))
    found = difference(first, second, "accuracy")
    assert found.value == pytest.approx(one.mean() - other.mean()) and 0 < found.low < found.high < 0.12
    assert difference(first, first, "nats").p == 1


# The verbs

GOOD = ["the cat sleeps . the dogs sleep . the dog barks . the cats bark . " * 3] * 30
BAD = ["sleep cat the bark . sleeps dogs the . " * 3] * 30
ASKED = [{"good": f"the {noun} {right} .", "bad": f"the {noun} {wrong} .", "UID": noun}
         for noun, right, wrong in [("cat", "sleeps", "sleep"), ("dogs", "sleep", "sleeps"), ("dog", "barks", "bark"),
                                    ("cats", "bark", "barks")]] * 5  # fmt: skip


@pytest.fixture
def counted(tmp_path: Path, plan: Callable[..., Plan]) -> Callable[..., Run]:
    def made(name: str, documents: list[str], order: int = 4) -> Run:
        tokenizer = train_tokenizer(documents, 300)
        return small_runs.of_counts(tmp_path / name, plan(), documents, tokenizer, order)

    return made


def test_an_ngram_model_answers_what_it_has_counted(counted: Callable[..., Run], file: Callable[..., str]) -> None:
    run, told = counted("good", GOOD), list[str]()
    facts = evaluate_tasks(str(run), [file(ASKED, "verbs.jsonl"), file(LAST, "last.jsonl")], told=told.append)
    assert told == ["verbs: 20 questions", "last: 1 questions"]
    verbs, last = facts["tasks"]
    assert verbs["scores"]["accuracy"]["value"] > 0.9 and verbs["chance"] == 0.5
    assert set(verbs["parts"]) == {"cat", "dogs", "dog", "cats"}
    assert last["scores"]["perplexity"]["value"] > 1
    shown = "\n".join(comparison.task_lines(facts))
    assert "verbs: 20, pairs; chance is 0.5000" in shown and "accuracy by part" in shown
    kept = json.loads(run.task_scores_file.read_text())["tasks"]
    assert kept["verbs"]["scores"] == verbs["scores"] and set(kept) == {"verbs", "last"}
    again = evaluate_tasks(str(run), [file(ASKED, "verbs.jsonl")], limit=8)["tasks"][0]
    assert (again["items"], again["items_in_file"]) == (8, 20)
    kept = json.loads(run.task_scores_file.read_text())["tasks"]
    assert kept["verbs"]["items"] == 8 and set(kept) == {"verbs", "last"}


def test_a_network_answers_whatever_the_batch(
    tmp_path: Path, plan: Callable[..., Plan], network: Callable[..., Gpt], file: Callable[..., str], one_thread: None
) -> None:
    module = network(vocabulary=320, context_length=64)
    run = small_runs.of_network(tmp_path / "net", plan(), module, byte_tokenizer())
    asked = [file(ASKED, "pairs.jsonl"), file(CHOICES * 5, "choices.jsonl"), file(LAST, "last.jsonl")]
    one, many = (evaluate_tasks(str(run), asked, batch=batch) for batch in (1, 16))
    for first, second in zip(one["tasks"], many["tasks"], strict=True):
        for name, score in first["scores"].items():
            assert score == pytest.approx(second["scores"][name], rel=1e-4)
    assert one["needs"] == "model/" and one["method"]["likelihood"] == "log-likelihood"


def test_runs_are_compared_on_the_same_questions(
    counted: Callable[..., Run], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = counted("good", GOOD), counted("bad", BAD)
    asked = [file(ASKED * 3, "verbs.jsonl"), file(LAST, "last.jsonl")]
    facts = compare_tasks.compare([str(bad), str(good)], asked)
    by_name = {(one["task"], one["score"]): one for one in facts["verdicts"]}
    verdict = by_name["verbs", "accuracy"]
    assert (verdict["run"], verdict["than"], verdict["verdict"]) == ("good", "bad", "better")
    assert 0 < verdict["low"] <= verdict["difference"] and verdict["adjusted_p"] >= verdict["p"]
    assert by_name["last", "nats"]["verdict"] == "cannot tell"  # of one question
    back = compare_tasks.compare([str(good), str(bad)], asked)["verdicts"][0]
    assert (back["verdict"], back["difference"]) == ("worse", pytest.approx(-verdict["difference"]))
    same = compare_tasks.compare([str(good), str(good)], asked)["verdicts"]
    assert {one["verdict"] for one in same} == {"cannot tell"}
    for language in ("en", "zh"):
        said = comparison.page_words(language)
        assert verdict["run"] in comparison.task_sentence(verdict, facts, said)
        assert said["too few questions"].split("{")[0] in comparison.task_sentence(by_name["last", "nats"], facts, said)
    cli.app(["compare", str(bad), str(good), "--task", asked[0], "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["verdicts"][0]["verdict"] == "better"
    cli.app(["compare", str(bad), str(good), "--task", asked[0]], standalone_mode=False)
    assert "good is better than bad: accuracy +" in capsys.readouterr().out


def test_what_cannot_be_asked_is_refused(counted: Callable[..., Run], file: Callable[..., str], tmp_path: Path) -> None:
    run, asked = counted("good", GOOD), file(PAIRS)
    (tmp_path / "other").mkdir()
    for words in (
        ["evaluate", str(run), "--task", asked, "--task", file(PAIRS, "other/task.jsonl")],
        ["evaluate", str(run), "--task", asked, "--on", asked],
        ["evaluate", str(run), "--task", asked, "--lm-eval", "blimp"],
        ["evaluate", str(run), "--lm-eval-tasks", str(tmp_path)],
        ["compare", str(run), str(run), "--task", asked, "--out", "page.html"],
        ["compare", str(run), "--task", asked],
    ):
        with pytest.raises(UsageError) as raised:
            cli.app(words, standalone_mode=False)
        assert raised.value.received and raised.value.attempt
    assert not run.task_scores_file.exists()


def test_a_folder_that_may_only_be_read_is_scored_all_the_same(
    counted: Callable[..., Run], file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr("daybreak.evaluation.questions.write_json", full)
    run = counted("good", GOOD)
    run.task_scores_file.write_text("damaged")
    assert evaluate_tasks(str(run), [file(PAIRS)])["tasks"]


# Text


def test_bits_per_byte_and_perplexity_have_intervals(counted: Callable[..., Run], tmp_path: Path) -> None:
    run = counted("good", GOOD)
    rows = [json.dumps({"text": f"{i} the cat sleeps and the dogs bark . " * (1 + i % 3)}) for i in range(40)]
    text = tmp_path / "test.jsonl"
    text.write_text("\n".join(rows))
    facts = evaluating.evaluate(str(run), (str(text),))
    for name in ("bits_per_byte", "perplexity"):
        low, high = facts[f"{name}_interval"]
        assert low < facts[name] < high
        assert high - low < facts[name]
    (tmp_path / "short.txt").write_text("the cat")
    short = evaluating.evaluate(str(run), (str(tmp_path / "short.txt"),))
    assert short["bits_per_byte_interval"] is None and short["bits_per_byte"] > 0


# Chinese questions from their own files


def test_chinese_files_become_questions(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("converting", root / "examples" / "chinese_questions.py")
    assert spec is not None and spec.loader is not None
    converting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converting)
    made = {
        "chid": {"candidates": ["画蛇添足", "雪中送炭"], "content": "你这是#idiom#，多余了。", "answer": 0},
        "cluewsc": {"target": {"span1_text": "小猫", "span2_text": "它"}, "label": "false", "text": "小猫睡了。"},
        "ocnli": {"sentence1": "天黑了。", "sentence2": "太阳下山了", "label": "entailment", "prem_id": "a"},
        "bustm": {"sentence1": "几点了", "sentence2": "现在几点", "label": "1"},
        "tnews": {"label": 104, "label_desc": "news_finance", "sentence": "股市大涨"},
    }
    paths = []
    for name, row in made.items():
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "test_public.json")
        paths[-1].write_text(json.dumps(row, ensure_ascii=False))
    names = [{"label": "103", "label_zh": "体育"}, {"label": "104", "label_zh": "财经"}]
    (tmp_path / "tnews" / "label_index2en2zh.json").write_text("\n".join(map(json.dumps, names)))
    asked = {"question": "谁睡了？", "choice": ["小猫", "小狗"], "answer": "小狗"}
    paths.append(tmp_path / "c3-m-test.json")
    paths[-1].write_text(json.dumps([[["小狗睡了。"], [asked, asked], "m1"]], ensure_ascii=False))
    monkeypatch.setattr("sys.argv", ["", *map(str, paths), "--out", str(tmp_path / "out")])
    converting.main()
    tasks = {path.stem: questions.read(path) for path in sorted((tmp_path / "out").glob("*.jsonl"))}
    assert {task.kind for task in tasks.values()} == {"choices"} and len(tasks) == 6
    whole = {name: "".join(task.questions[0].options[task.questions[0].gold]) for name, task in tasks.items()}
    assert whole["chid_test_public"] == "你这是画蛇添足，多余了。"
    assert whole["cluewsc_test_public"] == "小猫睡了。这里的“它”指的是“小猫”，这个说法错"
    assert whole["ocnli_test_public"] == "天黑了？是的，太阳下山了"
    assert whole["tnews_test_public"] == "股市大涨。这是一条财经新闻"
    assert whole["c3-m-test"] == "小狗睡了。\n问：谁睡了？\n答：小狗"
    assert clusters_of(tasks["c3-m-test"]).tolist() == [0, 0]
