"""bert: an encoder that tells what stands behind masks, of ModernBERT's class."""

from typing import TYPE_CHECKING

from daybreak.core.shapes import BertShape
from daybreak.models import ladder
from daybreak.models.families.record import Family, Rates, Signature, SpecialTokens, Words

if TYPE_CHECKING:
    from torch import Tensor

    from daybreak.models.bert import Bert


def _module(shape: BertShape) -> "Bert":
    from daybreak.models.bert import Bert

    return Bert(shape)


def _inputs(tokens: "Tensor") -> "tuple[Tensor, ...]":
    import torch

    return tokens, torch.ones_like(tokens)


SIGNATURE = Signature(names=("input_ids", "attention_mask"), lengths=("sequence", "sequence"), of=_inputs)
WORDS = Words(
    kind="An encoder",
    does="it tells which tokens stand behind masks, and its states stand for texts; it was taught no task",
    task="fill-mask",
    pipeline="""```python
from transformers import pipeline

fill = pipeline("fill-mask", model="PATH/OF/THIS/FOLDER")
for guess in fill(f"Once upon a {fill.tokenizer.mask_token}."):
    print(guess["score"], guess["token_str"])
```

```python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("PATH/OF/THIS/FOLDER").encode(["Once upon a time", "Long ago"])
```""",
    session="""[logits] = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
```""",
    inputs=("ids, torch.ones_like(ids)", "ids = torch.tensor([[0, 1, 2]])  # then 1 where there is a token"),
)
FAMILY = Family(
    name="bert",
    shape=BertShape,
    objective="masked_tokens",
    module=_module,
    embedding="model.embeddings.tok_embeddings.weight",
    head="decoder.weight",
    special_tokens=SpecialTokens(mask=True),
    around=("end", "A", "end"),
    around_two=("end", "A", "end", "B", "end"),
    lossless=False,
    rung=ladder.bert,
    optimizer="muon",
    rates=Rates(muon=0.01, tables=0.005),
    layout="modernbert",
    ours_too=False,
    auto_class="AutoModelForMaskedLM",
    signature=SIGNATURE,
    sentences=True,
    words=WORDS,
)
