"""daybreak generate: prompts from standard input, prompts that are too long, and odd requests."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_runs

import daybreak
from daybreak import cli
from daybreak.core.errors import UsageError
from daybreak.core.types import Plan
from daybreak.data.tokenizers import byte_tokenizer
from daybreak.models.gpt import Gpt

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, plan: Callable[..., Plan], network: Callable[..., Gpt]) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tiny"
    small_runs.of_network(path, plan(), network(vocabulary=257, context_length=32), byte_tokenizer())
    return path


def said(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    cli.app(["generate", *words], standalone_mode=False)
    read = capsys.readouterr()
    return read.out, read.err


def test_a_prompt_may_come_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "春 says\nhello"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    piped, _ = said(str(folder), "-", "--max-tokens", "4", capsys=capsys)
    named, _ = said(str(folder), text, "--max-tokens", "4", capsys=capsys)
    assert piped.startswith(text) and piped == named


def test_a_prompt_that_is_cut_is_said_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, told = said(str(folder), "a" * 1000, "--max-tokens", "2", capsys=capsys)
    assert told == "the prompt has 1,000 tokens; the model sees only the last 32 of them\n"
    out, told = said(str(folder), "a" * 33, "--max-tokens", "2", "--json", capsys=capsys)
    facts = json.loads(out)
    assert (facts["prompt_tokens"], facts["prompt_tokens_seen"]) == (33, 32) and "the last 32 of them" in told
    out, told = said(str(folder), "a" * 32, "--max-tokens", "2", "--json", capsys=capsys)
    assert json.loads(out)["prompt_tokens_seen"] == 32 and not told
    model: Any = daybreak.load(str(folder))
    with pytest.warns(UserWarning, match="50 tokens; the model sees only the last 32"):
        model.generate("a" * 50, max_tokens=1)


def test_requests_that_cannot_be_are_told_before_the_model_is_read(folder: Path) -> None:
    for words in (["--stop", ""], ["--min-tokens", "9", "--max-tokens", "8"]):
        with pytest.raises(UsageError):
            cli.app(["generate", str(folder / "the run does not exist"), "x", *words], standalone_mode=False)
