"""Choice: all that is decided of a run before its plan is written: enough to build its model and to time its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daybreak.core.shapes import NetworkShape
from daybreak.core.types import (
    Budget,
    Corpus,
    Machine,
    OptimizerChoice,
    Origin,
    Prediction,
    Probe,
    Request,
    ScheduleChoice,
    TechniqueChoice,
    TokenizerChoice,
)
from daybreak.planning.candidates import Candidate


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best candidate, how it is trained, and the measurements that both were chosen by.

    A technique may ask it what it asks a plan: it has all of `daybreak.core.types.Decisions`.
    """

    corpus: Corpus
    machine: Machine
    probe: Probe
    request: Request
    best: Candidate
    pool: tuple[Candidate, ...]  # all candidates that the best was chosen from
    timed: bool  # whether those in the pool were timed on this machine just now
    objective: str
    budget: Budget
    tokens: int
    optimizer: OptimizerChoice
    schedule: ScheduleChoice
    evaluation_bytes: int
    predicted: Prediction
    techniques: tuple[TechniqueChoice, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)  # reasons, by the technique's name

    @property
    def shape(self) -> NetworkShape:
        return self.best.shape

    @property
    def network(self) -> NetworkShape:
        return self.best.shape

    @property
    def tokenizer(self) -> TokenizerChoice:
        return self.best.tokenizer

    @property
    def batch_tokens(self) -> int:
        return self.best.batch_tokens

    @property
    def micro_batch(self) -> int:
        return self.best.micro_batch

    @property
    def origin(self) -> Origin | None:
        return self.corpus.origin

    @property
    def seed(self) -> int:
        return self.request.seed

    def bytes_per_token(self) -> float:
        return self.corpus.bytes_per_token[str(self.tokenizer.vocabulary)]

    def epochs(self) -> float:
        """Times that the text is read."""
        return self.tokens * self.bytes_per_token() / self.corpus.bytes
