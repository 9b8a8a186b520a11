"""Traced: a module's graph, recorded once for every length and number of texts; ONNX, ExecuTorch and torch take it."""

import copy
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from daybreak.models.exports import Source

EXAMPLE_ROWS, EXAMPLE_LENGTH, EXAMPLE_PAST = 2, 3, 5  # none of them 1, which would be taken for a constant


Module = TypeVar("Module", bound=nn.Module)


@runtime_checkable
class Heads(Protocol):
    """Of a shape: what its keys and values have the size of."""

    key_value_heads: int
    head_dim: int


class Scoring(nn.Module):
    """Logits [B, T, known] of the tokens that stand for something."""

    def __init__(self, module: nn.Module, known: int) -> None:
        super().__init__()
        self.module, self.known = module, known

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*inputs)[..., : self.known]


class _Past:
    """As LayerCache, in tensors that grow: what was written over could not be recorded."""

    def __init__(self, k_BHSK: Tensor, v_BHSK: Tensor) -> None:
        self.k_BHSK, self.v_BHSK, self.length = k_BHSK, v_BHSK, k_BHSK.shape[2]

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        self.k_BHSK = torch.cat((self.k_BHSK, k_BHTK), 2)
        self.v_BHSK = torch.cat((self.v_BHSK, v_BHTK), 2)
        return self.k_BHSK, self.v_BHSK


class Continuing(nn.Module):
    """As Scoring, for GPT, with keys and values [B, H, S, K] of what came before; S may be 0."""

    def __init__(self, module: nn.Module, known: int) -> None:
        super().__init__()
        self.module, self.known = module, known

    def forward(self, input_ids: Tensor, past: list[Tensor]) -> tuple[Tensor, ...]:
        caches = [_Past(k, v) for k, v in zip(past[::2], past[1::2], strict=True)]
        logits = self.module(input_ids, caches)[..., : self.known]
        return (logits, *(part for cache in caches for part in (cache.k_BHSK, cache.v_BHSK)))


class _Nothing(dict[str, Any]):
    """Keeps nothing: what a module has kept of another length would be compared with this one, and recorded."""

    def get(self, name: str, instead: Any = None) -> Any:
        return instead


def refuses(source: Source) -> str:
    """Why no graph can be recorded, in words; empty where one can."""
    family = source.family
    if family.signature is not None:
        return ""
    return family.not_recorded or f"the inputs of the family {family.name} are not known"


def apart(module: Module) -> Module:
    """Another module on the same weights: what recording leaves in a module is no tensor that could be used again."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    copied = copy.deepcopy(module, shared)
    if "_told" in (kept := vars(copied)):
        kept["_told"] = _Nothing()
    return copied.eval()


def scoring(
    source: Source, *, longest: int | None = None, rows: int | None = None
) -> tuple[nn.Module, tuple[Tensor, ...], tuple[object, ...]]:
    """A module to record, its example inputs, and which of their sizes may change.

    longest: the most tokens of a text, for programs that reserve memory for it. rows: a fixed number of texts.
    """
    signature = source.family.signature
    assert signature is not None
    examples = signature.of(torch.zeros(rows or EXAMPLE_ROWS, 2 * EXAMPLE_LENGTH, dtype=torch.long))
    batch = torch.export.Dim("batch", min=1)
    longest = source.shape.context_length if signature.bounded else longest
    names = dict.fromkeys(signature.lengths)
    dims = {name: torch.export.Dim(name, min=signature.shortest, max=longest) for name in names}
    sizes = tuple({1: dims[name]} if rows else {0: batch, 1: dims[name]} for name in signature.lengths)
    return Scoring(apart(source.module), source.known), examples, (sizes,)


def continuing(
    source: Source,
) -> tuple[nn.Module, tuple[Tensor, list[Tensor]], tuple[object, ...], list[str], list[str]]:
    """As `scoring`, for GPT with its past; then the names of inputs and outputs, as Optimum and transformers.js have
    them.
    """
    shape, layers = source.shape, source.shape.layers
    assert isinstance(shape, Heads)
    size = (EXAMPLE_ROWS, shape.key_value_heads, EXAMPLE_PAST, shape.head_dim)
    past = [torch.zeros(size) for _ in range(2 * layers)]
    batch, sequence, before = (torch.export.Dim(name) for name in ("batch", "sequence", "past"))
    sizes = ({0: batch, 1: sequence}, [{0: batch, 2: before} for _ in past])
    tokens = torch.zeros(EXAMPLE_ROWS, EXAMPLE_LENGTH, dtype=torch.long)
    parts = [f"{index}.{part}" for index in range(layers) for part in ("key", "value")]
    names = ["input_ids", *(f"past_key_values.{part}" for part in parts)]
    outputs = ["logits", *(f"present.{part}" for part in parts)]
    return Continuing(apart(source.module), source.known), (tokens, past), sizes, names, outputs
