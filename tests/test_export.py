"""Exports: what is written agrees when the format's own program opens it; where it does not, nothing is left."""

from __future__ import annotations

import importlib.util
import itertools
import json
import lzma
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hubs
import numpy as np
import pytest
import torch

from daybreak.core.errors import DataError, MissingPackage, ResourceError, UsageError
from daybreak.core.shapes import BertShape, LstmShape, NetworkShape, NgramShape, T5Shape
from daybreak.core.types import Specials, TokenizerChoice
from daybreak.data.batches import Batch
from daybreak.data.tokenizers import byte_tokenizer, load_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.data.tokenizers.byte_level import PRE_TOKENIZER
from daybreak.evaluation import parity
from daybreak.models import families
from daybreak.models.checkpoints import write as files
from daybreak.models.checkpoints.read import read_model
from daybreak.models.checkpoints.special_tokens import specials_of, spelled
from daybreak.models.exports import vocabularies
from daybreak.models.gpt import Gpt, tensors_of
from daybreak.models.ngram import files as ngram_files
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.stages.export.exporting import export, lines
from daybreak.tasks.next_token import NextToken

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = (
    "To be, or not to be: that is the question. I'll say it's 3.14, 12345 times.\n\n  Twice.",
    "数据库集群的部署方法,TiDB 支持 3.14 版本。第一章\u3000总则",
    "👩‍👩‍👧‍👦 🇨🇳 👍🏽! ก็ภาษาไทย हिन्दी n\u0303 ﬁ １２３ ½ Ⅷ ٣",
    "tab\tnul\x00bel\x07 del\x7f \r\n\r\n x\u0085y\u2028z\ufeff",
    "   \n \n\t\n  end   ",
    "",
)


@pytest.fixture(scope="module")
def learnt(small_text: Path) -> Tokenizer:
    return train_tokenizer([small_text.read_text()[:60_000], *TEXTS[:2] * 3], 512)


@pytest.fixture
def made(tmp_path: Path, network: Callable[..., Gpt], plan: Callable[..., Any]) -> Callable[..., Path]:
    """The folder of a finished run, as small as can be."""

    def make(
        tokenizer: Tokenizer | None = None,
        *,
        shape: NetworkShape | None = None,
        train: Sequence[str] = (),
        **changes: Any,
    ) -> Path:
        tokenizer = tokenizer or byte_tokenizer()
        specials = specials_of(shape.family if shape else "gpt", tokenizer.vocabulary)
        rows = -(-(tokenizer.vocabulary + len(spelled(specials))) // 64) * 64
        if shape is None:
            module: Any = network(vocabulary=rows, **{"layers": 2, "context_length": 32, **changes})
        else:
            module = families.of(shape).module(shape.replace(vocabulary=rows))
            module.initialize(0)
            drawn = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for weight in module.parameters():
                    weight.add_(0.05 * torch.randn(weight.shape, generator=drawn))
        if train:
            trained(module, tokenizer, train)
        folder = tmp_path / "run"
        folder.mkdir()
        choice = TokenizerChoice(
            kind=tokenizer.kind,
            vocabulary=tokenizer.vocabulary,
            end_of_text=tokenizer.end_of_text,
            specials=specials,
        )
        value = plan(shape=module.shape, tokenizer=choice, objective=families.of(module.shape).objective)
        (folder / "plan.json").write_text(json.dumps(value.to_json()))
        tokenizer.save(folder / "tokenizer.json")
        files.save(
            folder / "model",
            module.shape,
            tensors_of(module),
            tokenizer_file=folder / "tokenizer.json",
            end_of_text=tokenizer.end_of_text,
            token=tokenizer.end_of_text_token,
            specials=specials,
        )
        return folder

    return make


def trained(module: Gpt, tokenizer: Tokenizer, texts: Sequence[str], *, steps: int = 120) -> None:
    """A little, on real text, so that what it writes is decided by more than chance."""
    end = np.array([tokenizer.end_of_text])
    stream = torch.from_numpy(
        np.concatenate([part for ids in tokenizer.encode_documents(texts) for part in (end, ids)])
    )
    module.initialize(0)
    optimizer, drawn = torch.optim.AdamW(module.parameters(), lr=3e-3), torch.Generator().manual_seed(0)
    objective, length = NextToken(), module.shape.context_length + 1
    for _ in range(steps):
        places = torch.randint(0, len(stream) - length, (8,), generator=drawn)
        rows = torch.stack([stream[place : place + length] for place in places]).long()
        optimizer.zero_grad()
        (objective(module, Batch(rows)) / objective.targets(Batch(rows))).backward()
        optimizer.step()


LIBRARIES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "executorch": ("executorch",), "torch-export": ()}
SHAPES: dict[str, NetworkShape] = {
    "bert": BertShape(vocabulary=64, layers=4, width=64, heads=2, mlp_width=64, context_length=64, window=8),
    "t5": T5Shape(
        vocabulary=64, layers=2, decoder_layers=2, width=64, heads=2, head_dim=32, mlp_width=64, context_length=64
    ),
    "lstm": LstmShape(vocabulary=64, layers=2, width=64, context_length=32),
}


