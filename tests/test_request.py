"""Requests: every field has one option, one keyword and one help, and comes back from the command that asks for it."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given, settings
from hypothesis import strategies as st

import daybreak
from daybreak import cli
from daybreak.core.errors import UnknownKeyword, UsageError
from daybreak.core.request import FIELDS, LARGEST_SEED, OPTIONS, Request, request_of, usual_of
from daybreak.core.run import Run, write_json
from daybreak.training import session
from daybreak.views import report_data
from daybreak.views.run_facts import Facts

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), min_size=1, max_size=8)
NAMES = WORDS.filter(lambda name: not set(name) & set(":,="))
PARSERS = dict(typer.main.get_command(cli.app).commands.items())  # type: ignore[attr-defined]


def parsed(command: str) -> Request:
    """The request that a command line asks for."""
    program, verb, *words = shlex.split(command)
    assert program == "daybreak"
    given = PARSERS[verb].make_context(verb, words).params
    names = {option.name for option in OPTIONS.values()}
    request = request_of({name: value for name, value in given.items() if name in names})
    if verb == "prepare":
        return request.replace(seconds=0.0, settings={"vocabulary": str(given["vocabulary"])})
    return request


OTHERS: dict[str, Any] = {
    "sources": st.lists(WORDS, max_size=3).map(tuple),
    "seconds": st.floats(8, 1e7) | st.integers(8, 10**7).map(float),
    "settings": st.dictionaries(NAMES, WORDS, max_size=2),
    "include": st.lists(NAMES, max_size=2).map(tuple),
    "exclude": st.lists(WORDS, max_size=2).map(tuple),
    "weights": st.dictionaries(WORDS, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    "grow": st.integers(0, 10**6),
    "seed": st.integers(0, LARGEST_SEED),
    "native": st.booleans(),
    "reproducible": st.booleans(),
    **{name: st.just("") | WORDS for name in ("heldout", "parent", "device", "cluster")},
    "family": WORDS,
    "tokenizer": WORDS,
    "until": st.just(""),
}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_request_comes_back_from_the_command_that_asks_for_it(data: st.DataObject) -> None:
    values = {name: data.draw(strategy) for name, strategy in OTHERS.items()}
    told = {name: data.draw(st.dictionaries(NAMES, NAMES, max_size=2)) for name in values["include"]}
    values["technique_settings"] = {name: pairs for name, pairs in told.items() if pairs}
    assert set(values) == set(FIELDS)
    if values["parent"]:
        values["family"] = "gpt"  # the checkpoint says it
    request = Request(**values)
    assert parsed(request.command()) == request


def test_every_field_alone_comes_back() -> None:
    """Each is of another value than usual, so none can be left out."""
    changed = {
        "sources": ("a b.txt", "-x"),
        "seconds": 5400.0,
        "until": (datetime.datetime.now().astimezone() + datetime.timedelta(days=1)).isoformat(),
        "heldout": "test.txt",
        "family": "lstm",
        "tokenizer": "bpe",
        "parent": "runs/before",
        "grow": 100,
        "settings": {"layers": "2", "note": "a=b"},
        "include": ("ema", "language_filter"),
        "exclude": ("compiled",),
        "technique_settings": {"ema": {"memory": "0.1", "from": "0.5"}},
        "weights": {"a=b.txt": 0.25},
        "native": False,
        "reproducible": True,
        "seed": LARGEST_SEED,
        "device": "cpu",
        "cluster": "local",
    }
    assert set(changed) == set(FIELDS)
    for name, value in changed.items():
        request = Request(**{"sources": (), "seconds": 60.0, name: value})
        if name == "technique_settings":
            request = request.replace(include=("ema",))
        if name == "until":
            assert request.continues(parsed(request.command()))
            continue
        assert parsed(request.command()) == request, name


def test_a_run_from_a_checkpoint_names_the_checkpoint_and_not_its_family() -> None:
    command = Request(sources=("a.txt",), seconds=60.0, parent="bert/", family="foreign", grow=20).command()
    assert command == "daybreak run --for 60s --from bert/ --grow-vocabulary 20 a.txt"


def test_text_that_was_only_prepared_comes_back_from_its_command() -> None:
    request = Request(sources=("a.txt",), seconds=0.0, settings={"vocabulary": "512"}, tokenizer="bpe")
    assert parsed(request.command("ready")) == request


def test_a_refusal_names_options_that_exist() -> None:
    known = {flag for verb in ("run", "prepare") for p in PARSERS[verb].params for flag in (*p.opts, *p.secondary_opts)}
    one = Request(sources=("a.txt",), seconds=60.0)
    other = Request(
        **{
            **dataclasses.asdict(one),
            "sources": ("b.txt",),
            "seconds": 80.0,
            "parent": "runs/before",
            "grow": 3,
            "include": ("ema",),
            "technique_settings": {"ema": {"memory": "1"}},
            "exclude": ("bf16",),
            "settings": {"layers": "1"},
            "weights": {"a.txt": 1.0},
            "native": False,
        }
    )
    told = session.difference(one, other)
    flags = {word for word in told.split() if word.startswith("--")}
    assert {"--for", "--from", "--grow-vocabulary", "--set", "--with", "--without", "--weight", "--native"} == flags
    assert flags <= known


def test_every_field_has_an_option_of_its_own_with_help() -> None:
    assert set(FIELDS) - set(OPTIONS) == {"technique_settings"}  # a part of --with
    for one in ("name", "flag"):
        names = [getattr(option, one) for option in OPTIONS.values()]
        assert len(set(names)) == len(names)
    for name, option in OPTIONS.items():
        assert option.help.endswith(".") and (option.metavar or FIELDS[name].type is bool), name


def test_python_takes_what_the_command_line_takes() -> None:
    for function, more in ((daybreak.run, {"out", "mirror", "quiet"}), (daybreak.plan, set())):
        parameters = inspect.signature(function).parameters
        assert set(parameters) == {option.name for option in OPTIONS.values()} | more
        for name, option in OPTIONS.items():
            usual = usual_of(name)
            if isinstance(usual, str | int) and name != "until":  # bool too; an empty moment is a mistake
                assert parameters[option.name].default == usual, name


def test_python_and_the_command_line_ask_the_same() -> None:
    words = "daybreak run a.txt --for 20m --set layers=2 --with ema:memory=0.1 --without bf16 --weight a.txt=1 --from x"
    asked = {"sources": ("a.txt",), "for_": "20m", "set": {"layers": 2}, "with_": "ema:memory=0.1"}
    asked |= {"without": ["bf16"], "weight": {"a.txt": 1.0}, "from_": "x"}
    assert request_of(asked) == parsed(words)


def test_older_keywords_go_on_working(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []
    monkeypatch.setattr("daybreak.stages.plan.plan_only", lambda request, stopwatch: seen.append(request))
    older = {"settings": {"layers": 2}, "include": ["ema"], "exclude": ["bf16"], "parent": "x", "grow": 3}
    daybreak.plan("a.txt", budget="20m", **older)  # type: ignore[call-arg,arg-type]
    daybreak.plan("a.txt", for_="20m", set={"layers": 2}, with_=["ema"], without=["bf16"], from_="x", grow_vocabulary=3)
    assert seen[0] == seen[1]
    with pytest.raises(UsageError, match="given twice"):
        daybreak.plan("a.txt", budget="20m", for_="30m")  # type: ignore[call-arg]


@pytest.mark.parametrize("function", [daybreak.run, daybreak.plan])
def test_a_misspelt_keyword_is_answered_with_the_nearest(function: Any) -> None:
    with pytest.raises(TypeError) as raised:
        function("a.txt", for_="20m", famly="gpt")
    assert isinstance(raised.value, UnknownKeyword) and isinstance(raised.value, UsageError)
    assert "famly" in raised.value.what and raised.value.attempt == "did you mean 'family'?"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"seed": 1 << 64}, "out of range"),
        ({"seed": -1}, "out of range"),
        ({"seed": "3"}, "a whole number"),
        ({"native": 1}, "True or False"),
        ({"family": None}, "a text"),
        ({"grow_vocabulary": -5}, "out of range"),
        ({"for_": "1h", "until": "07:00"}, "cannot be combined"),
        ({"weight": ["a.txt=much"]}, "a number"),
        ({"set": ["layers"]}, "a name and a value"),
        ({"with_": "ema:memory"}, "a name and a value"),
        ({"for_": 60}, "a text"),
        ({"until": 7}, "a text"),
        ({"with_": 3}, "a list of texts"),
    ],
    ids=str,
)
def test_a_wrong_value_is_usage_in_three_parts(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        request_of(asked)
    assert told in raised.value.what and raised.value.received and raised.value.attempt


def test_without_a_budget_it_is_ten_minutes() -> None:
    assert request_of({}).seconds == 600.0


def test_the_report_repeats_a_run_whose_moment_has_passed_by_its_time(tmp_path: Path) -> None:
    now = datetime.datetime.now().astimezone()
    for days, words in ((-1, ["--for", "60s"]), (1, ["--until"])):
        run = Run(tmp_path / f"{days}")
        run.make()
        moment = (now + datetime.timedelta(days=days)).isoformat()
        write_json(run.request_file, Request(sources=("a.txt",), seconds=60.0, until=moment, parent="x").to_json())
        facts = Facts(run)
        facts.read()
        told = shlex.split(report_data.commands(facts)["run"])
        assert told[2 : 2 + len(words)] == words and told[-3:] == ["--from", "x", "a.txt"]


@pytest.mark.parametrize("asked", [{"for_": ""}, {"until": ""}, {"for_": " "}], ids=str)
def test_a_time_that_is_given_and_empty_is_a_mistake(asked: dict[str, str]) -> None:
    """A script whose variable is not set must not train for the usual ten minutes."""
    with pytest.raises(UsageError, match=r"budget|deadline"):
        request_of({"sources": ("a.txt",), **asked})
