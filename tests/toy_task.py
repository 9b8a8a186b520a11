"""A task from outside the package: is a row, or a token, of the small or of the large tokens? See test_tasks.py."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daybreak.core.metrics import Metric
from daybreak.core.types import Corpus, Plan
from daybreak.data.batches import Batch
from daybreak.tasks.scoring import Hidden

MIDDLE = 128  # large tokens begin here
ACCURACY = Metric(
    name="accuracy", unit="share", words="right", numerator="correct", denominator="tokens", higher_is_better=True
)


class Labels:
    """Cross-entropy of the labels, from the hidden states of each token or from their mean over a row."""

    def __init__(self, task: "KindOfRow") -> None:
        self.task = task

    def targets(self, batch: Batch) -> int:
        assert batch.labels is not None
        return batch.labels.numel()

    def outputs(self, module: Any, batch: Batch) -> Tensor:
        hidden_BTD = module.hidden(batch.tokens[:, :-1]).float()
        return module.classifier(hidden_BTD if self.task.of_tokens else hidden_BTD.mean(1))  # type: ignore[no-any-return]

    def __call__(self, module: Any, batch: Batch) -> Tensor:
        assert batch.labels is not None, "rows without labels reached the loss"
        logits_NC = self.outputs(module, batch).reshape(-1, 2)
        return F.cross_entropy(logits_NC, batch.labels.flatten(), reduction="sum")

    @torch.no_grad()
    def scored(self, module: Any, batch: Batch) -> tuple[Tensor, Tensor, None]:
        assert batch.labels is not None
        logits_NC, labels_N = self.outputs(module, batch).reshape(-1, 2), batch.labels.flatten()
        return F.cross_entropy(logits_NC, labels_N, reduction="none"), self.task.decode(logits_NC) == labels_N, None


class KindOfRow:
    """One class for each row."""

    name, metric, scored_share, of_tokens = "kind_of_row", ACCURACY, 1.0, False

    def expected(self, bits_per_byte: float, bytes_per_token: float, tokens: float) -> float:
        return 0.5

    def batch(self, batch: Batch) -> Batch:
        text_BT = batch.tokens[:, :-1]
        labels = text_BT >= MIDDLE if self.of_tokens else text_BT.float().mean(1) >= MIDDLE
        return Batch(batch.tokens, labels=labels.long())

    def head(self, module: Any, seed: int) -> list[nn.Parameter]:
        module.lm_head.weight.requires_grad_(False)
        module.classifier = nn.Linear(module.shape.width, 2, bias=False)
        nn.init.normal_(module.classifier.weight, std=0.02, generator=torch.Generator().manual_seed(seed))
        return [module.classifier.weight]

    def loss(self, decisions: Any) -> Labels:
        return Labels(self)

    def scorer(self, decisions: Any, tokenizer: Any) -> Hidden:
        return Hidden(Labels(self), tokenizer, every=True, label=self.batch)

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def floor(self, corpus: Corpus) -> float | None:
        """The share of the more frequent class, which is what guessing it always gets."""
        return 0.5

    def filler(self, module: Any, tokenizer: Any, plan: Plan) -> None:
        return None

    def sample(self, plan: Plan, module: Any, tokenizer: Any, tokens: Sequence[int]) -> tuple[str, str]:
        batch = self.batch(Batch(torch.tensor([[*tokens, 0]])))
        return "", str(self.decode(Labels(self).outputs(module, batch)).tolist())


class KindOfToken(KindOfRow):
    """One class for each token."""

    name, of_tokens = "kind_of_token", True


TASK = KindOfRow()
