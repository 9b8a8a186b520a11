"""foreign: checkpoints of classes that no module here computes; transformers' own modules do."""

import dataclasses
from typing import TYPE_CHECKING

from daybreak.core.shapes import ForeignShape
from daybreak.models.families import bert, gpt
from daybreak.models.families.record import Family, Rates, SpecialTokens

if TYPE_CHECKING:
    from torch import Tensor

    from daybreak.models.huggingface import Foreign


def _module(shape: ForeignShape) -> "Foreign":
    from daybreak.models.huggingface import foreign

    return foreign(shape)


def _loaded(shape: ForeignShape, weights: "dict[str, Tensor]") -> "Foreign":
    from daybreak.models.huggingface import foreign

    return foreign(shape, weights)


def _variant(shape: ForeignShape) -> Family:
    return {"decoder": FAMILY, "encoder": ENCODER}[shape.kind]


FAMILY = Family(
    name="foreign",
    shape=ForeignShape,
    objective="next_token",
    listed=False,
    variant=_variant,
    module=_module,
    loaded=_loaded,
    lossless=False,
    padding_side="left",
    rates=Rates(single={}, other=2e-4, lowered=False),
    ours_too=False,
    in_transformers=True,
    used_as="gpt",
    generation=gpt.generation,
    signature=gpt.SIGNATURE,
    continues=True,
    words=gpt.WORDS,
)
ENCODER = dataclasses.replace(
    FAMILY,
    objective="masked_tokens",
    special_tokens=SpecialTokens(mask=True),
    around=bert.FAMILY.around,
    around_two=bert.FAMILY.around_two,
    padding_side="right",
    used_as="bert",
    generation=None,
    auto_class=bert.FAMILY.auto_class,
    # Its class has a table of positions, and every text has a token on both ends.
    signature=dataclasses.replace(bert.SIGNATURE, shortest=2, bounded=True),
    continues=False,
    sentences=True,
    words=bert.WORDS,
)
