"""`daybreak tokenize`, and which tokenizer a text gets: asked for, chosen, or refused with a reason."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from daybreak import cli
from daybreak.core.errors import DataError, UsageError
from daybreak.core.types import Request
from daybreak.data.tokenizers import train_tokenizer
from daybreak.planning import tokenizer_choice
from daybreak.stages import tokenize as cutting

WORDS = ["the", "fox", "sees", "a", "dog", "and", "we'll", "run", "over", "the", "hill", "12", "times"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenize") / "tokenizer.json"
    train_tokenizer([" ".join(WORDS)] * 9, 300).save(path)
    return path


def asked(tokenizer: str = "auto", **more: object) -> Request:
    return Request(**{"sources": (), "seconds": 60.0, "tokenizer": tokenizer, **more})  # type: ignore[arg-type]


def printed(file: Path, text: str, **how: object) -> str:
    tokenizer, out = cutting.tokenizer_of(str(file)), io.StringIO()
    console = Console(file=out, highlight=False, width=60, **how)  # type: ignore[arg-type]
    cutting.show(tokenizer, text, cutting.tokenize(tokenizer, text), console)
    return out.getvalue()


def test_plain_where_there_are_no_colours(file: Path) -> None:
    lines = printed(file, "the dog").splitlines()
    assert lines[0] == "the| dog" and lines[2].split()[0] == "ids" and len(lines[2].split()) == 3
    assert "2 tokens for 7 bytes (7 characters): 3.50 bytes and 3.50 characters a token" in lines[4]


def test_neighbours_have_different_colours(file: Path) -> None:
    coloured = printed(file, "the dog", force_terminal=True, color_system="standard", no_color=False)
    assert "|" not in coloured and coloured.count("\x1b[30;") == 2
    assert "\x1b[30;106mthe\x1b[0m" in coloured and "\x1b[30;103m dog\x1b[0m" in coloured
    assert "\x1b" not in printed(file, "the dog", force_terminal=True, no_color=True).replace("\x1b[0m", "")


def test_what_cannot_be_seen_is_spelled(file: Path) -> None:
    shown = printed(file, "山\n\x1b[31m\0").split("ids")[0]
    assert shown.startswith("<e5>|<b1>|<b1>|⏎\n|<U+001B>|[|3|1|m|<U+0000>")
    assert "\x1b" not in shown


def test_json_and_sources_of_the_text(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the 山")
    runner = CliRunner()
    for words, given in ((["the 山"], None), (["-"], "the 山"), (["--file", str(tmp_path / "text.txt")], None)):
        done = runner.invoke(cli.app, ["tokenize", str(file), *words, "--json"], input=given)
        told = json.loads(done.output)
        assert told["bytes"] == told["bytes_kept"] == 7 and told["characters"] == 5 and told["lossless"]
        assert told["tokens"] == len(told["ids"]) == len(told["pieces"]) and told["pieces"][0] == "the"
        assert told["bytes_per_token"] == 7 / told["tokens"]


def test_wrong_commands_are_told(file: Path, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(UsageError):
            cutting.tokenizer_of(str(path))
    for text, name in (("", ""), ("a", "b")):
        with pytest.raises(UsageError):
            cutting.text_of(text, name)
    with pytest.raises(DataError):
        cutting.text_of("", str(tmp_path / "missing.txt"))


# Which tokenizer


def test_refused_before_any_time_is_spent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keep every byte"):
        tokenizer_choice.check(asked("wordpiece"))
    with pytest.raises(UsageError, match="did you mean 'unigram'"):
        tokenizer_choice.check(asked("unigrams"))
    with pytest.raises(UsageError, match="--no-native"):
        tokenizer_choice.check(asked("words"))
    for good in (
        asked(),
        asked("words", family="ngram"),
        asked("words", native=False),
        asked("wordpiece", seconds=0.0),
    ):
        tokenizer_choice.check(good)


def test_a_given_file_that_loses_text_is_refused_for_a_run_only(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    train_tokenizer([" ".join(WORDS)] * 9, 100 + 257, kind="wordpiece").save(path)
    texts = [" ".join(WORDS)] * 3
    with pytest.raises(UsageError, match="keep every byte"):
        tokenizer_choice.learnt(asked(str(path)), texts, texts, largest=512, chinese=False)
    found = tokenizer_choice.learnt(asked(str(path), seconds=0.0), texts, texts, largest=512, chinese=False)
    assert (
        found.kind == "file"
        and found.end_of_text == 3
        and list(found.bytes_per_token) == [str(found.tokenizer.vocabulary)]
    )


@pytest.mark.parametrize("kind", ["bytes", "characters", "bpe", "unigram", "words"])
def test_the_kind_that_was_asked_for_is_learnt(kind: str) -> None:
    texts = [" ".join(random.Random(seed).choices(WORDS, k=40)) for seed in range(40)]
    found = tokenizer_choice.learnt(
        asked(kind, settings={"vocabulary": "300"}), texts[:30], texts[30:], largest=512, chinese=False
    )
    assert found.kind == kind and found.tried == {kind: found.bytes_per_token} and found.end_of_text is None
    assert all(size >= 1.0 for size in found.bytes_per_token.values())
    if kind == "unigram":
        assert found.tokenizer.vocabulary <= 300


def test_auto_takes_characters_only_where_they_say_more() -> None:
    """Characters drawn at random have no pairs to merge: at a vocabulary that holds them all, they need one token."""
    draw = random.Random(1)
    alphabet = [chr(code) for code in range(0x4E00, 0x4E00 + 240)] + [chr(0x7000 + 97 * i) for i in range(14)]
    texts = ["".join(draw.choices(alphabet, k=60)) for _ in range(300)]
    found = tokenizer_choice.learnt(asked(), texts[:270], texts[270:], largest=512, chinese=True)
    assert set(found.tried) == {"bpe", "characters"} and found.notes
    ratio = {kind: sizes.get("512", sizes[max(sizes, key=int)]) for kind, sizes in found.tried.items()}
    better = ratio["characters"] >= tokenizer_choice.CHARACTERS_PAY_FROM * ratio["bpe"]
    assert found.kind == ("characters" if better and "512" in found.tried["characters"] else "bpe")
    assert tokenizer_choice.learnt(asked("bpe"), texts[:270], texts[270:], largest=512, chinese=True).kind == "bpe"
