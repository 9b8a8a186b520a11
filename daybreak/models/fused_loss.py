"""Cross-entropy fused with the head: logits exist for one chunk of rows at a time, never all at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_BYTES = 8 * 2**20  # of float32 logits; about what the caches of a core and its neighbours hold


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradient of a chunk is softmax minus one-hot, so it is taken while its logits are still at hand.

    Backward then only scales: a summed loss is a scalar, and its gradient a factor.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, rows: int, cap: float, bias_V: Tensor | None
    ) -> Tensor:
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        weight = head_VD.to(hidden_ND.dtype)
        bias = None if bias_V is None else bias_V.to(hidden_ND.dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        gradient_hidden = torch.empty_like(hidden_ND) if needs_gradient else None
        gradient_head = torch.zeros_like(head_VD) if needs_gradient else None
        gradient_bias = None if bias_V is None else torch.zeros_like(bias_V)
        for start in range(0, hidden_ND.shape[0], rows):
            chunk, targets = hidden_ND[start : start + rows], targets_N[start : start + rows, None]
            logits = F.linear(chunk, weight, bias)
            bounded = torch.tanh(logits.float() / cap) if cap else None
            log_probabilities = torch.log_softmax(logits if bounded is None else cap * bounded, -1, dtype=torch.float32)
            total -= log_probabilities.gather(1, targets).sum()
            if gradient_hidden is None or gradient_head is None:
                continue
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(1, targets, gradient.new_full((1, 1), -1.0).expand_as(targets))
            if bounded is not None:
                gradient *= 1 - bounded.square()  # the slope of cap * tanh(logit / cap)
            if gradient_bias is not None:
                gradient_bias += gradient.sum(0)
            narrow = gradient.to(hidden_ND.dtype)
            torch.mm(narrow, weight, out=gradient_hidden[start : start + rows])
            gradient_head += narrow.t() @ chunk
        ctx.save_for_backward(gradient_hidden, gradient_head, gradient_bias)
        return total

    @staticmethod
    def backward(ctx, scale: Tensor):  # type: ignore[override]
        gradient_hidden, gradient_head, gradient_bias = ctx.saved_tensors
        of_bias = None if gradient_bias is None else gradient_bias * scale
        return gradient_hidden * scale.to(gradient_hidden.dtype), gradient_head * scale, None, None, None, of_bias


def chunked(
    hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, cap: float = 0.0, bias_V: Tensor | None = None
) -> Tensor:
    """Summed cross-entropy in nats; equal to `objectives.full_logits` up to rounding."""
    rows = max(64, CHUNK_BYTES // (4 * head_VD.shape[0]))
    return _ChunkedCrossEntropy.apply(hidden_ND, head_VD, targets_N, rows, cap, bias_V)
