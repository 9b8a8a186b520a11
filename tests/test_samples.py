"""Samples during a run: a prompt that ends with a word, whole characters, and always something to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from daybreak.core.types import Plan
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.gpt import Gpt
from daybreak.tasks import samples

pytestmark = pytest.mark.usefixtures("one_thread")

ENGLISH = "The lighthouse keeper's daughter climbed the narrow stairs every evening. "
CHINESE = "味道不错，就是送餐太慢，等了一个半小时才到，菜都凉了。下次不会再点这家。"


class Held:
    """Held-out tokens: documents, each opened by the end-of-text token."""

    def __init__(self, tokenizer: Tokenizer, documents: Sequence[str]) -> None:
        parts = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in documents]
        self.tokens = np.array([token for part in parts for token in part], np.int64)
        self.starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]

    def __len__(self) -> int:
        return len(self.tokens)

    def slice(self, start: int, stop: int) -> np.ndarray:
        return self.tokens[start:stop]


def opened(tokenizer: Tokenizer, *documents: str) -> list[int]:
    held: Any = Held(tokenizer, documents)
    return samples.opening(tokenizer, held)


@pytest.fixture(scope="module", params=["bytes", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "bytes":
        return byte_tokenizer()
    return train_tokenizer(["the cat sat on the mat and a light light " * 20, CHINESE[:9]], 290)


def test_a_prompt_is_the_beginning_of_one_document_and_ends_with_a_word(tokenizer: Tokenizer) -> None:
    for first in range(40):
        text = ENGLISH[first:] + ENGLISH
        prompt = samples.prompt_of(tokenizer, opened(tokenizer, "short", text, "other words " * 9))
        assert prompt and text.lstrip().startswith(prompt)
        rest = text.lstrip()[len(prompt) :]
        assert rest and not (prompt[-1].isalnum() and (rest[0].isalnum() or rest[0] == "'"))
        assert len(prompt) < 40


def test_a_prompt_ends_with_a_character(tokenizer: Tokenizer) -> None:
    for first in range(len(CHINESE)):
        text = CHINESE[first:] + CHINESE
        prompt = samples.prompt_of(tokenizer, opened(tokenizer, text))
        assert prompt and text.startswith(prompt) and len(prompt) <= 9  # a word of Chinese is not read to its "end"


def test_short_documents_leave_something_to_be_written(tokenizer: Tokenizer) -> None:
    for text in ("快", "好吃！", "\n\n ok", "a"):
        prompt = samples.prompt_of(tokenizer, opened(tokenizer, text, text))
        assert prompt and text.strip().startswith(prompt)
    assert opened(tokenizer) == []
    assert samples.prompt_of(tokenizer, []) == ""


def test_a_longer_document_is_preferred(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(opened(tokenizer, ENGLISH, "ab", "cd", "ef")).startswith("The l")
    assert opened(tokenizer, "ab", "abcdef", "cd") == tokenizer.encode("abcdef")


def test_gaps_stand_between_whole_characters(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(CHINESE + ENGLISH)[: samples.LONGEST_PROMPT]
    pieces = samples.pieces_of(tokenizer, tokens)
    assert len(pieces) >= 2
    tokens = tokens[: sum(map(len, pieces)) + (len(pieces) - 1 if pieces[-1] else 0)]
    cut = b"".join(map(tokenizer.bytes_of, tokens)).decode("utf-8", "ignore")
    whole = "".join(tokenizer.decode(piece) for piece in pieces)
    assert "\ufffd" not in whole and set(whole) <= set(cut)
    english = tokenizer.encode(ENGLISH)[: samples.LONGEST_PROMPT]
    pieces = samples.pieces_of(tokenizer, english)
    assert [len(piece) for piece in pieces] == [8, 8, 8, 8, 0]


@pytest.fixture(scope="module")
def ending(shape: Callable[..., Any]) -> Gpt:
    """A network for which every text is over: its head answers everything with the end of the text."""
    module = Gpt(shape(vocabulary=257, context_length=32)).eval()
    module.initialize(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if name.startswith("lm_head"):
                weight.mul_(0.01)
    forward = module.forward

    def loving(*given: Any) -> torch.Tensor:
        logits = forward(*given)
        logits[..., 256] += 30.0
        return logits

    module.forward = loving  # type: ignore[method-assign]
    return module


def test_a_sample_is_never_empty_and_never_broken(ending: Gpt, plan: Callable[..., Plan]) -> None:
    tokenizer = byte_tokenizer()
    begins = opened(tokenizer, CHINESE)
    for seed in range(16):
        prompt, text = samples.continuation(plan(seed=seed), ending, tokenizer, begins)
        assert CHINESE.startswith(prompt) and prompt
        assert text.strip() and "\ufffd" not in text
