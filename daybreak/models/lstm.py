"""LSTM and plain RNN: the networks before Transformers, as baselines that are trained and scored as GPT is.

Axes in tensor names: B rows, T positions, D width, V vocabulary, L layers.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from daybreak.core.shapes import LstmShape
from daybreak.models.gpt import Embedding, Linear
from daybreak.models.inference.decoder import State
from daybreak.models.inference.rows import Rows, Slots
from daybreak.models.module import LanguageModel

FORGET_BIAS = 1.0  # cells begin by keeping what they hold (Gers et al. 2000, doi:10.1162/089976600300015015)
ENDLESS = 1 << 40  # tokens that a state holds: it is of one size, however long the text

Memory = tuple[Tensor, ...]  # the state of every layer [L, B, D]; of an LSTM its cells, too


class _Lstm(nn.LSTM):
    def reset_parameters(self) -> None:
        """First values come from `initialize`, or from what is read."""


class _Rnn(nn.RNN):
    def reset_parameters(self) -> None:
        """As above."""


class Lstm(LanguageModel):
    """A recurrent network. Raises UsageError: a shape that cannot be."""

    shape: LstmShape
    lm_head: Linear

    def __init__(self, shape: LstmShape) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.compute_dtype = torch.float32
        self.embed_tokens = Embedding(shape.vocabulary, shape.width)
        kind = _Lstm if shape.cell == "lstm" else _Rnn
        self.cells = kind(shape.width, shape.width, shape.layers, batch_first=True)
        self.lm_head = Linear(shape.width, shape.vocabulary)
        if shape.tied:
            self.lm_head.weight = self.embed_tokens.weight

    def initialize(self, seed: int) -> None:
        """Uniform in 1 / sqrt(D) as is usual for cells, with open forget gates; tables as in Gpt."""
        generator = torch.Generator().manual_seed(seed)
        width = self.shape.width
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.startswith("cells."):
                    weight.uniform_(-1 / math.sqrt(width), 1 / math.sqrt(width), generator=generator)
                    if "bias_ih" in name and self.shape.cell == "lstm":
                        weight[width : 2 * width] = FORGET_BIAS
                elif name.startswith("embed_tokens"):
                    weight.normal_(0.0, 1 / math.sqrt(width) if self.shape.tied else 1.0, generator=generator)
                else:
                    weight.normal_(0.0, 0.002, generator=generator)

    def blocks(self) -> list[nn.Module]:
        """None: a recurrence has nothing that a compiler could fuse across positions."""
        return []

    def matrices(self) -> list[nn.Parameter]:
        return [weight for weight in self.cells.parameters() if weight.ndim == 2]

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        hidden = {id(weight) for weight in self.matrices()}
        return [weight for weight in self.parameters() if id(weight) not in hidden]

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """States [B, T, D] of the last layer, each row from an empty memory on."""
        return self.remembered(tokens_BT, None)[0]

    def remembered(self, tokens_BT: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """As `hidden`, from a memory on, with the memory after it."""
        x_BTD = self.embed_tokens(tokens_BT).to(self.compute_dtype)
        B = tokens_BT.shape[0]
        count = 2 if self.shape.cell == "lstm" else 1
        size = (self.shape.layers, B, self.shape.width)
        memory = memory or tuple(torch.zeros(size, dtype=x_BTD.dtype, device=x_BTD.device) for _ in range(count))
        weights = [weight.to(x_BTD.dtype) for weight in self.cells._flat_weights if weight is not None]
        # Biases, no dropout, one direction, rows first.
        rest = (True, self.shape.layers, 0.0, self.training, False, True)
        if self.shape.cell == "lstm":
            y_BTD, *after = torch.lstm(x_BTD, memory, weights, *rest)
        else:
            y_BTD, *after = torch.rnn_tanh(x_BTD, memory[0], weights, *rest)
        return y_BTD, tuple(after)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits [B, T, V] in float32."""
        return self.lm_head(self.hidden(tokens_BT)).float()


class Remembering:
    """Decodes with the memory of the cells."""

    context = ENDLESS

    def __init__(self, module: Lstm) -> None:
        self.module = module

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        yield _Remembered(self.module)

    @contextlib.contextmanager
    def rows(self) -> Iterator[Rows]:
        yield _RememberedRows(self.module)


class _RememberedRows(Slots):
    """Each row's memory stands by itself; a step joins those of the rows that take it."""

    def __init__(self, module: Lstm) -> None:
        super().__init__()
        self.module = module
        self.memories: list[Memory] = []

    def grow(self, capacity: int) -> None:
        self.memories += [()] * (capacity - self.capacity)

    def move(self, source: int, target: int) -> None:
        self.memories[target] = self.memories[source]

    def first(self, slot: int, tokens: Sequence[int]) -> Tensor:
        rows = torch.tensor([list(tokens)], device=self.module.lm_head.weight.device)
        hidden_BTD, self.memories[slot] = self.module.remembered(rows, None)
        return self.module.lm_head(hidden_BTD[0, -1]).float()

    def next(self, slots: Sequence[int], tokens: Sequence[int]) -> Tensor:
        tokens_B1 = torch.tensor(tokens, device=self.module.lm_head.weight.device)[:, None]
        before = tuple(torch.cat(parts, 1) for parts in zip(*(self.memories[slot] for slot in slots), strict=True))
        hidden_B1D, after = self.module.remembered(tokens_B1, before)
        for index, slot in enumerate(slots):
            self.memories[slot] = tuple(part[:, index : index + 1].contiguous() for part in after)
        return self.module.lm_head(hidden_B1D[:, -1]).float()


class _Remembered:
    def __init__(self, module: Lstm) -> None:
        self.module, self.length = module, 0
        self.memory: Memory | None = None

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self.memory, self.length = None, 0
        return self._on(tokens)

    def step(self, token: int) -> Tensor:
        return self._on([token])

    def _on(self, tokens: Sequence[int]) -> Tensor:
        self.length += len(tokens)
        rows = torch.tensor([list(tokens)], device=self.module.lm_head.weight.device)
        hidden_BTD, self.memory = self.module.remembered(rows, self.memory)
        return self.module.lm_head(hidden_BTD[0, -1]).float()
