"""Decoders: every way to take a step gives the logits of the whole pass, and the text of transformers."""

from __future__ import annotations

import ctypes
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daybreak.core.shapes import GptShape
from daybreak.data.tokenizers import byte_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT
from daybreak.engine.machine import compiler
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model
from daybreak.models.gpt import Gpt
from daybreak.models.inference import decode_step, fast
from daybreak.models.inference import sampling as decoding
from daybreak.models.inference.decoder import Decoder, Plain
from daybreak.models.inference.fast import Fast, is_stock, prepared
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.kernels import compiling

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS: dict[str, dict[str, Any]] = {
    "untied": {"layers": 2},
    "tied": {"tied": True, "rope_base": 100000.0},
    "grouped": {"heads": 4, "key_value_heads": 2, "layers": 2},
    "one group": {"heads": 4, "key_value_heads": 1, "head_dim": 16},
    "wide heads": {"head_dim": 128, "heads": 2, "key_value_heads": 1},
    "odd sizes": {"width": 41, "head_dim": 10, "heads": 3, "key_value_heads": 3, "mlp_width": 77, "vocabulary": 67},
    "half blocks": {"width": 80, "head_dim": 48, "heads": 2, "mlp_width": 48},
}
WAYS = ("plain", "passes", "native", "native, three threads")


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def module(request: pytest.FixtureRequest, network) -> Gpt:
    return network(**{"context_length": 64, **request.param}).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if not compiler():
        pytest.skip("there is no C++ compiler on this machine")
    opened = decode_step.library(tmp_path_factory.mktemp("native"), compiler())
    assert opened is not None
    return opened


