"""What all shapes share, and what those of networks do."""

import dataclasses
from typing import ClassVar, Self

from daybreak.core.errors import UsageError
from daybreak.core.values import Tagged, Value, plain


class Shape(Tagged):
    """What all shapes share. counted: the model is made by counting, without steps; else it is a network."""

    counted: ClassVar[bool] = False
    vocabulary: int

    def parameters(self) -> int:
        raise NotImplementedError

    def flops_per_token(self) -> float:
        raise NotImplementedError

    def key(self) -> str:
        """A name that differs wherever the shape does."""
        raise NotImplementedError

    def in_words(self) -> str:
        return self.key()


class NetworkShape(Shape):
    """What the shapes of networks share: whether a class that transformers has computes what they do."""

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {}  # the values of fields that are words
    OPTIONS: ClassVar[tuple[str, ...]] = ()  # fields that came after the first plan files: named only where taken
    layers: int
    width: int
    vocabulary: int
    context_length: int
    tied: bool

    @property
    def logit_cap(self) -> float:
        """Logits are cap * tanh(logit / cap); 0: as they are. Shapes that can cap have a field of this name."""
        return 0.0

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together."""
        raise NotImplementedError

    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with; the head once, the embedding look-ups not."""
        raise NotImplementedError

    def non_default(self) -> dict[str, object]:
        """The options that were taken, by name."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name in self.OPTIONS if (value := getattr(self, name)) != defaults[name]}

    def not_in_transformers(self) -> dict[str, object]:
        """What the stock class has no place for, by name."""
        return {}

    def stored_layers(self) -> int:
        """Layers with weights of their own; of two stacks, the longer one."""
        return self.layers

    def layers_in_words(self) -> str:
        return str(self.layers)

    def with_rows(self, rows: int, stored: int) -> Self:
        """The shape with so many rows in its tables. stored: all weights that it then has."""
        return self.replace(vocabulary=rows)

    def depth(self) -> int:
        """Layers that are computed for a window of text."""
        return self.layers

    def scores(self) -> int:
        """Weights of attention that a token of text has, in all layers and heads."""
        return 0

    def native(self) -> bool:
        return not self.not_in_transformers()


def network_of(shape: Shape) -> NetworkShape | None:
    """The shape, where it is that of a network."""
    return shape if isinstance(shape, NetworkShape) else None


def sizes_below_one(shape: Value) -> list[str]:
    sizes = {name: value for name, value in plain(shape).items() if type(value) is int}
    return [f"{name}={value}" for name, value in sizes.items() if value < 1]


def refuse(wrong: list[str]) -> None:
    if wrong:
        raise UsageError(
            "this model shape is not possible",
            received="; ".join(wrong),
            attempt="leave out these settings: `daybreak plan` then chooses them",
        )
