"""Classes of transformers that no module here computes: their config.json and the names and sizes of their weights.

Written from what the classes of transformers 4.30 to 5.23 save. Nothing here needs that library.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daybreak.core.errors import DataError
from daybreak.core.shapes import ForeignShape, NetworkShape
from daybreak.core.values import Json

Tensors = dict[str, tuple[int, ...]]

MOST = 1 << 40  # of any size; a larger one is no size
# Buffers that a class makes anew whatever a file holds: older versions wrote them beside the weights, as any type.
BUFFERS = (
    r"(.*\.)?(rotary_emb\.(inv_freq|original_inv_freq|cos_cached|sin_cached)|position_ids|token_type_ids"
    r"|attn\.(masked_)?bias)"
)
CONTEXT = 1024  # that a plan may make smaller or larger; the released decoders allow many times as much


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A shape, and what a file of its weights holds."""

    shape: NetworkShape
    tensors: Tensors  # each weight by name, those that are shared once
    shared: dict[str, str] = field(default_factory=dict)  # names that may stand beside another's, with the same values
    prefix: str = ""  # of all names; files that were written without the head lack it
    ignored: str = r"$^"  # a pattern of names beside BUFFERS: other heads
    renamed: tuple[tuple[str, str], ...] = ()  # endings that older versions wrote


class _Config:
    """Sizes by name. Raises DataError: one that is missing and has no default, or that is none."""

    def __init__(self, config: Json, **defaults: object) -> None:
        self.config: Json = {**defaults, **{name: value for name, value in config.items() if value is not None}}

    def __getitem__(self, name: str) -> int:
        if name not in self.config:
            raise _unclear(f"it has no {name}")
        value = self.config[name]
        if type(value) is not int or not 0 < value < MOST:
            raise _unclear(f"{name}={value!r}")
        return value

    def number(self, name: str) -> float:
        value = self.config.get(name, 0.0)
        if type(value) not in (int, float) or not 0 <= value < MOST:
            raise _unclear(f"{name}={value!r}")
        return float(value)

    def flag(self, name: str) -> bool:
        return bool(self.config.get(name, False))


def _unclear(found: str) -> DataError:
    return DataError(
        "config.json is incomplete",
        received=found,
        attempt="use the complete folder, as transformers wrote it",
    )


def layout_of(config: Json, *, most_layers: int) -> Layout:
    """The class that config.json names by its model_type, one of KINDS.

    most_layers: as many as there are tensors; a config.json with more is refused before they are counted up.
    Raises DataError: sizes that are none, or a variant that is neither a plain decoder nor a plain encoder.
    """
    sizes = _Config(config)
    layers = sizes["n_layer" if config["model_type"] == "gpt2" else "num_hidden_layers"]
    if layers > most_layers:
        raise _unclear(f"{layers} layers, but {most_layers} tensors")
    if config.get("add_cross_attention") or config.get("is_decoder"):
        raise DataError(
            "this variant of the model class is not supported",
            received="add_cross_attention or is_decoder in config.json",
            attempt="a decoder of text, or an encoder with a head for masked tokens",
        )
    return KINDS[config["model_type"]](config)


