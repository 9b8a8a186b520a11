"""Snippets: how an exported model is used in the program it was made for, by format and family."""

PIPELINE = """```python
from transformers import pipeline

write = pipeline("text-generation", model="PATH/OF/THIS/FOLDER")
print(write("Once upon a time")[0]["generated_text"])
```"""

FILLING = """```python
from transformers import pipeline

fill = pipeline("fill-mask", model="PATH/OF/THIS/FOLDER")
for guess in fill(f"Once upon a {fill.tokenizer.mask_token}."):
    print(guess["score"], guess["token_str"])
```"""

SENTENCES = """```python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("PATH/OF/THIS/FOLDER").encode(["Once upon a time", "Long ago"])
```"""

SPANS = """```python
from transformers import AutoTokenizer, T5ForConditionalGeneration

tokenizer = AutoTokenizer.from_pretrained("PATH/OF/THIS/FOLDER")
model = T5ForConditionalGeneration.from_pretrained("PATH/OF/THIS/FOLDER")
text = tokenizer("Once upon a <extra_id_0> there was a king.", return_tensors="pt")
print(tokenizer.decode(model.generate(**text, max_new_tokens=20)[0]))
```"""

LLAMA_CPP = """```bash
llama-cli -m model.gguf -no-cnv -p "Once upon a time" -n 100
ollama create {name} -f Modelfile && ollama run {name} "Once upon a time"
```"""

SESSION = """```python
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

session = onnxruntime.InferenceSession("onnx/model.onnx")
ids = np.array([Tokenizer.from_file("tokenizer.json").encode("Once upon a time").ids])
"""
SESSIONS = {
    "cached": SESSION
    + """# Keys and values of what came before: none yet. The outputs after the logits are those of the next call.
past = {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32) for i in session.get_inputs()[1:]}
logits, *present = session.run(None, {"input_ids": ids, **past})
```""",
    "gpt": SESSION
    + """[logits] = session.run(None, {"input_ids": ids})
```""",
    "bert": SESSION
    + """[logits] = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
```""",
    "t5": SESSION
    + """begun = np.array([[PAD]])  # what the decoder has so far, behind the token that it begins with
[logits] = session.run(None, {"input_ids": ids, "decoder_input_ids": begun})
```""",
}

# What a recorded graph is called with, and what these names stand for.
INPUTS = {
    "gpt": ("ids", "ids = torch.tensor([[0, 1, 2]])"),
    "bert": ("ids, torch.ones_like(ids)", "ids = torch.tensor([[0, 1, 2]])  # then 1 where there is a token"),
    "t5": (
        "ids, begun",
        "ids, begun = torch.tensor([[0, 1, 2]]), torch.tensor([[PAD]])  # then what the decoder has so far",
    ),
}

EXECUTORCH = """```python
import torch
from executorch.runtime import Runtime

program = Runtime.get().load_program("model.pte")
{made}
[logits] = program.load_method("forward").execute([{inputs}])
```"""

TORCH_EXPORT = """```python
import torch

model = torch.export.load("model.pt2").module()
{made}
logits = model({inputs})
```"""


def snippet(to: str, family: str, *, name: str, cached: bool, pad: int) -> str:
    """Markdown. family: whose inputs the model has.

    cached: whether its graph takes keys and values of what came before. pad: what a decoder behind an encoder begins
    with.
    """
    if to == "gguf":
        return LLAMA_CPP.format(name=name)
    if to == "hf":
        return {"bert": f"{FILLING}\n\n{SENTENCES}", "t5": SPANS}.get(family, PIPELINE)
    if to == "onnx":
        return SESSIONS["cached" if cached else family].replace("PAD", str(pad))
    inputs, made = INPUTS[family]
    graph = EXECUTORCH if to == "executorch" else TORCH_EXPORT
    return graph.format(made=made.replace("PAD", str(pad)), inputs=inputs)
