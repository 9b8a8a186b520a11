"""GGUF: `model.gguf` for llama.cpp and what is built on it, written with the `gguf` package, and Ollama's Modelfile."""

import importlib.util
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from safetensors.numpy import load_file

from daybreak.models.exports import Opened, Source, vocabularies
from daybreak.models.exports.gguf_names import named
from daybreak.models.exports.hf import CHAT_TEMPLATE
from daybreak.models.norms import NORM_EPSILON

PRECISIONS = ("float32", "float16", "bfloat16", "q8_0")
LIBRARIES = ("gguf",)
FILE = "model.gguf"
BLOCK = 32  # weights that share a scale in q8_0; a row that is no multiple of it stays in float16


@runtime_checkable
class Sizes(Protocol):
    """Of a shape: what the file tells of the architecture beside what all networks have."""

    mlp_width: int
    heads: int
    key_value_heads: int
    head_dim: int
    rope_base: float


def refuses(source: Source) -> str:
    if not source.own():
        what = getattr(source.shape, "architecture", source.shape.family)
        return f"only daybreak's own GPT can be written as GGUF, and this is {what}"
    if not source.shape.native():
        left = ", ".join(f"{name}={value}" for name, value in source.shape.not_in_transformers().items())
        return f"llama.cpp has no architecture that computes {left}"
    return vocabularies.refuses(source.tokenizer)


def write(source: Source, folder: Path, precision: str) -> None:
    import gguf

    writer = gguf.GGUFWriter(folder / FILE, "qwen3")
    try:
        _metadata(writer, source, precision)
        _vocabulary(writer, source)
        for name, weight in load_file(str(source.folder / "model.safetensors")).items():
            if name in ("model.embed_tokens.weight", "lm_head.weight"):
                weight = weight[: source.known]  # llama.cpp would choose rows that stand for nothing
            kind = _kind(weight, precision)
            data = gguf.quants.quantize(np.ascontiguousarray(weight, np.float32), kind)
            writer.add_tensor(named(name), data, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    (folder / "Modelfile").write_text(modelfile(source), encoding="utf-8")


def _metadata(writer: Any, source: Source, precision: str) -> None:
    import gguf

    shape = source.shape
    assert isinstance(shape, Sizes)
    kinds = gguf.LlamaFileType
    writer.add_name(source.folder.resolve().parent.name)
    writer.add_file_type(
        {
            "float32": kinds.ALL_F32,
            "float16": kinds.MOSTLY_F16,
            "bfloat16": kinds.MOSTLY_BF16,
            "q8_0": kinds.MOSTLY_Q8_0,
        }[precision]
    )
    if precision == "q8_0":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(source.known)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.mlp_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_dim)


def _vocabulary(writer: Any, source: Source) -> None:
    found = vocabularies.Vocabulary(source.tokenizer, source.known)
    writer.add_tokenizer_model(found.model)
    writer.add_tokenizer_pre(found.pre)
    writer.add_token_list(found.tokens)
    writer.add_token_types(found.types)
    if found.scores is not None:
        writer.add_token_scores(found.scores)
        writer.add_add_space_prefix(False)
    if found.merges:
        writer.add_token_merges(found.merges)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(source.end_of_text)
    writer.add_add_bos_token(True)  # in training, it stands before every text
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _kind(weight: np.ndarray, precision: str) -> Any:
    """Gains stay in float32, as llama.cpp wants them."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    if weight.ndim < 2 or precision == "float32":
        return kinds.F32
    if precision == "q8_0":
        return kinds.F16 if weight.shape[-1] % BLOCK else kinds.Q8_0
    return {"float16": kinds.F16, "bfloat16": kinds.BF16}[precision]


def modelfile(source: Source) -> str:
    """For `ollama create NAME -f Modelfile`: a prompt is continued as it is, by daybreak's own sampling."""
    return (
        f"FROM ./{FILE}\n"
        'TEMPLATE """{{ .Prompt }}"""\n'
        f"PARAMETER num_ctx {source.shape.context_length}\n"
        f'PARAMETER stop "{source.token}"\n'
        "PARAMETER num_predict 200\n"
        "PARAMETER temperature 0.8\n"
        "PARAMETER top_p 0.95\n"
        "PARAMETER top_k 0\n"
        "PARAMETER repeat_penalty 1.0\n"
    )


def opened(folder: Path, source: Source, precision: str) -> Opened:
    """By llama.cpp where llama-cpp-python is installed, which has to be compiled; else read back by `gguf`."""
    if importlib.util.find_spec("llama_cpp") is not None:
        from daybreak.models.exports.llama import Llama

        return Llama(folder / FILE, exact=precision == "float32")
    from daybreak.models.exports.gguf_reader import ReadBack

    return ReadBack(folder / FILE, source)
