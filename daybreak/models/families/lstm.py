"""lstm: a recurrent network, the baseline of the time before Transformers; its cell may be a plain one ("rnn")."""

import dataclasses
from typing import TYPE_CHECKING

from daybreak.core.shapes import LstmShape
from daybreak.models import ladder
from daybreak.models.families.gpt import generation
from daybreak.models.families.record import Family, Rates

if TYPE_CHECKING:
    from daybreak.models.lstm import Lstm, Remembering

GATED_RATE = 2e-2  # of Adam and AdamW: 13% fewer bits in 60 s than with 3e-3, which suits a plain RNN (own runs)


def _module(shape: LstmShape) -> "Lstm":
    from daybreak.models.lstm import Lstm

    return Lstm(shape)


def _decoder(module: "Lstm") -> "Remembering":
    from daybreak.models.lstm import Remembering

    return Remembering(module)


def _variant(shape: LstmShape) -> Family:
    return FAMILY if shape.cell == "lstm" else PLAIN


FAMILY = Family(
    name="lstm",
    shape=LstmShape,
    objective="next_token",
    variant=_variant,
    module=_module,
    decoder=_decoder,
    embedding="embed_tokens.weight",
    head="lm_head.weight",
    rung=ladder.lstm,
    rates=Rates(muon=0.03, single={**Rates().single, "adam": GATED_RATE, "adamw": GATED_RATE}),
    bits=1.12,  # from runs of one to five minutes
    generation=generation,
    not_recorded="a recurrence is recorded for one length of text only",
)
PLAIN = dataclasses.replace(FAMILY, rates=Rates())
