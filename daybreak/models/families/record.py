"""Record: all that the rest of the package has to know of one family, in one value."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from daybreak.core.shapes import NetworkShape, Shape
from daybreak.core.types import Specials

if TYPE_CHECKING:
    from torch import Tensor

    from daybreak.models.gpt import Gpt
    from daybreak.models.inference.decoder import Decoder
    from daybreak.models.module import LanguageModel


class Rung(Protocol):
    """Makes a shape of the family on a rung of the ladder; see models/ladder.py."""

    def __call__(
        self,
        layers: int,
        width: int,
        *,
        vocabulary: int,
        context_length: int,
        changes: Mapping[str, object] | None = None,
    ) -> NetworkShape: ...


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The tokens behind the tokenizer's own that a family's models have: one to pad with, and these."""

    mask: bool = False  # one that stands where a token is to be predicted
    sentinels: int = 0  # those that stand for spans of text that were taken out

    def behind(self, vocabulary: int) -> Specials:
        """Their ids, where the tokenizer has `vocabulary` tokens of its own."""
        first = vocabulary + 1
        mask = first if self.mask else None
        first += self.mask
        return Specials(pad=vocabulary, mask=mask, sentinels=tuple(range(first, first + self.sentinels)))


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates that are planned where nothing else is asked for (from runs of this project)."""

    muon: float = 0.02  # in small batches
    tables: float = 0.004  # of embedding and head, beside Muon
    # Of optimizers with one rate for all weights; `other` holds for those that are not named.
    single: Mapping[str, float] = field(
        default_factory=lambda: {"adamw": 3e-3, "adam": 3e-3, "sgd": 0.1, "adagrad": 1e-2, "adamw_rms": 2e-2}
    )
    other: float = 3e-3
    lowered: bool = True  # where training goes on from a checkpoint

    def one(self, optimizer: str) -> float:
        return self.single.get(optimizer, self.other)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a family's module is called with: int64 tensors, each [B, T] with a length of its own unless shared."""

    names: tuple[str, ...]
    lengths: tuple[str, ...]  # of each input: equal names are equal lengths
    of: "Callable[[Tensor], tuple[Tensor, ...]]"  # all inputs, from tokens [B, T]
    shortest: int = 1  # tokens of a text
    bounded: bool = False  # no text may be longer than the shape's context


@dataclass(frozen=True, kw_only=True)
class Words:
    """The family in the card of an exported model, and in the code that the card shows."""

    kind: str = "A model"
    does: str = "it was taught no task"
    task: str = "text-generation"  # of Hugging Face's hub
    pipeline: str = ""  # Markdown: how transformers uses the folder
    session: str = ""  # the last lines of a use in ONNX Runtime; PAD stands for the padding token
    inputs: tuple[str, str] = ("", "")  # a recorded graph is called with; and the line that makes them


def _never(shape: Shape) -> bool:
    return False


def _as_it_is(shape: NetworkShape, weights: "dict[str, Tensor]") -> "tuple[NetworkShape, dict[str, Tensor]]":
    return shape, weights


def _no_module(shape: Shape) -> "LanguageModel":
    raise TypeError("counts are no module")


def _plain(module: "Gpt") -> "Decoder":
    from daybreak.models.inference.decoder import Plain

    return Plain(module)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models. Reading a record imports nothing heavy: the functions in it import what they need.

    What stands here is read by planning, training, evaluation, views and exports, which compare no names of families.
    Its functions take shapes and modules of the family's own classes, in the order that the comments name them.
    """

    name: str
    shape: type[Shape]
    objective: str
    listed: bool = True  # can be asked for by name; the others come with a checkpoint
    variant: "Callable[..., Family] | None" = None  # the record of a shape, where shapes of the family differ

    # The module
    # Of a shape, not initialized. Raises UsageError: it cannot be.
    module: "Callable[..., LanguageModel]" = _no_module
    # Of a shape and its weights by name, where torch's way does not do.
    loaded: "Callable[..., LanguageModel] | None" = None
    decoder: "Callable[..., Decoder]" = _plain  # of the module
    # Of the module and the library of our compiled step, None where there is none.
    fast_decoder: "Callable[..., Decoder] | None" = None
    embedding: str = ""  # name of the tensor that tokens are looked up in
    head: str = ""  # of the one that they are predicted with
    past: bool = False  # called with keys and values of what came before as well, laid out as Qwen3 has them
    kernels_fit: Callable[..., bool] = _never  # whether our C kernels compute the layers of a shape

    # Text
    special_tokens: SpecialTokens | None = None
    around: tuple[str, ...] = ("end", "A")  # "end" stands for the token that ends a text, "A" for the text
    around_two: tuple[str, ...] = ("end", "A", "end", "B")
    padding_side: str = "right"
    lossless: bool = True  # its score needs a tokenizer that keeps every byte of the text

    # Planning
    rung: Rung | None = None
    longest_context: int | None = None  # that is planned
    optimizer: str = "adamw"  # the lowest loss in a given time (own runs)
    rates: Rates = field(default_factory=Rates)
    techniques: tuple[str, ...] = ()  # that its module has a place for, beside those that name it or suit all networks
    steps_merged: int = 1  # into one, where few tokens of a step are targets
    fitted: bool = False  # the scaling law and the rules for small texts were fitted on this family
    bits: float = 1.0  # times the bits per byte that the scaling law expects

    # Files
    layout: str = ""  # module of models/layouts for the class of transformers; empty: a class of our own
    ours_too: bool = True  # some shapes are written as a class of our own
    in_transformers: bool = False  # the module is that of transformers, and the config.json stays as it was read
    # Of a shape and its weights by name: both as that class has them.
    written_out: "Callable[..., tuple[NetworkShape, dict[str, Tensor]]]" = _as_it_is
    generation: Callable[[int, int], dict[str, int]] | None = None  # generation_config.json, of end and pad

    # Other programs
    used_as: str = ""  # the family whose inputs and outputs it has, where that is another one
    auto_class: str = "AutoModelForCausalLM"  # of transformers
    signature: Signature | None = None  # None: no graph is recorded
    not_recorded: str = ""  # why, in words
    continues: bool = False  # texts: it is exported with sampling, a chat template and a cache of what came before
    sentences: bool = False  # its states stand for texts: exported for sentence-transformers
    words: Words = field(default_factory=Words)

    def fields(self) -> tuple[str, ...]:
        """Of its shapes."""
        return tuple(field.name for field in dataclasses.fields(self.shape))  # type: ignore[arg-type]

    @property
    def counted(self) -> bool:
        """Made by counting, without steps."""
        return self.shape.counted

    @property
    def exported_as(self) -> str:
        return self.used_as or self.name
