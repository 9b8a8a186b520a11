"""Classes of transformers as modules like our own; the one file that imports that library.

Axes in tensor names: B rows, T positions, P positions asked for in a row, D width, V vocabulary.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.errors import DataError, MissingPackage
from daybreak.core.shapes import ForeignShape
from daybreak.models.gpt import LONGEST_EXPLICIT
from daybreak.models.module import LanguageModel
from daybreak.models.objectives import capped

# What the classes leave out at random while they train; here that is a technique's to say.
DROPOUTS = (
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "embd_pdrop",
    "hidden_dropout_prob",
    "resid_pdrop",
)


class Cache:
    """Keys and values of all layers for decoding; `length` positions are filled."""

    def __init__(self, config: Any) -> None:
        self.held = _library().DynamicCache(config=config)

    @property
    def length(self) -> int:
        return int(self.held.get_seq_length())


class Foreign(LanguageModel):
    """A class of transformers as a family's module: see models/gpt.py's Gpt for what its further attributes mean.

    Parameters have the class' names. They are kept in float32 and multiplied in `compute_dtype` under torch.autocast,
    which leaves norms, sums and what runs through the layers in float32: as fast as weights that are cast beforehand,
    within the measurement, and with smaller errors. The class' own dropout is off.
    """

    shape: ForeignShape
    inside: Any  # of transformers

    def __init__(self, shape: ForeignShape, inside: Any) -> None:
        """inside: an instance of the class, whose parts become parts of this module."""
        super().__init__()
        self.shape = shape
        self.compute_dtype = torch.float32
        for name, part in inside.named_children():
            self.add_module(name, part)
        # Not as a part of its own, under which every weight would have a second name.
        object.__setattr__(self, "inside", inside)
        from transformers.modeling_layers import GradientCheckpointingLayer

        self._blocks = [part for part in inside.modules() if isinstance(part, GradientCheckpointingLayer)]
        # For techniques, as in Gpt; these two have no place in the class.
        self.attention_mask_fn: Callable[[Tensor], Tensor] | None = None
        self.dropout_fn: Callable[[Tensor], Sequence[Tensor]] | None = None
        self._layer_wrapper: Callable[..., Tensor] | None = None
        self._attention = ""

    def train(self, mode: bool = True) -> "Foreign":
        self.inside.train(mode)
        return super().train(mode)

    @property
    def layer_wrapper(self) -> Callable[..., Tensor] | None:
        """In training, calls a layer with its arguments."""
        return self._layer_wrapper

    @layer_wrapper.setter
    def layer_wrapper(self, call: Callable[..., Tensor] | None) -> None:
        self._layer_wrapper = call
        for block in self._blocks:
            plain = functools.partial(type(block).forward, block)
            block.forward = plain if call is None else _calling(call, plain, block)

    def initialize(self, seed: int) -> None:
        """Nothing: the class has first values of its own, and what is trained was trained before."""

    def blocks(self) -> list[nn.Module]:
        return list(self._blocks)

    def matrices(self) -> list[nn.Parameter]:
        """Hidden matrices. Those of GPT-2 are [inputs, outputs], all others [outputs, inputs]."""
        tables = {id(part.weight) for part in self.inside.modules() if isinstance(part, nn.Embedding)}
        found = (weight for block in self._blocks for weight in block.parameters())
        return [weight for weight in found if weight.ndim == 2 and id(weight) not in tables]

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        hidden = {id(weight) for weight in self.matrices()}
        return [weight for weight in self.parameters() if id(weight) not in hidden]

    @property
    def device(self) -> torch.device:
        return self.inside.get_input_embeddings().weight.device  # type: ignore[no-any-return]

    def _narrow(self) -> contextlib.AbstractContextManager[object]:
        if self.compute_dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.compute_dtype)

    def _attend(self, length: int) -> None:
        """On a CPU plain products are a quarter faster than the fused kernel in bfloat16, and not in float32."""
        narrow = self.compute_dtype != torch.float32 and self.device.type == "cpu"
        attention = "eager" if narrow and self.training and length <= LONGEST_EXPLICIT else "sdpa"
        if attention != self._attention:
            self.inside.set_attn_implementation(attention)
            self._attention = attention

    def _states(self, tokens_BT: Tensor, **named: Any) -> Tensor:
        """What the class gives back before its head [B, T, D], in `compute_dtype`.

        Compiled layers serve training only: other rows have any length.
        """
        self._attend(tokens_BT.shape[1])
        plain = contextlib.nullcontext() if self.training else torch.compiler.set_stance("force_eager")
        with self._narrow(), plain:
            states = self.inside.base_model(input_ids=tokens_BT, **named).last_hidden_state
        return states.to(self.compute_dtype)  # type: ignore[no-any-return]


class ForeignDecoder(Foreign):
    """Each token from those before it."""

    lm_head: nn.Linear

    def hidden(self, tokens_BT: Tensor, caches: list[Cache] | None = None) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`."""
        return self._states(
            tokens_BT, use_cache=caches is not None, past_key_values=caches[0].held if caches is not None else None
        )

    def forward(self, tokens_BT: Tensor, caches: list[Cache] | None = None) -> Tensor:
        """Logits [B, T, V] in float32."""
        x_BTD = self.hidden(tokens_BT, caches)
        return capped(F.linear(x_BTD, self.lm_head.weight.to(x_BTD.dtype)).float(), self.shape.logit_cap)

    def new_caches(self, rows: int, length: int) -> list[Cache]:
        """One for all layers, which grows as it is filled."""
        return [Cache(self.inside.config)]


