"""Qwen3's config.json (arXiv:2505.09388), as transformers 4.51 and all later ones read it."""

from daybreak.core.errors import DataError
from daybreak.core.shapes import GptShape
from daybreak.core.values import Json
from daybreak.models.norms import NORM_EPSILON

# What the class can be told to do otherwise, and the module here does not. What is missing is as it is here.
FIXED: Json = {
    "hidden_act": "silu",
    "rms_norm_eps": NORM_EPSILON,
    "attention_bias": False,
    "use_sliding_window": False,
}
# Of the class, where its config.json says nothing.
HEAD_DIM = 128
ROPE_BASE = 10000.0


def config_of(shape: GptShape, end_of_text: int, specials: object = None) -> Json:
    """config.json of transformers' Qwen3ForCausalLM. The base is said in the old way and in the new."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context_length,
        "rope_theta": shape.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "tie_word_embeddings": shape.tied,
        **FIXED,
        "attention_dropout": 0.0,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "torch_dtype": "float32",
    }


def shape_of(config: Json) -> GptShape:
    """Raises DataError: what the module here does not compute. Raises KeyError: a size that is missing."""
    rope = _rotation(config)
    wrong = [f"{name}={found!r}" for name, value in FIXED.items() if (found := config.get(name, value)) != value]
    wrong += [f"rotary positions with {name}={rope[name]!r}" for name in rope.keys() - {"rope_type", "rope_theta"}]
    if rope.get("rope_type", "default") != "default":
        wrong.append(f"rope_type={rope['rope_type']!r}")
    wrong += sorted(
        {f"a layer of type {kind}" for kind in config.get("layer_types") or ()} - {"a layer of type full_attention"}
    )
    if wrong:
        raise DataError(
            "this variant of Qwen3 is not supported",
            received=", ".join(wrong),
            attempt=f"use a checkpoint with {', '.join(f'{name}={value!r}' for name, value in FIXED.items())}",
        )
    heads = config["num_attention_heads"]
    return GptShape(
        vocabulary=config["vocab_size"],
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=heads,
        key_value_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or HEAD_DIM,
        mlp_width=config["intermediate_size"],
        context_length=config["max_position_embeddings"],
        tied=bool(config.get("tie_word_embeddings", False)),
        rope_base=float(rope.get("rope_theta", ROPE_BASE)),
    )


def _rotation(config: Json) -> Json:
    """What is said of rotary positions: under one name since transformers 5, before under two."""
    told = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if "type" in told:
        told.setdefault("rope_type", told.pop("type"))
    if "rope_theta" in config:
        told["rope_theta"] = config["rope_theta"]
    return told
