"""T5's config.json (arXiv:1910.10683), of v1.1 and of the first one, and the names of its weights."""

from collections.abc import Callable

import torch
from torch import Tensor

from daybreak.core.errors import DataError
from daybreak.core.shapes import T5Shape
from daybreak.core.types import Specials
from daybreak.core.values import Json
from daybreak.models.norms import NORM_EPSILON

FEED_FORWARD = {"gated_gelu": "gated-gelu", "relu": "relu"}  # by our names
MODEL_TYPE = "t5"
SHARED, HEAD = "shared.weight", "lm_head.weight"
TABLES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # which some files hold beside the shared one
UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"  # of the first releases
CONTEXT = 512  # that the released models were trained with; the class itself keeps none
ATTEMPT = "use a folder of the T5 class: T5, T5 v1.1 or Flan-T5"


def config_of(shape: T5Shape, end_of_text: int, specials: Specials) -> Json:
    """config.json of transformers' T5ForConditionalGeneration.

    "tie_word_embeddings" tells that class whether states are scaled before the head, and nothing else: the head is one
    of its own where the file of the weights has an lm_head.weight.
    """
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": MODEL_TYPE,
        "is_encoder_decoder": True,
        "vocab_size": shape.vocabulary,
        "d_model": shape.width,
        "d_kv": shape.head_dim,
        "d_ff": shape.mlp_width,
        "num_layers": shape.layers,
        "num_decoder_layers": shape.decoder_layers,
        "num_heads": shape.heads,
        "relative_attention_num_buckets": shape.buckets,
        "relative_attention_max_distance": shape.longest_distance,
        "feed_forward_proj": FEED_FORWARD[shape.activation],
        "layer_norm_epsilon": NORM_EPSILON,
        "dropout_rate": 0.0,
        "initializer_factor": 1.0,
        "n_positions": shape.context_length,
        "tie_word_embeddings": shape.tied,
        "use_cache": True,
        "pad_token_id": specials.pad,
        "eos_token_id": end_of_text,
        "decoder_start_token_id": specials.pad,
        "torch_dtype": "float32",
    }


def shape_of(config: Json) -> T5Shape:
    """Raises DataError: another class, or what the module here does not compute."""
    _check(config)
    try:
        return T5Shape(
            vocabulary=config["vocab_size"],
            layers=config["num_layers"],
            decoder_layers=config.get("num_decoder_layers") or config["num_layers"],
            width=config["d_model"],
            heads=config["num_heads"],
            head_dim=config["d_kv"],
            mlp_width=config["d_ff"],
            context_length=config.get("n_positions") or CONTEXT,
            tied=_scaled(config),
            buckets=config.get("relative_attention_num_buckets", 32),
            longest_distance=config.get("relative_attention_max_distance", 128),
            activation=_activation(config) or "",
        )
    except KeyError as error:
        raise DataError("the model's config.json is incomplete", received=f"no {error}", attempt=ATTEMPT) from None


def with_weights(
    config: Json, weights: dict[str, Tensor], *, same: Callable[[str, str], bool] | None = None
) -> tuple[T5Shape, dict[str, Tensor]]:
    """The shape, and the weights by the module's own names, of a folder that any version of the class has written.

    same: says of two names whether their weights are equal, where the given ones are none but sizes.

    The config alone does not say whether the head is tied. A head of its own behind scaled states takes the factor in,
    and one that is not in the file, before which nothing is scaled, becomes a copy of the table; both compute the same.
    Raises DataError: also where encoder and decoder have tables of their own.
    """
    given, shape, weights = weights, shape_of(config), dict(weights)
    same = same or (lambda one, other: torch.equal(given[one], given[other]))
    weights.pop(UNUSED, None)
    tables = [name for name in (SHARED, *TABLES) if name in weights]
    if not tables:
        raise DataError("the model has no embeddings", received=f"no {SHARED}", attempt=ATTEMPT)
    shared = weights[tables[0]]
    for name in tables[1:]:
        weights.pop(name)
    weights[SHARED] = weights.pop(tables[0])
    if any(given[name].shape != shared.shape or not same(name, tables[0]) for name in tables[1:]):
        raise DataError(
            "separate embeddings for encoder and decoder are not supported",
            received="embed_tokens.weight unlike shared.weight",
            attempt=ATTEMPT,
        )
    head = weights.pop(HEAD, None)
    if head is None and not shape.tied:
        weights[HEAD] = shared.clone()
    elif head is not None and not (shape.tied and head.shape == shared.shape and same(HEAD, tables[0])):
        weights[HEAD] = head * shape.width**-0.5 if shape.tied else head
        shape = shape.replace(tied=False)
    return shape, weights


def _scaled(config: Json) -> bool:
    """Newer versions write "tie_word_embeddings" as true whatever it was, and keep what it meant by another name."""
    return bool(config.get("scale_decoder_outputs", config.get("tie_word_embeddings") is not False))


def _activation(config: Json) -> str | None:
    written = config.get("feed_forward_proj", "relu")
    return next((own for own, theirs in FEED_FORWARD.items() if theirs == written), None)


def _check(config: Json) -> None:
    wrong = {
        f"model_type {config.get('model_type')!r}": config.get("model_type") != MODEL_TYPE,
        f"feed_forward_proj {config.get('feed_forward_proj')!r}": _activation(config) is None,
        f"layer_norm_epsilon {config.get('layer_norm_epsilon')}": (
            config.get("layer_norm_epsilon", NORM_EPSILON) != NORM_EPSILON
        ),
        "an encoder or a decoder alone": config.get("is_encoder_decoder", True) is not True,
    }
    for received, so in wrong.items():
        if so:
            raise DataError("this variant of T5 is not supported", received=received, attempt=ATTEMPT)