class ForeignEncoder(Foreign):
    """Tokens that are hidden from it, from those on both sides; the public part is models/bert.py's Bert's."""

    @property
    def lm_head(self) -> nn.Linear:
        return self.inside.get_output_embeddings()  # type: ignore[no-any-return]

    def hidden(self, tokens_BT: Tensor, where_BP: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        """Final hidden states [B, T, D] in `compute_dtype`, or only those of the positions `where`, [B, P, D].

        attention_mask: [B, T], 0 where a row has no token any more.
        """
        x_BTD = self._states(tokens_BT, attention_mask=attention_mask)
        if where_BP is None:
            return x_BTD
        B, T, D = x_BTD.shape
        rows_BP = where_BP + T * torch.arange(B, device=where_BP.device)[:, None]
        return x_BTD.reshape(B * T, D).index_select(0, rows_BP.flatten()).view(B, -1, D)

    def predicting(self, hidden: Tensor) -> Tensor:
        """Final states [..., D] as they are compared with the rows of the table."""
        with self._narrow():
            return self.inside.cls.predictions.transform(hidden.float()).to(self.compute_dtype)  # type: ignore[no-any-return]

    def forward(
        self, tokens_BT: Tensor, attention_mask: Tensor | None = None, where_BP: Tensor | None = None
    ) -> Tensor:
        """Logits [B, T, V] in float32, or [B, P, V]; see `hidden`."""
        x = self.predicting(self.hidden(tokens_BT, where_BP, attention_mask))
        return F.linear(x, self.lm_head.weight.to(x.dtype), self.lm_head.bias.to(x.dtype)).float()


KINDS: dict[str, type[Foreign]] = {"decoder": ForeignDecoder, "encoder": ForeignEncoder}


def foreign(shape: ForeignShape, weights: Mapping[str, Tensor] | None = None, *, seed: int = 0) -> Foreign:
    """The module of the shape, on the CPU, ready to train.

    weights: by the class' names, float32, which the module takes over without a copy; without them, those that the
    class begins with, by the seed. Raises MissingPackage: transformers is not installed, or too old for the class.
    Raises DataError: the class does not take the config, or weights are missing. Raises UsageError: a shape that cannot
    be.
    """
    shape.check()
    library = _library()
    kind = getattr(library, shape.architecture, None)
    if kind is None:
        raise MissingPackage(
            "this version of transformers does not have the class",
            received=f"{shape.architecture}, transformers {library.__version__}",
            attempt="run pip install --upgrade transformers",
        )
    with _quiet(library):
        try:
            config = kind.config_class.from_dict({**shape.config, "vocab_size": shape.vocabulary})
            for name in DROPOUTS:
                if hasattr(config, name):
                    setattr(config, name, 0.0)
            if weights is None:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    inside = kind(config)
            else:
                inside = kind.from_pretrained(None, config=config, state_dict=dict(weights), dtype=torch.float32)
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            raise DataError(
                "transformers cannot build the model",
                received=f"{shape.architecture}: {error}",
                attempt="use the checkpoint's config.json as it was written, or another version of transformers",
            ) from None
    module = KINDS[shape.kind](shape, inside.float())
    if weights is not None and (unlike := _unlike(module, weights)):
        raise DataError(
            "transformers did not load the weights unchanged",
            received=f"{shape.architecture}: {', '.join(unlike[:3])}",
            attempt="use the version of transformers that the checkpoint was written with",
        )
    return module.train()


def _unlike(module: Foreign, weights: Mapping[str, Tensor]) -> list[str]:
    """Names of parameters that are not the weights of that name."""
    named = dict(module.named_parameters())
    return [name for name, weight in weights.items() if name not in named or not torch.equal(named[name], weight)] + [
        name for name in named if name not in weights
    ]


def _calling(call: Callable[..., Any], plain: Callable[..., Any], block: nn.Module) -> Callable[..., Any]:
    def forward(*inputs: Any, **named: Any) -> Any:
        if not block.training:
            return plain(*inputs, **named)
        return call(functools.partial(plain, **named), *inputs)

    return forward


def _library() -> Any:
    """transformers. Raises MissingPackage: it is not installed."""
    try:
        import transformers
    except ImportError:
        raise MissingPackage(
            "this checkpoint needs transformers, which is not installed",
            received="a class that daybreak has no module of its own for",
            attempt="run pip install '.[hf]' in the checkout",
        ) from None
    return transformers


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without its bars and warnings, which are not of the user's concern: what matters is compared afterwards."""
    log = library.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
