"""Marks: the held-out losses that a run was scored with on its way, and the weights of the best of them."""

import math

import torch
from torch import Tensor, nn

from daybreak.core.values import Json
from daybreak.models.gpt import tensors_of


class Marks:
    """A follower of every run: whatever the techniques do, the weights of the best mark are there at the end.

    A run that goes back to a checkpoint keeps them: what was scored, was reached.
    """

    name, survives = "marks", True

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.best: dict[str, Tensor] = {}  # on the host, so that the device's memory is left to the training
        self.least, self.progress = math.inf, 0.0  # the loss of the best mark, and when it was

    def __call__(self, module: nn.Module, progress: float) -> None:
        """After a step there is nothing to do; marks come by `validated`."""

    @torch.no_grad()
    def validated(self, module: nn.Module, progress: float, loss: float) -> None:
        self.losses.append(loss)
        if loss < self.least:
            current = tensors_of(module)
            if not self.best:
                self.best = {name: torch.empty_like(weight, device="cpu") for name, weight in current.items()}
            for name, weight in current.items():
                self.best[name].copy_(weight)
            self.least, self.progress = loss, progress

    @torch.no_grad()
    def put_back(self, module: nn.Module) -> None:
        """The weights of the best mark into the module."""
        for name, weight in tensors_of(module).items():
            weight.copy_(self.best[name])

    def state(self) -> tuple[dict[str, Tensor], Json]:
        return self.best, {"losses": self.losses, "least": self.least if self.best else None, "progress": self.progress}

    def load(self, best: dict[str, Tensor], facts: Json) -> None:
        self.best, self.losses = {name: weight.cpu() for name, weight in best.items()}, list(facts["losses"])
        self.least = math.inf if facts["least"] is None else facts["least"]
        self.progress = facts["progress"]