@pytest.fixture(params=WAYS)
def decoder(request: pytest.FixtureRequest, module: Gpt, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    return made(request.param, module, request, monkeypatch)


def made(way: str, module: Gpt, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    if way == "plain":
        return Plain(module)
    if way == "passes":
        return Fast(module)
    if "threads" in way:
        monkeypatch.setattr(fast, "WEIGHTS_A_THREAD", 1)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    return Fast(module, request.getfixturevalue("library"))


def tokens(length: int, vocabulary: int, seed: int = 7) -> list[int]:
    return torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@torch.inference_mode()
@pytest.mark.parametrize("first", [1, 5, 63])
def test_a_step_gives_the_logits_of_the_whole(decoder: Decoder, module: Gpt, first: int) -> None:
    text = tokens(64, module.shape.vocabulary)
    whole = module(torch.tensor([text]))[0]
    with decoder.state() as state:
        torch.testing.assert_close(state.begin(text[:first]), whole[first - 1], atol=1e-4, rtol=1e-4)
        for place in range(first, 64):
            assert state.length == place
            torch.testing.assert_close(state.step(text[place]), whole[place], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("way", WAYS)
def test_in_bfloat16_it_gives_about_the_same(
    way: str, module: Gpt, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tokens(20, module.shape.vocabulary)
    whole = module(torch.tensor([text]))[0]
    module.compute_dtype = torch.bfloat16
    with made(way, module, request, monkeypatch).state() as state:
        state.begin(text[:4])
        stepped = torch.stack([state.step(token).clone() for token in text[4:]])
    assert stepped.dtype == torch.float32
    assert (stepped - whole[4:]).norm() / whole[4:].norm() < 0.05


@torch.inference_mode()
def test_texts_at_hand_do_not_disturb_each_other_and_a_state_is_used_again(decoder: Decoder, module: Gpt) -> None:
    one, two = tokens(12, module.shape.vocabulary), tokens(12, module.shape.vocabulary, seed=8)
    with decoder.state() as first, decoder.state() as second:
        first.begin(one[:3])
        second.begin(two[:5])
        for place in range(5, 11):
            first.step(one[place - 2])
            second.step(two[place])
        mixed = first.step(one[9]).clone()
    with decoder.state() as again:
        again.begin(one[:9])
        torch.testing.assert_close(again.step(one[9]), mixed, atol=1e-5, rtol=1e-5)


def test_a_step_beyond_the_memory_is_refused(network, library: ctypes.CDLL) -> None:
    with Fast(network().eval(), library).state() as state, torch.inference_mode():
        state.begin([1] * 15)
        with pytest.raises(IndexError):
            state.step(64)
        state.step(1)
        with pytest.raises(IndexError):
            state.step(1)


def test_every_way_says_the_same_text(network, library: ctypes.CDLL) -> None:
    module = network(layers=2).eval()
    for sampling in (Sampling(max_tokens=40, temperature=0.0), Sampling(max_tokens=40, seed=3)):
        texts = [
            list(
                Network(module, end_of_text=56, known_tokens=57, prepare=lambda _, made=made: made).continuation(
                    [3, 1], sampling
                )
            )
            for made in (Plain(module), Fast(module), Fast(module, library))
        ]
        assert texts[0] == texts[1] == texts[2] and texts[0]


def test_greedy_text_is_that_of_transformers(network, library: ctypes.CDLL, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_tokenizer()
    tokenizer.save(tmp_path / "tokenizer.json")
    end = tokenizer.end_of_text
    module = network(vocabulary=320, layers=3, heads=4, key_value_heads=2, context_length=128, tied=True)
    weights = dict(module.named_parameters())
    named = {"tokenizer_file": tmp_path / "tokenizer.json", "end_of_text": end, "token": END_OF_TEXT}
    write.save(tmp_path / "model", module.shape, weights, **named)
    read = read_model(tmp_path / "model", torch.device("cpu"))
    net = Network(read, end_of_text=end, known_tokens=end + 1, prepare=lambda module: prepared(module, library))
    prompt = tokenizer.encode("the quick brown fox")
    ours = list(net.continuation(prompt, Sampling(max_tokens=80, temperature=0.0)))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    rows = torch.tensor([[end, *prompt]])
    padded = list(range(end + 1, 320))
    said = theirs.generate(
        rows, attention_mask=torch.ones_like(rows), max_new_tokens=80, do_sample=False, suppress_tokens=padded
    )[0, rows.shape[1] :].tolist()
    assert ours == said[: said.index(end) if end in said else None] and len(ours) > 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherShape(GptShape):
    norm: str = "rms"


def test_a_shape_of_another_class_is_left_to_its_module(network, shape) -> None:
    module = network()
    assert is_stock(module) and isinstance(prepared(module), Fast)
    module.shape = OtherShape(**dataclasses.asdict(shape()))
    assert is_stock(module)
    module.shape = module.shape.replace(norm="layer")
    assert not is_stock(module) and isinstance(prepared(module), Plain)


def test_without_a_compiler_that_works_there_is_no_library(tmp_path: Path) -> None:
    assert decode_step.library(tmp_path, "") is None
    assert decode_step.library(tmp_path, "/nowhere/g++") is None
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    broken.chmod(0o755)
    assert decode_step.library(tmp_path, str(broken)) is None
    assert list(tmp_path.iterdir()) == [broken]


def test_the_library_is_compiled_once(tmp_path: Path, library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(library._name).parent
    monkeypatch.setattr(compiling.process, "run", None)
    again = decode_step.library(folder, compiler())
    assert again is not None and again._name == library._name


# The choice of a token


def by_sorting(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Probabilities [V] by the definition of top-p."""
    probabilities = torch.softmax(logits / temperature, -1)
    ordered, order = probabilities.sort(descending=True, stable=True)
    beyond = ordered.double().cumsum(0) - ordered >= top_p
    beyond[0] = False
    return probabilities.index_fill(0, order[beyond], 0.0)


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 8.0])
@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.95, 0.999999])
def test_what_top_p_leaves_is_what_sorting_all_would(spread: float, top_p: float) -> None:
    logits = spread * torch.randn(2000, generator=torch.Generator().manual_seed(1))
    expected = by_sorting(logits, 0.8, top_p)
    left = decoding._likeliest(torch.softmax(logits / 0.8, -1).numpy(), top_p)
    # A sum that is rounded otherwise may move the last token over the line.
    assert abs(len(left) - np.count_nonzero(expected)) <= (1 if spread else 2)
    if spread and len(left) == np.count_nonzero(expected):
        np.testing.assert_array_equal(left, np.flatnonzero(expected))


def test_of_equal_tokens_only_as_many_stay_as_are_needed() -> None:
    probabilities = np.array([0.1, 0.2, 0.1, 0.2, 0.2, 0.2], dtype=np.float32)
    assert decoding._likeliest(probabilities, 0.5).tolist() == [1, 3, 4]
    assert decoding._likeliest(probabilities, 0.0).tolist() == [1]
    assert decoding._likeliest(probabilities, 0.85).tolist() == [0, 1, 3, 4, 5]


def test_a_token_without_probability_is_never_drawn() -> None:
    logits = torch.full((50,), -torch.inf)
    logits[7] = 0.0
    generator = torch.Generator().manual_seed(0)
    assert {decoding.chosen(logits, generator, temperature=1.0, top_p=1.0, top_k=0) for _ in range(50)} == {7}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@torch.inference_mode()
def test_a_recorded_step_gives_the_logits_of_the_whole(module: Gpt) -> None:
    module = module.to("cuda")
    text = tokens(64, module.shape.vocabulary)
    whole = module(torch.tensor([text], device="cuda"))[0]
    with Fast(module).state() as state:
        for turn in range(2):
            state.begin(text[: 5 + turn])
            for place in range(5 + turn, 64):
                torch.testing.assert_close(state.step(text[place]), whole[place], atol=1e-3, rtol=1e-3)
        assert state.graph is not None
