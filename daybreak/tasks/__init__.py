"""Tasks: what a model is trained and asked for. Each is a file here with a TASK, and one line in NAMES."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from daybreak.core.errors import UsageError, nearest
from daybreak.core.metrics import Metric

if TYPE_CHECKING:  # torch, which planning does without
    from torch import Tensor, nn

    from daybreak.core.types import Corpus, Decisions, Plan
    from daybreak.data.batches import Batch
    from daybreak.data.tokenizers.base import Tokenizer
    from daybreak.models.module import LanguageModel
    from daybreak.tasks.fill_mask import Filler
    from daybreak.tasks.scoring import Scorer, TaskLoss

NAMES = (
    "next_token",
    "masked_tokens",
    "span_corruption",
)


class Task(Protocol):
    """All that others must know of an objective; `Plan.objective` is its name.

    A task with labels gives rows their labels in `batch`: a class of each row [rows], or of each token [rows, T]. Its
    `head` puts the layer that predicts them on the module, its loss reads them, and its metric is computed from what
    the loss says of each target (`TaskLoss.scored`), which are named sums.
    """

    name: str
    metric: Metric  # by which its models are judged
    scored_share: float  # of the tokens that are read, those with logits when text is scored

    def expected(self, bits_per_byte: float, bytes_per_token: float, tokens: float) -> float:
        """The metric's value where a GPT would have these bits per byte after so many tokens."""
        ...

    def batch(self, batch: "Batch") -> "Batch":
        """The rows with the labels that the loss reads; as they are where the tokens say all."""
        ...

    def head(self, module: "LanguageModel", seed: int) -> "list[nn.Parameter]":
        """Adds to a module what the loss needs beyond it, and gives the new parameters; often none.

        Parameters that the loss does not reach are to need no gradient: the optimizer leaves those alone.
        """
        ...

    def loss(self, decisions: "Decisions") -> "TaskLoss": ...

    def scorer(self, decisions: "Decisions", tokenizer: "Tokenizer") -> "Scorer":
        """Scores held-out text; the same text gives the same targets, whatever the seed and the model."""
        ...

    def decode(self, outputs: "Tensor") -> "Tensor":
        """The predictions, as labels are written, in what the head gives: of logits [..., classes] the likeliest."""
        ...

    def floor(self, corpus: "Corpus") -> float | None:
        """The metric's value for the honest baseline of this kind of task, which a model must beat to be of use.

        For next_token that of n-gram counts; None: none was measured, or there is none.
        """
        ...

    def filler(self, module: "LanguageModel", tokenizer: "Tokenizer", plan: "Plan") -> "Filler | None":
        """What fills the gaps of a text with the model; None where it continues texts."""
        ...

    def sample(
        self, plan: "Plan", module: "LanguageModel", tokenizer: "Tokenizer", tokens: Sequence[int]
    ) -> tuple[str, str]:
        """What the model makes of the beginning of a document: what it was given, and what it says to it."""
        ...


_REGISTERED: dict[str, Task] = {}


def task_of(name: str) -> Task:
    """The task of an objective. Raises UsageError: there is none of this name."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name in NAMES:
        return importlib.import_module(f"daybreak.tasks.{name}").TASK  # type: ignore[no-any-return]
    known = (*NAMES, *_REGISTERED)
    raise UsageError("unknown objective", received=name, attempt=nearest(name, known))


def register(task: Task) -> None:
    """Makes a task from outside known, under its own name."""
    _REGISTERED[task.name] = task
