"""Dropout on the embedding and on the residuals of each layer (arXiv:1207.0580, arXiv:1512.05287)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from daybreak.core.types import Decisions, Machine
from daybreak.engine.callbacks import StepCallback
from daybreak.models.gpt import Gpt
from daybreak.techniques import Context, Slot, Technique, passes

MASKS = Slot["Masks"]("dropout")


@dataclass(frozen=True, kw_only=True)
class Dropout(Technique):
    """Dropout (arXiv:1207.0580) with one mask for all positions of a row and both halves of a layer (arXiv:1512.05287).

    The masks are small and drawn outside the layers: random numbers inside a compiled layer cost a processor three
    quarters of its speed.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "against overfitting, which `early_stopping` ends by default"
    does: ClassVar[str] = "leaves out a tenth of the embedding and of what each layer adds, at random"
    refuses_when: ClassVar[str] = "in runs that see the text fewer than two times"
    default: ClassVar[bool] = False
    inside_layers: ClassVar[bool] = True
    rate: float = 0.1  # of what is left out
    least_passes: float = 2.0  # over the text; in fewer there is nothing that could be learnt by heart

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        if passes(plan) < self.least_passes:
            return f"the run reads the text {passes(plan):.1f} times; dropout helps only against overfitting"
        return None

    def module(self, module: Gpt, run: Context) -> tuple[Gpt, int]:
        places = 1 + len(module.blocks())
        masks = run.leave(MASKS, Masks(self.rate, places, run.plan.seed, module.lm_head.weight.device))
        module.dropout_fn = masks.drawn  # type: ignore[assignment]  # a tensor is a sequence of its rows
        return module, places

    def step(self, callbacks: list[StepCallback], run: Context) -> tuple[list[StepCallback], int]:
        """Nothing is followed: the masks' stream of random numbers goes into checkpoints."""
        return [*callbacks, run.take(MASKS)], 1


class Masks:
    """Draws what is left of the embedding and of each layer's residuals, 1 in expectation."""

    name = "dropout"

    def __init__(self, rate: float, places: int, seed: int, device: torch.device) -> None:
        self.rate, self.places = rate, places
        self.generator = torch.Generator(device).manual_seed(seed)

    def drawn(self, x: Tensor) -> Tensor:
        """Factors [places, B, 1, D] for an embedding [B, T, D]."""
        size = (self.places, x.shape[0], 1, x.shape[2])
        uniform = torch.rand(size, generator=self.generator, device=x.device)
        return (uniform >= self.rate).to(x.dtype) / (1 - self.rate)

    def __call__(self, module: nn.Module, progress: float) -> None:
        """After a step there is nothing to do."""

    def state(self) -> tuple[dict[str, Tensor], None]:
        return {"generator": self.generator.get_state()}, None

    def load(self, tensors: dict[str, Tensor], fact: None) -> None:
        self.generator.set_state(tensors["generator"].cpu())
