"""Families: which module a shape is of, and what it is trained for; modules are imported when they are asked for."""

from typing import Any

from daybreak.core.shapes import BertShape, ForeignShape, GptShape, LstmShape, NgramShape, Shape, T5Shape

# Where a family keeps the table that tokens are looked up in, and the one that they are predicted with.
TABLES = {
    "gpt": "model.embed_tokens.weight",
    "bert": "model.embeddings.tok_embeddings.weight",
    "t5": "shared.weight",
    "lstm": "embed_tokens.weight",
}
HEADS = {"gpt": "lm_head.weight", "bert": "decoder.weight", "t5": "lm_head.weight", "lstm": "lm_head.weight"}

FAMILIES = ("gpt", "bert", "t5", "lstm", "ngram")
OBJECTIVES = {
    "gpt": "next_token",
    "lstm": "next_token",
    "ngram": "next_token",
    "bert": "masked_tokens",
    "t5": "span_corruption",
}


def objective_name(family: str, shape: Shape | None = None) -> str:
    """Of a family; of other tools' classes, of the shape."""
    if isinstance(shape, ForeignShape):
        return "masked_tokens" if shape.kind == "encoder" else "next_token"
    return OBJECTIVES[family]


def module_of(shape: Shape) -> Any:
    """The family's module, not initialized. Raises UsageError: a shape that cannot be."""
    match shape:
        case GptShape():
            from daybreak.models.gpt import Gpt

            return Gpt(shape)
        case BertShape():
            from daybreak.models.bert import Bert

            return Bert(shape)
        case T5Shape():
            from daybreak.models.t5 import T5

            return T5(shape)
        case LstmShape():
            from daybreak.models.lstm import Lstm

            return Lstm(shape)
        case ForeignShape():
            from daybreak.models.huggingface import foreign

            return foreign(shape)
        case NgramShape():
            raise TypeError("counts are no module")


def decoder_of(module: Any) -> Any:
    """The module's own forward pass, one token at a time."""
    from daybreak.models.decoder import Plain
    from daybreak.models.lstm import Lstm, Remembering

    return Remembering(module) if isinstance(module, Lstm) else Plain(module)
