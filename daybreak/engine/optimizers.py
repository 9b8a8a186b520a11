"""Optimizers: Muon for hidden matrices with AdamW for the rest, and torch's own by name."""

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from daybreak.core.errors import UsageError, nearest
from daybreak.core.types import OPTIMIZERS, OptimizerChoice
from daybreak.engine.changes import Change

# Five steps of a composed polynomial that drives singular values in [0.001, 1] to 1 (Polar Express,
# arXiv:2505.16932). Fewer steps keep the last: they lift small values less, and none beyond what settles.
POLAR_EXPRESS = (
    (8.157, -22.483, 15.879),
    (4.043, -2.809, 0.500),
    (3.892, -2.772, 0.506),
    (3.286, -2.368, 0.464),
    (2.347, -1.710, 0.423),
)
NAMES = OPTIMIZERS
LEAST_SIZE = 1e-3  # of a weight, for the step of AdamWRms: one of zeros has to move, too


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Factors of the plan's rates at one moment of the progress."""

    learning_rate: float
    momentum: float = 1.0
    weight_decay: float = 1.0


def orthogonalized(updates_KMN: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Each matrix [M, N] of a stack with its singular values driven towards 1.

    Source: Muon (https://kellerjordan.github.io/posts/muon/) with Polar Express' coefficients.
    """
    x = updates_KMN.to(dtype)
    tall = x.shape[1] > x.shape[2]
    # A product with a matrix that is stored transposed takes up to twice as long on a CPU.
    x = (x.mT if tall else x).contiguous()
    x = iterated(x, torch.linalg.vector_norm(x, dim=(1, 2), dtype=torch.float32), steps)
    return x.mT if tall else x


def iterated(x_KMN: Tensor, norms_K: Tensor, steps: int) -> Tensor:
    """The iterations of `orthogonalized`, for wide matrices [M, N] with their Frobenius norms."""
    x = x_KMN / (norms_K * 1.02 + 1e-7).to(x_KMN.dtype)[:, None, None]
    for a, b, c in POLAR_EXPRESS[-steps:]:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def size_factor(shape: tuple[int, int]) -> float:
    """Of the rate of a weight [M, N]: tall ones take larger steps."""
    return max(1.0, shape[0] / shape[1]) ** 0.5


class Muon:
    """Momentum, orthogonalized, for 2-D weights; equal shapes are stacked into one product.

    W <- W - lr * wd * W - lr * sqrt(max(1, rows / columns)) * orthogonalized(Nesterov momentum of the gradient)
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        choice: OptimizerChoice,
        *,
        dtype: torch.dtype = torch.bfloat16,
        factors: Mapping[nn.Parameter, float] | None = None,
    ) -> None:
        """dtype: of the iteration's products; its errors are far below what the iteration leaves open.

        factors: of the rate, for weights that a module wants moved in smaller or larger steps than others.
        """
        self.choice, self.dtype, self.factors = choice, dtype, dict(factors or {})
        groups: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for weight in weights:
            groups[tuple(weight.shape)].append(weight)  # type: ignore[index]
        self.groups = dict(groups)
        self.momenta = {
            shape: torch.zeros(len(group), *shape, device=group[0].device) for shape, group in self.groups.items()
        }

    def amounts(self, rates: Rates) -> tuple[float, float, float]:
        """Momentum, rate of a wide weight, and what weight decay keeps."""
        rate = self.choice.learning_rate * rates.learning_rate
        keep = 1 - rate * self.choice.weight_decay * rates.weight_decay
        return self.choice.momentum * rates.momentum, rate, keep

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        momentum, rate, keep = self.amounts(rates)
        for shape, weights in self.groups.items():
            gradients = torch.stack([cast(Tensor, weight.grad) for weight in weights])
            velocity = self.momenta[shape].lerp_(gradients, 1 - momentum)
            update = orthogonalized(gradients.lerp_(velocity, momentum), self.choice.orthogonalize_steps, self.dtype)
            update = update.float().mul_(-rate * size_factor(shape))
            if self.factors:
                own = [self.factors.get(cast(nn.Parameter, weight), 1.0) for weight in weights]
                update.mul_(torch.tensor(own, device=update.device)[:, None, None])
            if keep != 1:
                torch._foreach_mul_(weights, keep)
            torch._foreach_add_(weights, update.unbind())

    def state(self) -> dict[str, Tensor]:
        return {f"muon.{rows}x{columns}": tensor for (rows, columns), tensor in self.momenta.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        for (rows, columns), tensor in self.momenta.items():
            tensor.copy_(state[f"muon.{rows}x{columns}"])

    def forget(self) -> None:
        """The momenta are those of a beginning."""
        for tensor in self.momenta.values():
            tensor.zero_()


class AdamW:
    """AdamW (arXiv:1711.05101) without decay, for tables and gains, by torch's step for all of them at once.

    torch's own class imports the whole compiler when it is made, which takes as long as ten steps of a small model.
    """

    def __init__(
        self,
        weights: list[nn.Parameter],
        rate: float,
        *,
        betas: tuple[float, float],
        epsilon: float,
        prefix: str = "adamw",
    ) -> None:
        """prefix: of the names in its state."""
        self.weights, self.rate, self.betas, self.epsilon, self.prefix = weights, rate, betas, epsilon, prefix
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]
        self.steps = [torch.zeros((), device=weight.device) for weight in weights]

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        gradients = [weight.grad for weight in self.weights]
        assert all(gradient is not None for gradient in gradients)
        adamw(
            cast(list[Tensor], self.weights),
            cast(list[Tensor], gradients),
            self.means,
            self.squares,
            [],
            self.steps,
            fused=_fused(self.weights),
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.rate * rates.learning_rate,
            weight_decay=0.0,
            eps=self.epsilon,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        parts = {"exp_avg": self.means, "exp_avg_sq": self.squares, "step": self.steps}
        return {
            f"{self.prefix}.{i}.{key}": tensor for key, tensors in parts.items() for i, tensor in enumerate(tensors)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def forget(self) -> None:
        """Both means are those of a beginning."""
        for tensor in self.state().values():
            tensor.zero_()


class AdamWRms(AdamW):
    """AdamW whose update of each weight is multiplied by the weight's own root mean square, at least `LEAST_SIZE`.

    W <- W - lr * wd * W - lr * max(1e-3, RMS(W)) * m / (sqrt(v) + eps), with m and v corrected for their beginning.
    A rate is so a share of the weight, as in Adafactor (arXiv:1804.04235, section 8); T5, which does not train by
    AdamW, does by this (arXiv:2309.02373).
    """

    def __init__(
        self,
        weights: list[nn.Parameter],
        rate: float,
        *,
        betas: tuple[float, float],
        epsilon: float,
        weight_decay: float = 0.0,
        prefix: str = "adamw_rms",
    ) -> None:
        super().__init__(weights, rate, betas=betas, epsilon=epsilon, prefix=prefix)
        self.weight_decay = weight_decay
        self.roots = torch.tensor([weight.numel() ** 0.5 for weight in weights], device=weights[0].device)

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        rate = self.rate * rates.learning_rate
        weights = cast(list[Tensor], self.weights)
        sizes = torch.stack(torch._foreach_norm(weights)).div_(self.roots).clamp_(min=LEAST_SIZE)
        if keep := rate * self.weight_decay * rates.weight_decay:
            torch._foreach_mul_(weights, 1 - keep)
        for index, own_rate in enumerate((rate * sizes).unbind()):
            gradient = self.weights[index].grad
            assert gradient is not None
            adamw(
                [weights[index]],
                [gradient],
                [self.means[index]],
                [self.squares[index]],
                [],
                [self.steps[index]],
                fused=_fused(self.weights),
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=own_rate,
                weight_decay=0.0,
                eps=self.epsilon,
                maximize=False,
            )


class FromTorch:
    """One of torch's optimizers behind the same three methods."""

    def __init__(self, optimizer: torch.optim.Optimizer, prefix: str) -> None:
        self.optimizer, self.prefix = optimizer, prefix
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]

    def step(self, rates: Rates) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rates.learning_rate
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Flat names, so that safetensors can hold it: prefix.parameter.key."""
        return {
            f"{self.prefix}.{index}.{key}": torch.as_tensor(value)
            for index, entries in self.optimizer.state_dict()["state"].items()
            for key, value in entries.items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        entries: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, value in state.items():
            prefix, _, rest = name.partition(".")
            if prefix == self.prefix:
                index, _, key = rest.partition(".")
                entries[int(index)][key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": dict(entries)})

    def forget(self) -> None:
        """What the steps have left is forgotten; Adagrad's sums, which it cannot do without, begin at nothing."""
        if isinstance(self.optimizer, torch.optim.Adagrad):
            for tensor in self.state().values():
                tensor.zero_()
        else:
            self.optimizer.state.clear()


class Optimizers:
    """What the loop steps: one optimizer a kind of weight."""

    def __init__(self, parts: list[Muon | AdamW | FromTorch], weights: list[nn.Parameter]) -> None:
        self.parts, self.weights = parts, weights

    def step(self, rates: Rates) -> None:
        for part in self.parts:
            part.step(rates)

    def clear(self) -> None:
        for weight in self.weights:
            weight.grad = None

    @property
    def overflowed(self) -> bool:
        """Whether the last gradients are not finite because they were scaled, and will be scaled less."""
        return False

    def gradient_norm(self) -> float:
        """Over all weights; not finite where any gradient is not."""
        norms = torch._foreach_norm([weight.grad for weight in self.weights if weight.grad is not None])
        return float(torch.linalg.vector_norm(torch.stack(norms)))

    def state(self) -> dict[str, Tensor]:
        return {name: tensor for part in self.parts for name, tensor in part.state().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        for part in self.parts:
            part.load(state)

    def changed(self, change: Change) -> None:
        """Momenta of steps that led to other weights would carry these away from where they are."""
        if change is Change.WEIGHTS:
            for part in self.parts:
                part.forget()


def check(choice: OptimizerChoice) -> None:
    """Raises UsageError."""
    if choice.name not in OPTIMIZERS:
        raise UsageError(
            "unknown optimizer", received=f"optimizer={choice.name}", attempt=nearest(choice.name, OPTIMIZERS)
        )


def make(
    choice: OptimizerChoice,
    matrices: list[nn.Parameter],
    others: list[nn.Parameter],
    *,
    dtype: torch.dtype = torch.bfloat16,
    factors: Mapping[nn.Parameter, float] | None = None,
) -> Optimizers:
    """dtype: of Muon's products. factors: of its rate, by weight. Raises UsageError: an unknown name."""
    check(choice)
    tables = [weight for weight in others if weight.ndim == 2]
    gains = [weight for weight in others if weight.ndim == 1]
    if choice.name in ("muon", "muon_rms"):
        # Tables see few of their rows in a step: a short first and a long second memory, no decay.
        beside = AdamW if choice.name == "muon" else AdamWRms
        side = beside([*tables, *gains], choice.table_learning_rate, betas=(0.8, 0.95), epsilon=1e-10)
        return Optimizers([Muon(matrices, choice, dtype=dtype, factors=factors), side], [*matrices, *others])
    if choice.name == "adamw_rms":
        return Optimizers(_rms_scaled(choice, matrices, [*tables, *gains]), [*matrices, *others])
    fused = {"fused": True} if _fused(others) else {}
    # The others of torch would add the decay to the gradient, which Adam's scale makes another thing of.
    decay = choice.weight_decay if choice.name == "adamw" else 0.0
    every = [
        {"params": matrices, "lr": choice.learning_rate, "weight_decay": decay},
        {"params": tables, "lr": choice.table_learning_rate, "weight_decay": 0.0},
        {"params": gains, "lr": choice.table_learning_rate, "weight_decay": 0.0},
    ]
    betas = {"betas": (0.9, 0.95), "eps": 1e-8}
    optimizer: torch.optim.Optimizer
    match choice.name:
        case "adamw":
            optimizer = torch.optim.AdamW(every, **betas, **fused)  # type: ignore[arg-type]
        case "adam":
            optimizer = torch.optim.Adam(every, **betas, **fused)  # type: ignore[arg-type]
        case "sgd":
            optimizer = torch.optim.SGD(every, momentum=choice.momentum, nesterov=choice.momentum > 0, **fused)
        case _:  # "adagrad"
            optimizer = torch.optim.Adagrad(every)
    return Optimizers([FromTorch(optimizer, choice.name)], [*matrices, *others])


def _rms_scaled(
    choice: OptimizerChoice, matrices: list[nn.Parameter], others: list[nn.Parameter]
) -> list[Muon | AdamW | FromTorch]:
    make = functools.partial(AdamWRms, betas=(0.9, 0.999), epsilon=1e-6)
    return [
        make(matrices, choice.learning_rate, weight_decay=choice.weight_decay, prefix="adamw_rms.matrices"),
        make(others, choice.table_learning_rate, prefix="adamw_rms.tables"),
    ]


def _fused(weights: list[nn.Parameter]) -> bool:
    """Whether torch has a step for all weights at once on their device."""
    return weights[0].device.type in ("cpu", "cuda")


def overhead(matrix_width: int, batch_tokens: int, steps: int) -> float:
    """Muon's share of the floating-point operations of forward and backward: about d / B an iteration."""
    return steps * matrix_width / batch_tokens if batch_tokens else math.inf