def _decoder(config: Json, architecture: str, *, biases: str = "", normed: bool = False) -> Layout:
    """Llama's kind. biases: names of the projections that have one. normed: whether queries and keys have gains."""
    sizes = _Config(config, max_position_embeddings=CONTEXT)
    D, V, M, heads = (sizes[name] for name in ("hidden_size", "vocab_size", "intermediate_size", "num_attention_heads"))
    groups = sizes["num_key_value_heads"] if config.get("num_key_value_heads") else heads
    head_dim = sizes["head_dim"] if config.get("head_dim") else (128 if normed else D // heads)
    outputs = {"q": heads * head_dim, "k": groups * head_dim, "v": groups * head_dim}
    matrices = {f"self_attn.{name}_proj": (size, D) for name, size in outputs.items()}
    matrices["self_attn.o_proj"] = (D, heads * head_dim)
    gained = ["input_layernorm", "post_attention_layernorm"]
    if architecture == "NanoChatForCausalLM":
        matrices |= {"mlp.fc1": (M, D), "mlp.fc2": (D, M)}
        gained = []
    else:
        matrices |= {"mlp.gate_proj": (M, D), "mlp.up_proj": (M, D), "mlp.down_proj": (D, M)}
    layer: Tensors = {f"{name}.weight": size for name, size in matrices.items()}
    layer |= {f"{name}.weight": (D,) for name in gained}
    layer |= {f"{name}.bias": size[:1] for name, size in matrices.items() if re.search(rf"\.({biases})_proj", name)}
    if normed:
        layer |= {"self_attn.q_norm.weight": (head_dim,), "self_attn.k_norm.weight": (head_dim,)}
    layers = sizes["num_hidden_layers"]
    tensors: Tensors = {"model.embed_tokens.weight": (V, D)}
    tensors |= {f"model.layers.{i}.{name}": size for i in range(layers) for name, size in layer.items()}
    if gained:
        tensors["model.norm.weight"] = (D,)
    tied = sizes.flag("tie_word_embeddings")
    if not tied:
        tensors["lm_head.weight"] = (V, D)
    shape = _shape(
        architecture,
        "decoder",
        config,
        tensors,
        matmul=layers * _products(matrices) + V * D,
        vocabulary=V,
        layers=layers,
        width=D,
        heads=heads,
        head_dim=head_dim,
        context_length=sizes["max_position_embeddings"],
        tied=tied,
        logit_cap=sizes.number("final_logit_softcapping"),
    )
    return Layout(
        shape=shape,
        tensors=tensors,
        shared={"lm_head.weight": "model.embed_tokens.weight"} if tied else {},
        prefix="model.",
    )


def _qwen2(config: Json) -> Layout:
    return _decoder(config, "Qwen2ForCausalLM", biases="q|k|v")


def _qwen3(config: Json) -> Layout:
    return _decoder(config, "Qwen3ForCausalLM", biases="q|k|v|o" if config.get("attention_bias") else "", normed=True)


def _llama(config: Json) -> Layout:
    biases = ["q", "k", "v", "o"] * bool(config.get("attention_bias"))
    biases += ["gate", "up", "down"] * bool(config.get("mlp_bias"))
    return _decoder(config, "LlamaForCausalLM", biases="|".join(biases))


def _nanochat(config: Json) -> Layout:
    capped = {"final_logit_softcapping": 15.0, **config}  # the class' default
    biases = "q|k|v|o" if config.get("attention_bias") else ""
    return _decoder(capped, "NanoChatForCausalLM", biases=biases)


def _gpt2(config: Json) -> Layout:
    """Its matrices are [inputs, outputs]."""
    sizes = _Config(config, n_positions=1024)
    D, V, layers, T = (sizes[name] for name in ("n_embd", "vocab_size", "n_layer", "n_positions"))
    M = sizes["n_inner"] if config.get("n_inner") else 4 * D
    matrices = {"attn.c_attn": (D, 3 * D), "attn.c_proj": (D, D), "mlp.c_fc": (D, M), "mlp.c_proj": (M, D)}
    layer: Tensors = {f"{name}.weight": size for name, size in matrices.items()}
    layer |= {f"{name}.bias": size[1:] for name, size in matrices.items()}
    layer |= {f"{name}.{part}": (D,) for name in ("ln_1", "ln_2") for part in ("weight", "bias")}
    tensors: Tensors = {"transformer.wte.weight": (V, D), "transformer.wpe.weight": (T, D)}
    tensors |= {f"transformer.h.{i}.{name}": size for i in range(layers) for name, size in layer.items()}
    tensors |= {"transformer.ln_f.weight": (D,), "transformer.ln_f.bias": (D,)}
    tied = sizes.config.get("tie_word_embeddings", True)
    if not tied:
        tensors["lm_head.weight"] = (V, D)
    shape = _shape(
        "GPT2LMHeadModel",
        "decoder",
        config,
        tensors,
        matmul=layers * _products(matrices) + V * D,
        vocabulary=V,
        layers=layers,
        width=D,
        heads=sizes["n_head"],
        head_dim=D // sizes["n_head"],
        context_length=T,
        tied=bool(tied),
    )
    return Layout(
        shape=shape,
        tensors=tensors,
        shared={"lm_head.weight": "transformer.wte.weight"} if tied else {},
        prefix="transformer.",
    )


def _bert(config: Json) -> Layout:
    sizes = _Config(config, type_vocab_size=2)
    if config.get("position_embedding_type", "absolute") != "absolute" or not config.get("tie_word_embeddings", True):
        raise DataError(
            "this variant of BERT is not supported",
            received="relative positions, or a head that is not tied to the embeddings, in config.json",
            attempt="use a BERT with learned positions and a tied head",
        )
    D, V, M, layers = (sizes[name] for name in ("hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers"))
    T = sizes["max_position_embeddings"]
    matrices = {f"attention.self.{name}": (D, D) for name in ("query", "key", "value")}
    matrices |= {"attention.output.dense": (D, D), "intermediate.dense": (M, D), "output.dense": (D, M)}
    layer: Tensors = {f"{name}.weight": size for name, size in matrices.items()}
    layer |= {f"{name}.bias": size[:1] for name, size in matrices.items()}
    norms = ("attention.output.LayerNorm", "output.LayerNorm")
    layer |= {f"{name}.{part}": (D,) for name in norms for part in ("weight", "bias")}
    tables = {"word": V, "position": T, "token_type": sizes["type_vocab_size"]}
    tensors: Tensors = {f"bert.embeddings.{name}_embeddings.weight": (rows, D) for name, rows in tables.items()}
    tensors |= {f"bert.embeddings.LayerNorm.{part}": (D,) for part in ("weight", "bias")}
    tensors |= {f"bert.encoder.layer.{i}.{name}": size for i in range(layers) for name, size in layer.items()}
    head = "cls.predictions.transform"
    tensors |= {f"{head}.dense.weight": (D, D), f"{head}.dense.bias": (D,), "cls.predictions.bias": (V,)}
    tensors |= {f"{head}.LayerNorm.{part}": (D,) for part in ("weight", "bias")}
    shape = _shape(
        "BertForMaskedLM",
        "encoder",
        config,
        tensors,
        matmul=layers * _products(matrices) + D * D + V * D,
        vocabulary=V,
        layers=layers,
        width=D,
        heads=sizes["num_attention_heads"],
        head_dim=D // sizes["num_attention_heads"],
        context_length=T,
        tied=True,
    )
    decoder = "cls.predictions.decoder"
    return Layout(
        shape=shape,
        tensors=tensors,
        shared={
            f"{decoder}.weight": "bert.embeddings.word_embeddings.weight",
            f"{decoder}.bias": "cls.predictions.bias",
        },
        prefix="bert.",
        ignored=r"(bert\.)?pooler\..*|cls\.seq_relationship\..*",
        renamed=((".gamma", ".weight"), (".beta", ".bias")),
    )


KINDS: dict[str, Callable[[Json], Layout]] = {
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "llama": _llama,
    "nanochat": _nanochat,
    "gpt2": _gpt2,
    "bert": _bert,
}


def _products(matrices: dict[str, tuple[int, int]]) -> int:
    return sum(rows * columns for rows, columns in matrices.values())


def _shape(architecture: str, kind: str, config: Json, tensors: Tensors, *, matmul: int, **sizes: Any) -> ForeignShape:
    stored = 0
    for size in tensors.values():
        weights = 1
        for side in size:
            weights *= side
        stored += weights
    shape = ForeignShape(
        architecture=architecture, kind=kind, matmul_weights=matmul, stored_weights=stored, config=config, **sizes
    )
    shape.check()
    return shape