def left_of(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "exports").glob("*")) if (run / "exports").exists() else []


def read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where llama.cpp is not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "llama_cpp" else found(name, *a))


# Formats


@pytest.mark.parametrize("tied", [True, False])
def test_a_gguf_has_the_weights_and_the_tokenizer(made, learnt, monkeypatch, tied) -> None:
    gguf = pytest.importorskip("gguf")
    read_back(monkeypatch)
    run = made(learnt, tied=tied, heads=4, key_value_heads=2)
    found = export(run, "gguf")
    assert found["largest_logit_difference"] == 0.0
    assert found["continued_alike"] == found["prompts"] == 10
    assert set(found["files"]) == {"model.gguf", "Modelfile", "README.md"}
    reader = gguf.GGUFReader(run / "exports" / "gguf" / "model.gguf")
    told = {name: field.contents() for name, field in reader.fields.items()}
    assert told["general.architecture"] == "qwen3"
    assert told["qwen3.context_length"] == 32
    assert (told["qwen3.attention.head_count"], told["qwen3.attention.head_count_kv"]) == (4, 2)
    assert (told["tokenizer.ggml.model"], told["tokenizer.ggml.pre"]) == ("gpt2", "qwen2")
    assert told["tokenizer.ggml.add_bos_token"] is True
    assert told["tokenizer.ggml.bos_token_id"] == told["tokenizer.ggml.eos_token_id"] == learnt.end_of_text
    tokens, merges = told["tokenizer.ggml.tokens"], told["tokenizer.ggml.merges"]
    assert len(tokens) == len(set(tokens)) == learnt.vocabulary == told["qwen3.vocab_size"]
    assert len(merges) == learnt.vocabulary - 257
    assert told["tokenizer.ggml.token_type"][learnt.end_of_text] == vocabularies.CONTROL
    names = {tensor.name for tensor in reader.tensors}
    assert ("output.weight" in names) != tied
    assert {tuple(t.shape) for t in reader.tensors if t.name == "token_embd.weight"} == {(64, learnt.vocabulary)}


def test_bytes_alone_have_a_merge_that_cannot_happen(made, monkeypatch) -> None:
    gguf = pytest.importorskip("gguf")
    read_back(monkeypatch)
    run = made()
    export(run, "gguf")
    told = gguf.GGUFReader(run / "exports" / "gguf" / "model.gguf").fields
    assert told["tokenizer.ggml.merges"].contents() == ["<|endoftext|> <|endoftext|>"]
    modelfile = (run / "exports" / "gguf" / "Modelfile").read_text()
    assert modelfile.startswith("FROM ./model.gguf\n") and 'PARAMETER stop "<|endoftext|>"' in modelfile
    assert "PARAMETER num_ctx 32" in modelfile


def test_rounded_weights_are_smaller_and_differ_by_little(made, monkeypatch) -> None:
    pytest.importorskip("gguf")
    read_back(monkeypatch)
    run = made()
    found = {name: export(run, "gguf", precision=name) for name in ("float32", "float16", "bfloat16", "q8_0")}
    sizes = [one["files"]["model.gguf"] for one in found.values()]
    assert sizes[0] > sizes[1] == sizes[2] > sizes[3]
    for name in ("float16", "bfloat16", "q8_0"):
        assert 0 < found[name]["largest_logit_difference"] <= found[name]["tolerance"]
    assert left_of(run) == ["gguf", "gguf-bfloat16", "gguf-float16", "gguf-q8_0"]


