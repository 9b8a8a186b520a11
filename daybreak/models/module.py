"""Module: what every family's network offers to those who train, score and export it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from daybreak.core.shapes import NetworkShape


class LanguageModel(nn.Module):
    """A network that predicts tokens. Called with the inputs that its family takes, it gives logits [B, T, V], float32.

    hidden: called likewise, the states [B, T, D] that `lm_head` makes logits of.
    """

    shape: NetworkShape  # of the family's class
    compute_dtype: torch.dtype  # of what is computed; weights stay in float32
    hidden: Callable[..., Tensor]

    if TYPE_CHECKING:  # a real property would stand in the way of a part of this name

        @property
        def lm_head(self) -> nn.Linear:
            """The output layer: its weight is [V, D]."""

    def initialize(self, seed: int) -> None:
        """First values of all weights, the same for a seed on every machine."""
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """The layers, which techniques wrap and compile one by one; none where that is not possible."""
        raise NotImplementedError

    def matrices(self) -> list[nn.Parameter]:
        """The weights that states are multiplied with, which Muon makes orthogonal steps for."""
        raise NotImplementedError

    def embeddings_and_norms(self) -> list[nn.Parameter]:
        """All other weights: embeddings, head, norms and biases."""
        raise NotImplementedError

    def predicting(self, hidden: Tensor) -> Tensor:
        """Final states [..., D] as the output layer takes them; encoders have a layer in between."""
        return hidden

    def rate_factors(self) -> dict[nn.Parameter, float]:
        """Factors of the learning rate, for weights that are to move in smaller or larger steps than others."""
        return {}
