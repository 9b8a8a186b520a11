"""Snippets: example code for using an exported model, by format and family."""

from daybreak.models import families

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
CACHED = """# The cache of keys and values is empty at first; the outputs after the logits are the next cache.
past = {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32) for i in session.get_inputs()[1:]}
logits, *present = session.run(None, {"input_ids": ids, **past})
```"""

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
    """Markdown. family: the family of the exported model.

    cached: whether the graph takes a cache of keys and values. pad: the first token of an encoder-decoder's output.
    """
    if to == "gguf":
        return LLAMA_CPP.format(name=name)
    words = families.named(family).words
    if to == "hf":
        return words.pipeline
    if to == "onnx":
        return (SESSION + (CACHED if cached else words.session)).replace("PAD", str(pad))
    inputs, made = words.inputs
    graph = EXECUTORCH if to == "executorch" else TORCH_EXPORT
    return graph.format(made=made.replace("PAD", str(pad)), inputs=inputs)
