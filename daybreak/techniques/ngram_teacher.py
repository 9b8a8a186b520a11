"""Distillation from an n-gram model: some targets are drawn from its predictions, fewer as the run goes on."""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from daybreak.core.types import Decisions, Machine
from daybreak.data.batches import Batch, Windows
from daybreak.engine.callbacks import StepCallback
from daybreak.engine.losses import TokenLoss
from daybreak.models.ngram.cost import LEAST_TOKENS, countable
from daybreak.models.ngram.kneser_ney import KneserNey, count_beginning
from daybreak.techniques import Context, Reached, Slot, Technique

TEACHER = Slot[KneserNey]("ngram_teacher")
REACHED = Slot[Reached]("ngram_teacher.reached")


@dataclass(frozen=True, kw_only=True)
class NgramTeacher(Technique):
    """Distillation (arXiv:1503.02531) from a teacher that is counted in a second. In the place of all probabilities of
    the teacher stands one token drawn by them, whose gradient is the same in expectation (arXiv:2503.16870): so the
    head needs no change. `model/` stays what it is, and the teacher is not kept.

    The loss that is logged is that of the targets as they were drawn. Random numbers follow from the rows themselves,
    so that a resumed run draws the same.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "it teaches early what `ngram_mix` adds at the end anyway"
    does: ClassVar[str] = "a share of the targets drawn from counts of the training text, fewer as the run goes on"
    refuses_when: ClassVar[str] = "where fewer than 50,000 tokens can be counted in its share of time, text and memory"
    default: ClassVar[bool] = False
    share: float = 0.3  # of the targets, at the beginning
    until: float = 0.5  # of the run; the share falls in a line to nothing
    order: int = 3  # tokens; longer contexts know the training text by heart
    time_share: float = 0.03  # of the budget that counting may take; more text than that is not counted
    memory_share: float = 0.2  # of the memory, likewise

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        tokens = self.counted_tokens(plan, machine)
        if tokens < LEAST_TOKENS:
            return f"only {tokens} tokens could be counted in the time, text and memory set aside for it"
        return None

    def batches(self, batches: Windows, run: Context) -> tuple[Windows, int]:
        """Counts the training tokens; batches stay as they are."""
        most, vocabulary = self._most(run.plan, run.machine), run.plan.tokenizer.vocabulary
        run.leave(TEACHER, count_beginning(batches.tokens, most, order=self.order, vocabulary=vocabulary))
        return batches, 0

    def counted_tokens(self, plan: Decisions, machine: Machine) -> int:
        return min(plan.predicted.corpus_tokens, self._most(plan, machine))

    def _most(self, plan: Decisions, machine: Machine) -> int:
        seconds, memory_bytes = self.time_share * plan.budget.seconds, self.memory_share * machine.memory_bytes
        return countable(self.order, seconds=seconds, memory_bytes=memory_bytes)

    def loss(self, loss: TokenLoss[Batch], run: Context) -> tuple[TokenLoss[Batch], int]:
        reached, before = run.leave(REACHED, Reached("ngram_teacher")), loss.labels

        def labels(rows: Tensor) -> Tensor:
            share = self.share * max(0.0, 1 - reached.progress / self.until)
            teacher = run.left(TEACHER)  # none while a probe times steps
            return before(rows) if teacher is None or not share else taught(teacher, rows, before(rows), share)

        loss.labels = labels
        return loss, 1

    def step(self, callbacks: list[StepCallback], run: Context) -> tuple[list[StepCallback], int]:
        return [*callbacks, run.take(REACHED)], 1


def taught(teacher: KneserNey, rows: Tensor, targets: Tensor, share: float) -> Tensor:
    """Targets [B, T], each with probability `share` a token that the teacher draws after rows [B, T + 1]."""
    tokens = rows.cpu().numpy()
    rng = np.random.default_rng(zlib.crc32(tokens.tobytes()))
    chosen = rng.random((tokens.shape[0], tokens.shape[1] - 1)) < share
    drawn = teacher.sample(tokens[:, :-1], rng)
    return torch.where(torch.from_numpy(chosen).to(rows.device), torch.from_numpy(drawn).to(rows), targets)
