"""ModernBERT's config.json (arXiv:2412.13663), as transformers 4.48 and all later ones read it."""

from daybreak.core.errors import DataError
from daybreak.core.shapes import BertShape
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models.bert import NORM_EPSILON

GLOBAL, LOCAL = "full_attention", "sliding_attention"
# What the class can be told to do otherwise, and the module here does not. What is missing is as it is here.
FIXED: Json = {
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "norm_eps": NORM_EPSILON,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
}
ROPE_BASES = {GLOBAL: 160000.0, LOCAL: 10000.0}


def config_of(shape: BertShape, end_of_text: int, specials: Specials) -> Json:
    """config.json of transformers' ModernBertForMaskedLM. Bases and layers are said in the old way and in the new."""
    bases = {GLOBAL: shape.rope_base, LOCAL: shape.local_rope_base}
    return {
        "architectures": ["ModernBertForMaskedLM"],
        "model_type": "modernbert",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": shape.context_length,
        "local_attention": shape.window,
        "global_attn_every_n_layers": shape.global_every,
        "layer_types": [GLOBAL if shape.is_global(index) else LOCAL for index in range(shape.layers)],
        "global_rope_theta": shape.rope_base,
        "local_rope_theta": shape.local_rope_base,
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()},
        "tie_word_embeddings": shape.tied,
        **FIXED,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "mlp_dropout": 0.0,
        "classifier_pooling": "mean",  # the first token of a text was trained as any other
        "pad_token_id": specials.pad,
        "mask_token_id": specials.mask,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "cls_token_id": end_of_text,
        "sep_token_id": end_of_text,
        "torch_dtype": "float32",
    }


def shape_of(config: Json) -> BertShape:
    """Raises DataError: another class, a size that is missing, or what the module here does not compute."""
    if config.get("model_type") != "modernbert":
        _refuse(f"model_type {config.get('model_type')!r}")
    for name, value in FIXED.items():
        if (found := config.get(name, value)) != value:
            _refuse(f"{name}={found!r}")
    bases = _bases(config)
    try:
        shape = BertShape(
            vocabulary=config["vocab_size"],
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=config["num_attention_heads"],
            mlp_width=config["intermediate_size"],
            context_length=config["max_position_embeddings"],
            tied=config.get("tie_word_embeddings", True),
            window=config.get("local_attention", 128),
            global_every=_global_every(config),
            rope_base=bases[GLOBAL],
            local_rope_base=bases[LOCAL],
        )
    except KeyError as missing:
        raise DataError(
            "config.json is incomplete",
            received=f"it has no {missing.args[0]}",
            attempt="use the complete folder, as transformers wrote it",
        ) from None
    return shape


def _bases(config: Json) -> dict[str, float]:
    """Rotary bases of both kinds of layer: in rope_parameters, or in two names of their own."""
    if config.get("rope_scaling"):
        _refuse(f"rope_scaling={config['rope_scaling']!r}")
    named: dict[str, float] = {GLOBAL: config.get("global_rope_theta", ROPE_BASES[GLOBAL])}
    # Where it was null, local layers turned as the others did.
    named[LOCAL] = config.get("local_rope_theta", ROPE_BASES[LOCAL]) or named[GLOBAL]
    bases = {}
    for kind, base in named.items():
        parameters = (config.get("rope_parameters") or {}).get(kind) or {}
        if (rope := parameters.get("rope_type", "default")) != "default":
            _refuse(f"positions of the type {rope!r}")
        bases[kind] = float(parameters.get("rope_theta", base))
    return bases


def _global_every(config: Json) -> int:
    """How often a layer attends to all positions, from the number itself or from the list of layers."""
    kinds = config.get("layer_types")
    if kinds is None:
        return int(config.get("global_attn_every_n_layers", 3))
    every = next((index for index in range(1, len(kinds)) if kinds[index] == GLOBAL), max(1, len(kinds)))
    if kinds != [LOCAL if index % every else GLOBAL for index in range(config["num_hidden_layers"])]:
        _refuse(f"layer_types={kinds!r}")
    return every


def _refuse(found: str) -> None:
    raise DataError(
        "this kind of encoder is not supported",
        received=found,
        attempt="use a ModernBERT with GELU, no biases except in the head, and global attention in every n-th layer",
    )
