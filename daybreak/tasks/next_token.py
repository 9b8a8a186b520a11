"""Next token: each token from those before it, the objective of models that continue text."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from daybreak.data.batches import Batch
from daybreak.models.objectives import Head, following, full_logits, preceding


class NextToken:
    """Each token from those before it; rows [B, T + 1] are inputs and targets at once."""

    def __init__(
        self,
        head: Head = full_logits,
        labels: Callable[[Tensor], Tensor] = following,
        inputs: Callable[[Tensor], Tensor] = preceding,
    ) -> None:
        self.head, self.labels, self.inputs = head, labels, inputs

    def targets(self, batch: Batch) -> int:
        rows, width = batch.tokens.shape
        return rows * (width - 1)

    def __call__(self, module: Any, batch: Batch) -> Tensor:
        rows = batch.tokens
        hidden_ND, targets_N = module.hidden(self.inputs(rows)).flatten(0, 1), self.labels(rows).flatten()
        return self.head(hidden_ND, module.lm_head.weight, targets_N, module.shape.logit_cap)