def test_transformers_opens_the_folder_by_itself(made, learnt) -> None:
    transformers = pytest.importorskip("transformers")
    run = made(learnt)
    found = export(run, "hf", prompts=TEXTS)
    assert found["tokenizer_compared"]
    assert found["largest_logit_difference"] <= 1e-4
    assert found["continued_alike"] == len(TEXTS)
    folder = run / "exports" / "hf"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == [learnt.end_of_text, *learnt.encode(text)]
        assert tokenizer.decode(learnt.encode(text)) == text
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "<|endoftext|>Hi\n\nHo"
    write = transformers.pipeline("text-generation", model=str(folder))
    prompt = TEXTS[0][:20]
    written = write(prompt, do_sample=False, max_new_tokens=8, return_tensors=True)[0]["generated_token_ids"]
    tokens = [learnt.end_of_text, *learnt.encode(prompt)]
    module = read_model(run / "model", torch.device("cpu"))
    for _ in range(8):
        logits = module(torch.tensor([tokens]))[0, -1, : learnt.vocabulary]
        tokens.append(int(logits.argmax()))
    assert written == tokens
    kept = json.loads((folder / "generation_config.json").read_text())
    assert kept.get("suppress_tokens", []) == list(range(learnt.vocabulary, module.shape.vocabulary))


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_transformers_opens_other_families_too(made, learnt, family) -> None:
    pytest.importorskip("transformers")
    run = made(learnt, shape=SHAPES[family])
    found = export(run, "hf", prompts=TEXTS)
    assert found["largest_logit_difference"] <= 1e-4
    assert found["tokenizer_compared"]
    names = set(found["files"])
    assert ("1_Pooling/config.json" in names) == (family == "bert")
    assert ("generation_config.json" in names) == (family == "t5")
    assert "chat_template.jinja" not in names


@pytest.mark.parametrize("to", ["gguf", "hf", "torch-export"])
def test_other_families_are_refused_where_there_is_no_class(made, to) -> None:
    for library in {"gguf": ["gguf"], "hf": ["transformers"]}.get(to, []):
        pytest.importorskip(library)
    assert re.search("lstm|recurrence", refused(made(shape=SHAPES["lstm"]), to))


