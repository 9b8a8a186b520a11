"""Norms: what keeps the size of a state in bounds, computed in float32 whatever comes in."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPSILON = 1e-6
RUNNING_SHARE = 0.1  # of a new micro-batch in the running mean and variance


class RmsNorm(nn.Module):
    """Root-mean-square norm (arXiv:1910.07467), computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + NORM_EPSILON)
        return (self.weight * wide).to(x.dtype)


class LayerNorm(nn.Module):
    """Layer normalization (arXiv:1607.06450): the mean of a state is taken off, too; with a gain and a bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.weight.shape, self.weight, self.bias, NORM_EPSILON).to(x.dtype)


class BatchNorm(nn.Module):
    """Batch normalization (arXiv:1502.03167) over the rows and positions of a micro-batch; for comparison only.

    In training, the mean and variance are taken over all positions, so a position is told something of the ones
    after it, and of the other rows: the training loss is lower than what the model can do, and its figures are not to
    be believed. Evaluation and decoding use the running mean and variance, which are buffers, and look at nothing but
    the past. It is here so that this can be seen beside norms that do without.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            several = tuple(range(wide.ndim - 1))
            mean, variance = wide.mean(several), wide.var(several, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, RUNNING_SHARE)
                self.running_variance.lerp_(variance, RUNNING_SHARE)
        wide = (wide - mean) * torch.rsqrt(variance + NORM_EPSILON)
        return (self.weight * wide + self.bias).to(x.dtype)


def norm_of(kind: str, width: int) -> nn.Module:
    """kind: one of GptShape.CHOICES["norm"]."""
    return {"rms": RmsNorm, "layer": LayerNorm, "batch": BatchNorm}[kind](width)
