"""t5: an encoder and a decoder that fill gaps in texts, of T5's class."""

from typing import TYPE_CHECKING

from daybreak.core.shapes import T5Shape
from daybreak.models import ladder
from daybreak.models.families.record import Family, Rates, Signature, SpecialTokens, Words

if TYPE_CHECKING:
    from torch import Tensor

    from daybreak.models.t5 import T5

SENTINELS = 100  # as T5 has (arXiv:1910.10683)


def _module(shape: T5Shape) -> "T5":
    from daybreak.models.t5 import T5

    return T5(shape)


def _inputs(tokens: "Tensor") -> "tuple[Tensor, ...]":
    return tokens, tokens[:, : max(1, tokens.shape[1] // 2)].contiguous()


def _generation(end: int, pad: int) -> dict[str, int]:
    return {"eos_token_id": end, "pad_token_id": pad, "decoder_start_token_id": pad}


FAMILY = Family(
    name="t5",
    shape=T5Shape,
    objective="span_corruption",
    module=_module,
    embedding="shared.weight",
    head="lm_head.weight",
    special_tokens=SpecialTokens(sentinels=SENTINELS),
    around=("A", "end"),
    around_two=("A", "end", "B", "end"),
    lossless=False,
    rung=ladder.t5,
    longest_context=ladder.LONGEST_T5,
    optimizer="muon",
    rates=Rates(muon=0.015, tables=0.02),
    steps_merged=2,  # 4.6% less span loss in 300 s (own runs)
    layout="t5",
    ours_too=False,
    generation=_generation,
    auto_class="AutoModelForSeq2SeqLM",
    signature=Signature(names=("input_ids", "decoder_input_ids"), lengths=("sequence", "decoder_sequence"), of=_inputs),
    words=Words(
        kind="An encoder and decoder",
        does="it fills gaps in texts and was taught no task",
        task="text2text-generation",
        pipeline="""```python
from transformers import AutoTokenizer, T5ForConditionalGeneration

tokenizer = AutoTokenizer.from_pretrained("PATH/OF/THIS/FOLDER")
model = T5ForConditionalGeneration.from_pretrained("PATH/OF/THIS/FOLDER")
text = tokenizer("Once upon a <extra_id_0> there was a king.", return_tensors="pt")
print(tokenizer.decode(model.generate(**text, max_new_tokens=20)[0]))
```""",
        session="""begun = np.array([[PAD]])  # what the decoder has so far, behind the token that it begins with
[logits] = session.run(None, {"input_ids": ids, "decoder_input_ids": begun})
```""",
        inputs=(
            "ids, begun",
            "ids, begun = torch.tensor([[0, 1, 2]]), torch.tensor([[PAD]])  # then what the decoder has so far",
        ),
    ),
)
