"""gpt: a decoder that continues texts, of Qwen3's class."""

import re
from typing import TYPE_CHECKING

from daybreak.core.shapes import GptShape
from daybreak.models import ladder
from daybreak.models.families.record import Family, Rates, Signature, Words

if TYPE_CHECKING:
    from ctypes import CDLL

    from torch import Tensor

    from daybreak.models.gpt import Gpt
    from daybreak.models.inference.decoder import Decoder


def _module(shape: GptShape) -> "Gpt":
    from daybreak.models.gpt import Gpt

    return Gpt(shape)


def _decoder(module: "Gpt") -> "Decoder":
    from daybreak.models.inference.gpt_rows import GptDecoder

    return GptDecoder(module)


def _fast_decoder(module: "Gpt", library: "CDLL | None") -> "Decoder":
    from daybreak.models.inference.fast import prepared

    return prepared(module, library)


def _kernels_fit(shape: GptShape) -> bool:
    from daybreak.models.kernels.library import fits

    return fits(shape)


def written_out(shape: GptShape, weights: "dict[str, Tensor]") -> "tuple[GptShape, dict[str, Tensor]]":
    """Each shared layer as often as it is applied: the stock class knows no sharing, and computes the same."""
    if shape.layer_repeats == 1:
        return shape, weights
    written = {}
    for name, weight in weights.items():
        layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name)
        if layer is None:
            written[name] = weight
            continue
        first = int(layer[1]) * shape.layer_repeats
        for index in range(first, first + shape.layer_repeats):
            written[f"model.layers.{index}.{layer[2]}"] = weight.detach().clone()
    return shape.replace(layer_repeats=1), written


def generation(end: int, pad: int) -> dict[str, int]:
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": pad}


SIGNATURE = Signature(names=("input_ids",), lengths=("sequence",), of=lambda tokens: (tokens,))
WORDS = Words(
    kind="A decoder",
    does="it continues texts and was not taught to follow instructions",
    pipeline="""```python
from transformers import pipeline

write = pipeline("text-generation", model="PATH/OF/THIS/FOLDER")
print(write("Once upon a time")[0]["generated_text"])
```""",
    session="""[logits] = session.run(None, {"input_ids": ids})
```""",
    inputs=("ids", "ids = torch.tensor([[0, 1, 2]])"),
)
FAMILY = Family(
    name="gpt",
    shape=GptShape,
    objective="next_token",
    module=_module,
    decoder=_decoder,
    fast_decoder=_fast_decoder,
    embedding="model.embed_tokens.weight",
    head="lm_head.weight",
    past=True,
    kernels_fit=_kernels_fit,
    padding_side="left",
    rung=ladder.gpt,
    optimizer="muon",
    rates=Rates(muon=0.03),
    fitted=True,
    layout="qwen3",
    written_out=written_out,
    generation=generation,
    signature=SIGNATURE,
    continues=True,
    words=WORDS,
)