def test_a_rounded_folder_says_its_precision(made) -> None:
    pytest.importorskip("transformers")
    run = made()
    found = export(run, "hf", precision="bfloat16", out=run.parent / "deep" / "er")
    assert 0 < found["largest_logit_difference"] <= found["tolerance"]
    assert json.loads((run.parent / "deep" / "er" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_the_card_says_what_was_recorded_and_what_was_not(made, monkeypatch) -> None:
    pytest.importorskip("gguf")
    yaml = pytest.importorskip("yaml")
    read_back(monkeypatch)
    run = made()
    export(run, "gguf")
    _, front, card = (run / "exports" / "gguf" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "unknown",
        "library_name": "llama.cpp",
        "pipeline_tag": "text-generation",
        "tags": ["daybreak", "gpt"],
    }
    assert "| energy | not measured |" in card
    assert "What it was trained on was not recorded." in card
    assert "is the same after 10 of 10 prompts" in card
    assert "ollama create" in card


def carried_out(run: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the Python of the card leaves behind, of each snippet whose libraries are there."""
    folder = run / "exports" / to
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    left = []
    for block in blocks:
        if "sentence_transformers" in block and importlib.util.find_spec("sentence_transformers") is None:
            continue
        left.append({})
        exec(block.replace("PATH/OF/THIS/FOLDER", "."), left[-1])
    return left


@pytest.mark.parametrize(("family", "model"), [("gpt", "write"), ("bert", "fill"), ("t5", "model")])
def test_the_card_says_how_transformers_opens_it(made, learnt, monkeypatch, capsys, family, model) -> None:
    pytest.importorskip("transformers")
    run = made(learnt, shape=SHAPES.get(family))
    export(run, "hf", prompts=TEXTS)
    assert model in carried_out(run, "hf", monkeypatch)[0]
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("family", ["gpt", *(pytest.param(name, marks=pytest.mark.long) for name in ("bert", "t5"))])
def test_the_card_says_how_torch_opens_it(made, learnt, monkeypatch, family) -> None:
    run = made(learnt, shape=SHAPES.get(family))
    export(run, "torch-export", prompts=TEXTS)
    [left] = carried_out(run, "torch-export", monkeypatch)
    assert left["logits"].shape[:2] == (1, 1 if family == "t5" else 3)


@pytest.mark.long
@pytest.mark.parametrize("family", ["gpt", "bert", "t5"])
@pytest.mark.parametrize("to", ["onnx", "executorch"])
def test_the_card_says_how_a_graph_is_opened(made, learnt, monkeypatch, to, family) -> None:
    for library in LIBRARIES[to]:
        pytest.importorskip(library)
    run = made(learnt, shape=SHAPES.get(family))
    export(run, to, prompts=TEXTS)
    [left] = carried_out(run, to, monkeypatch)
    assert np.asarray(left["logits"]).ndim == 3


def test_the_card_names_what_the_model_began_as(made, plan) -> None:
    run = made()
    value = json.loads((run / "plan.json").read_text())
    origin = {"path": "/home/me/secret/novel", "digest": "0", "shape": value["shape"], "specials": None, "tokens": 257}
    (run / "plan.json").write_text(json.dumps({**value, "origin": origin}))
    export(run, "torch-export")
    card = (run / "exports" / "torch-export" / "README.md").read_text()
    assert "trained on from `novel` by daybreak" in card and "secret" not in card


def test_the_pattern_that_words_are_cut_by_is_the_one_that_llama_cpp_knows() -> None:
    assert vocabularies.PATTERNS[PRE_TOKENIZER] == "qwen2"


# What cannot be


def refused(run: Path, to: str, **asked: Any) -> str:
    with pytest.raises(UsageError) as raised:
        export(run, to, **asked)
    assert left_of(run) == []
    return raised.value.received


def test_a_class_of_our_own_is_refused_with_what_leaves_the_stock_class(made) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    run = made(positions="alibi", logit_cap=15.0)
    for to in ("gguf", "hf"):
        assert "positions=alibi, logit_cap=15.0" in refused(run, to)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "words"])
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(made, small_text, kind) -> None:
    pytest.importorskip("gguf")
    tokenizer = train_tokenizer([small_text.read_text()[:20_000]], 512, kind=kind)
    received = refused(made(tokenizer), "gguf")
    assert {"wordpiece": "WordPiece", "unigram": "Unigram", "words": "words"}[kind] in received


def test_a_tokenizer_of_our_own_is_refused_for_transformers(made, small_text) -> None:
    pytest.importorskip("transformers")
    tokenizer = train_tokenizer([small_text.read_text()[:20_000]], 512, kind="words")
    assert "words" in refused(made(tokenizer), "hf")


def test_counts_are_refused(made, plan) -> None:
    run = made()
    shape = NgramShape(order=3, unit="token", vocabulary=257)
    (run / "plan.json").write_text(json.dumps(plan(shape=shape).to_json()))
    ngram = KneserNey.fit(np.frombuffer(b"abcabcabd" * 20, np.uint8).astype(np.uint16), order=3, vocabulary=257)
    ngram_files.save_ngram(run / "model", ngram, tokenizer_file=run / "tokenizer.json")
    assert "counts" in refused(run, "torch-export")


def test_unknown_words_are_answered_with_near_ones(made) -> None:
    pytest.importorskip("gguf")
    run = made()
    with pytest.raises(UsageError, match="did you mean 'gguf'"):
        export(run, "guff")
    with pytest.raises(UsageError, match="did you mean 'q8_0'"):
        export(run, "gguf", precision="q8")
    assert left_of(run) == []


@pytest.mark.parametrize(("to", "library"), [("gguf", "gguf"), ("onnx", "onnxruntime"), ("executorch", "executorch")])
def test_a_missing_library_is_named_with_the_command(made, monkeypatch, to, library) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(MissingPackage, match=rf"pip install '\.\[{to}\]'") as raised:
        export(made(), to)
    assert library in raised.value.received


def test_what_stands_in_the_place_is_left_alone(made, monkeypatch) -> None:
    pytest.importorskip("gguf")
    read_back(monkeypatch)
    run = made()
    export(run, "gguf")
    before = (run / "exports" / "gguf" / "model.gguf").stat().st_mtime_ns
    with pytest.raises(UsageError, match="remove that folder"):
        export(run, "gguf")
    assert (run / "exports" / "gguf" / "model.gguf").stat().st_mtime_ns == before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background jobs are started without the handler of Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.promise("an export that fails or is broken off leaves nothing behind", 1)
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("point", ["export.write", "export.rename"])
@pytest.mark.parametrize("kind", ["ENOSPC", "int"])
def test_a_full_disk_or_ctrl_c_leaves_nothing(made, monkeypatch, asked, point, kind) -> None:
    pytest.importorskip("gguf")
    read_back(monkeypatch)
    run = made()
    asked(f"{point}:{kind}")
    with pytest.raises(ResourceError if kind == "ENOSPC" else KeyboardInterrupt) as raised:
        export(run, "gguf")
    assert not (run / "exports").exists()
    if kind == "ENOSPC":
        assert "No space left" in raised.value.received
    assert export(run, "gguf")["continued_alike"] == 10


@pytest.mark.parametrize("wrong", ["logits", "not a number", "tokens"])
def test_what_does_not_agree_is_not_kept(made, monkeypatch, wrong) -> None:
    pytest.importorskip("gguf")
    read_back(monkeypatch)
    from daybreak.models.exports.gguf_reader import ReadBack

    right = ReadBack.logits
    if wrong == "tokens":
        monkeypatch.setattr(ReadBack, "encode", lambda self, text: [0])
    else:
        off = 2e-4 if wrong == "logits" else float("nan")
        monkeypatch.setattr(ReadBack, "logits", lambda self, *inputs: right(self, *inputs) + off)
    run = made()
    with pytest.raises(DataError, match="computes something else"):
        export(run, "gguf")
    assert not (run / "exports").exists()


def test_another_likeliest_text_is_an_error_unless_both_are_as_likely(made, monkeypatch) -> None:
    pytest.importorskip("gguf")
    read_back(monkeypatch)
    right, calls = parity._greedy, []

    def second_differs(*given: Any) -> Any:
        texts, rate = right(*given)
        calls.append(1)
        if len(calls) == 2:
            texts[3][5] = (texts[3][5] + 1) % 256
        return texts, rate

    monkeypatch.setattr(parity, "_greedy", second_differs)
    run = made()
    with pytest.raises(DataError, match="most likely continuation"):
        export(run, "gguf")
    calls.clear()
    monkeypatch.setattr(parity, "_tie", lambda *_: True)
    assert export(run, "gguf")["continued_alike"] == 9


def test_the_command_prints_what_was_found(made, monkeypatch) -> None:
    pytest.importorskip("gguf")
    read_back(monkeypatch)
    shown = "\n".join(lines(export(made(), "gguf")))
    assert re.search(r"gguf, float32: [\d.]+ KB in 3 files", shown)
    assert "largest difference of a logit: 0 at" in shown
    assert "greedy decoding: the same 64 tokens after 10 of 10 prompts" in shown
    assert re.search(r"[\d,]+ tokens/s there, [\d,]+ in daybreak", shown)


# Programs that take long to write for, or to open


@pytest.mark.long
@pytest.mark.parametrize("changes", [{}, {"positions": "alibi", "skips": True, "value_embeddings": True}], ids=str)
@pytest.mark.parametrize("to", ["onnx", "torch-export", "executorch"])
def test_a_recorded_graph_computes_the_same(made, learnt, to, changes) -> None:
    for library in LIBRARIES[to]:
        pytest.importorskip(library)
    run = made(learnt, heads=4, key_value_heads=2, **changes)
    found = export(run, to)
    assert found["largest_logit_difference"] <= 1e-4
    assert found["continued_alike"] == found["prompts"]
    assert (run / "exports" / to / "tokenizer.json").exists()


@pytest.mark.long
@pytest.mark.parametrize("family", ["bert", "t5"])
@pytest.mark.parametrize("to", ["onnx", "torch-export", "executorch"])
def test_a_recorded_graph_of_another_family_computes_the_same(made, learnt, to, family) -> None:
    for library in LIBRARIES[to]:
        pytest.importorskip(library)
    found = export(made(learnt, shape=SHAPES[family]), to)
    assert found["largest_logit_difference"] <= 1e-4


@pytest.mark.long
@pytest.mark.parametrize("name", ["qwen2", "llama", "gpt2", "bert", "qwen3"])
@pytest.mark.parametrize("to", ["hf", "torch-export"])
def test_what_began_as_the_model_of_others_goes_out_again(made, plan, tmp_path, name, to) -> None:
    pytest.importorskip("transformers")
    hubs.publish(tmp_path / "published", name)
    run = made()
    shutil.rmtree(run / "model")
    (tmp_path / "published").rename(run / "model")
    module, tokenizer = read_model(run / "model", torch.device("cpu")), load_tokenizer(run / "model" / "tokenizer.json")
    mask = None
    if name == "bert":
        mask = next(i for i, piece in tokenizer.layout.special.items() if piece == "[MASK]")
    choice = TokenizerChoice(
        kind="file",
        vocabulary=tokenizer.vocabulary,
        end_of_text=tokenizer.end_of_text,
        specials=None if mask is None else Specials(pad=0, mask=mask),
    )
    objective = "next_token" if mask is None else "masked_tokens"
    value = plan(shape=module.shape, tokenizer=choice, objective=objective)
    (run / "plan.json").write_text(json.dumps(value.to_json()))
    found = export(run, to, prompts=["The quick brown fox", "and the text was"])
    assert found["largest_logit_difference"] <= 1e-4
    assert found.get("continued_alike", 2) == 2


def test_what_is_recorded_goes_on_from_keys_and_values_of_any_length(network) -> None:
    """The module of the graph that ONNX takes, before it is recorded."""
    from daybreak.models.exports.traced import Continuing

    module = network(context_length=16).eval()
    shape = module.shape
    tokens = torch.randint(0, shape.vocabulary, (3, 14), generator=torch.Generator().manual_seed(0))
    past = [torch.zeros(3, shape.key_value_heads, 0, shape.head_dim)] * (2 * shape.layers)
    parts = []
    with torch.inference_mode():
        for piece in tokens.split([7, 1, 6], 1):
            logits, *past = Continuing(module, shape.vocabulary)(piece, past)
            parts.append(logits)
        torch.testing.assert_close(torch.cat(parts, 1), module(tokens), atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_onnx_goes_on_from_keys_and_values_of_any_length(made, learnt) -> None:
    for library in LIBRARIES["onnx"]:
        pytest.importorskip(library)
    import onnxruntime

    run = made(learnt)
    export(run, "onnx")
    session = onnxruntime.InferenceSession(run / "exports" / "onnx" / "onnx" / "model.onnx")
    names = [one.name for one in session.get_inputs()]
    assert names[:3] == ["input_ids", "past_key_values.0.key", "past_key_values.0.value"]
    module = read_model(run / "model", torch.device("cpu"))
    for rows in (1, 3):
        tokens = np.random.default_rng(rows).integers(0, 256, (rows, 20))
        past = [np.zeros((rows, 2, 0, 32), np.float32)] * (len(names) - 1)
        parts = []
        for piece in np.split(tokens, [7, 8, 15], axis=1):
            logits, *past = session.run(None, dict(zip(names, [piece, *past], strict=True)))
            parts.append(logits)
        with torch.inference_mode():
            whole = module(torch.from_numpy(tokens))[..., : learnt.vocabulary].numpy()
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-4)


@pytest.mark.long
def test_llama_cpp_cuts_characters_as_we_do(made) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: pip install '.[llama]'")
    found = export(made(train_tokenizer(TEXTS[:2] * 3, 300, kind="characters")), "gguf", prompts=TEXTS)
    assert found["program"].startswith("llama.cpp")
    assert found["tokenizer_compared"]


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("vocabulary", [257, 1024, 4096])
def test_llama_cpp_writes_the_same_text(made, request, small_text, language, vocabulary) -> None:
    pytest.importorskip("gguf")
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: pip install '.[llama]'")
    texts = [small_text.read_text()]
    if language == "zh":
        folder = request.getfixturevalue("data_folder") / "lm_zh_techdocs"
        lines_of = lzma.decompress(next(folder.iterdir()).read_bytes()).decode().splitlines()
        texts = [json.loads(line)["text"] for line in lines_of[:100]]
    tokenizer = train_tokenizer(texts, vocabulary)
    run = made(tokenizer, layers=2, width=128, context_length=128, mlp_width=256, train=texts)
    found = export(run, "gguf")
    assert found["program"].startswith("llama.cpp")
    assert found["tokenizer_compared"]
    assert found["continued_alike"] == found["prompts"] == 10
    assert found["largest_logit_difference"] <= 1e-4
    for precision in ("float16", "bfloat16", "q8_0"):
        export(run, "gguf", precision=precision)
    file = str(run / "exports" / "gguf" / "model.gguf")
    model = llama_cpp.Llama(file, n_ctx=0, type_k=0, type_v=0, verbose=False)  # keys and values in float32
    for given in TEXTS:
        cut = model.tokenize(given.encode(), add_bos=True, special=False)
        assert cut == [tokenizer.end_of_text, *tokenizer.encode(given)]
    # Its tokens, not their text: the library loses those longer than 32 bytes when it joins them.
    prompt = [tokenizer.end_of_text, *tokenizer.encode(TEXTS[0][:20])]
    written = list(itertools.islice(model.generate(prompt, temp=0.0), 16))
    logits = read_model(run / "model", torch.device("cpu"))(torch.tensor([[*prompt, *written]]))[0]
    assert logits[len(prompt) - 1 : -1, : tokenizer.vocabulary].argmax(-1).tolist() == written
    model.close()
