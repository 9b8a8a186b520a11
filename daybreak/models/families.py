"""Families: which module a shape is of, and what it is trained for; modules are imported when they are asked for."""

from typing import Any

from daybreak.core.shapes import BertShape, ForeignShape, GptShape, LstmShape, NgramShape, Shape, T5Shape
from daybreak.core.types import Specials

FAMILIES = ("gpt", "bert", "t5", "lstm", "ngram")
OBJECTIVES = {
    "gpt": "next_token",
    "lstm": "next_token",
    "ngram": "next_token",
    "bert": "masked_tokens",
    "t5": "span_corruption",
}
SENTINELS = 100  # as T5 has (arXiv:1910.10683)


def objective_name(family: str, shape: Shape | None = None) -> str:
    """Of a family; of other tools' classes, of the shape."""
    if isinstance(shape, ForeignShape):
        return "masked_tokens" if shape.kind == "encoder" else "next_token"
    return OBJECTIVES[family]


def specials_of(family: str, vocabulary: int) -> Specials | None:
    """The tokens behind a tokenizer's own that a family's models have beside them; None: it needs none."""
    if family == "bert":
        return Specials(pad=vocabulary, mask=vocabulary + 1)
    if family == "t5":
        return Specials(pad=vocabulary, sentinels=tuple(range(vocabulary + 1, vocabulary + 1 + SENTINELS)))
    return None


def spelled(specials: Specials | None) -> dict[str, int]:
    """How they are written in a tokenizer's files."""
    if specials is None:
        return {}
    masks = {} if specials.mask is None else {"<|mask|>": specials.mask}
    return {"<|pad|>": specials.pad, **masks, **{f"<extra_id_{n}>": id for n, id in enumerate(specials.sentinels)}}


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
