"""A family from outside the package: the next token from the last two, by two tables. See test_family_records.py."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from daybreak.core.shapes import NetworkShape
from daybreak.models.families import Family
from daybreak.models.ladder import padded
from daybreak.models.module import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ToyShape(NetworkShape):
    family: ClassVar[str] = "toy"
    logit_cap: ClassVar[float] = 0.0
    vocabulary: int
    layers: int
    width: int
    context_length: int
    tied: bool = False

    def check(self) -> None:
        assert self.width > 0

    def not_in_transformers(self) -> dict[str, Any]:
        return {"family": self.family}

    def matmul_parameters(self) -> int:
        return self.width**2 + self.vocabulary * self.width

    def parameters(self) -> int:
        return self.matmul_parameters() + self.vocabulary * self.width

    def flops_per_token(self) -> float:
        return 6.0 * self.matmul_parameters()

    def key(self) -> str:
        return f"toy-L{self.layers}-d{self.width}-V{self.vocabulary}-T{self.context_length}"


class Toy(LanguageModel):
    def __init__(self, shape: ToyShape) -> None:
        super().__init__()
        self.shape, self.compute_dtype = shape, torch.float32
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.before = nn.Linear(shape.width, shape.width, bias=False)
        self.lm_head = nn.Linear(shape.width, shape.vocabulary, bias=False)

    def initialize(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0.0, 0.1, generator=generator)

    def blocks(self) -> list[nn.Module]:
        return []

    def matrices(self) -> list[nn.Parameter]:
        return [self.before.weight]

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        return [self.embed_tokens.weight, self.lm_head.weight]

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        x_BTD = self.embed_tokens(tokens_BT)
        shifted_BTD = nn.functional.pad(x_BTD, (0, 0, 1, 0))[:, :-1]
        return (x_BTD + self.before(shifted_BTD)).to(self.compute_dtype)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        hidden_BTD = self.hidden(tokens_BT)
        return nn.functional.linear(hidden_BTD, self.lm_head.weight.to(hidden_BTD.dtype)).float()


class ToyDecoder:
    context = 1 << 20

    def __init__(self, module: Toy) -> None:
        self.module = module

    @contextlib.contextmanager
    def state(self) -> Iterator[Any]:
        yield ToyState(self.module)


class ToyState:
    def __init__(self, module: Toy) -> None:
        self.module, self.tokens = module, list[int]()

    @property
    def length(self) -> int:
        return len(self.tokens)

    def begin(self, tokens: Sequence[int]) -> Tensor:
        self.tokens = list(tokens)
        return self.module(torch.tensor([self.tokens[-2:]]))[0, -1]

    def step(self, token: int) -> Tensor:
        return self.begin([*self.tokens, token])


def rung(
    layers: int, width: int, *, vocabulary: int, context_length: int, changes: Mapping[str, Any] | None = None
) -> ToyShape:
    sizes = {"layers": 1, "width": width, "context_length": context_length, **(changes or {})}
    return ToyShape(vocabulary=padded(vocabulary), **sizes)


FAMILY = Family(
    name="toy",
    shape=ToyShape,
    objective="next_token",
    module=Toy,
    decoder=ToyDecoder,
    embedding="embed_tokens.weight",
    head="lm_head.weight",
    rung=rung,
)
