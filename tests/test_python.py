"""The Python face: what it is called, what it gives back, and that its page says the same."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pages
import pytest
import small_runs

import daybreak
from daybreak.core.errors import UsageError
from daybreak.core.request import OPTIONS
from daybreak.data.tokenizers import train_tokenizer
from daybreak.models.inference.sampling import Sampling

PAGE = pages.text_of(pages.ROOT / "docs" / "python.md")
TEXTS = ["the cat sat on the mat and so on\n" * 60, "another day of cats\n" * 60]


@pytest.fixture(scope="module", params=["counts", "network"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plan: Any, network: Any) -> Any:
    folder = tmp_path_factory.mktemp("python")
    tokenizer = train_tokenizer(TEXTS, 300)
    if request.param == "counts":
        run = small_runs.of_counts(folder / "run", plan(), TEXTS, tokenizer, 3)
    else:
        run = small_runs.of_network(folder / "run", plan(), network(vocabulary=tokenizer.vocabulary), tokenizer)
    return daybreak.load(run.path)


def foreign(value: Any, at: str = "") -> Iterator[str]:
    """Where something stands that JSON does not have."""
    if isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from foreign(part, f"{at}.{key}")
    elif type(value) not in (int, float, str, bool, type(None)):
        yield f"{at}: {type(value)}"


def test_figures_are_plain_numbers(model: Any, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXTS[0])
    (tmp_path / "q.jsonl").write_text('{"query": "the cat", "choices": ["sat", "c"], "gold": 0}\n' * 3)
    assert not list(foreign(model.evaluate(tmp_path / "t.txt")))
    assert not list(foreign(model.evaluate(tasks=tmp_path / "q.jsonl")))


def test_a_model_says_what_it_is(model: Any) -> None:
    assert re.fullmatch(r"<daybreak\.Model of .+/run: (ngram|gpt, [\d.]+ \w+ parameters), \d+ tokens>", repr(model))


def test_a_model_takes_the_options_of_the_command_line(model: Any) -> None:
    assert model.generate("the", max_tokens=5, seed=1) == "".join(model.stream("the", max_tokens=5, seed=1))
    assert len(model.generate("the", n=2, max_tokens=3)) == 2
    for wrong in ({"seed": 1 << 64}, {"seed": -1}, {"temperature": -1}, {"top_p": 2}, {"max_tokens": -1}):
        with pytest.raises(UsageError):
            model.generate("the", **wrong)


def test_the_ways_to_write_have_every_choice_of_sampling() -> None:
    fields = {name: p.default for name, p in inspect.signature(Sampling).parameters.items()}
    for method in (daybreak.Model.generate, daybreak.Model.stream):
        parameters = inspect.signature(method).parameters
        assert {name: parameters[name].default for name in fields} == fields


@pytest.mark.parametrize("method", ["generate", "stream", "fill", "evaluate", "export"])
def test_a_misspelt_keyword_of_a_method_names_the_nearest(model: Any, method: str) -> None:
    known = [
        name for name, p in inspect.signature(getattr(model, method)).parameters.items() if p.kind is p.KEYWORD_ONLY
    ]
    with pytest.raises(TypeError, match=method) as raised:
        getattr(model, method)("x", **{known[0] + "x": 1})
    assert isinstance(raised.value, daybreak.UsageError) and known[0] in raised.value.attempt


def test_what_is_not_there_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the run does not exist"):
        daybreak.load(tmp_path / "none")


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(daybreak.__file__).parent / "py.typed").exists()


def test_the_page_has_every_keyword_and_every_public_name() -> None:
    rows = dict(re.findall(r"\| `(\w+)` \| `(--[\w-]+)` ", PAGE))
    assert rows == {**{o.name: o.flag for o in OPTIONS.values() if o.flag}, "out": "--out", "mirror": "--mirror"}
    for option in OPTIONS.values():
        assert not option.formerly or f"`{option.formerly}`" in PAGE
    for name in daybreak.__all__:
        assert re.search(rf"\b{name}\b", PAGE), name
    taken = set(re.findall(r"(\w+)=", " ".join(re.findall(r"`(?:load|run|plan|fill)\(.*?\)`", PAGE))))
    assert taken <= {*inspect.signature(daybreak.load).parameters, *rows, "quiet", "candidates"}
