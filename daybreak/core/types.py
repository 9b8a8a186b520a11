"""The values of a run beside its request: Machine, Corpus, Probe and Plan. Frozen; JSON both ways; an identity."""

import collections
import dataclasses
from dataclasses import dataclass, field
from typing import Protocol, Self

from daybreak.core import units
from daybreak.core.former_techniques import plan_of_today
from daybreak.core.metrics import OF_OLD_PLANS, Metric
from daybreak.core.passed_over import PassedOver
from daybreak.core.request import Request as Request  # a plan keeps it
from daybreak.core.shapes import NetworkShape, Shape, network_of
from daybreak.core.values import Json, Value, digest, plain


@dataclass(frozen=True, kw_only=True)
class Machine(Value):
    """Measurements of this machine; nothing is looked up by the name of a card."""

    kind: str  # "cpu", "cuda", "mps"
    name: str
    cores: int
    devices: int
    memory_bytes: int
    matmul_flops: dict[str, float]  # floating-point operations per second for each dtype that works
    bandwidth_bytes_per_second: float
    disk_bytes_per_second: float
    compiler: str  # path of the C++ compiler; empty where there is none
    fast_dtypes: tuple[str, ...]  # with instructions in hardware, as the hardware reports
    versions: dict[str, str]
    measured_at: float = 0.0  # seconds since 1970

    def key(self) -> str:
        """Measurements of one machine are valid on another with an equal key."""
        same = (self.kind, self.name, self.cores, self.devices, sorted(self.versions.items()))
        return digest(same)


EXAMPLES = 5  # kept for each step: those with the smallest hash, so the same ones however the work was divided
SUMMED = ("documents", "bytes", "removed_documents", "removed_bytes", "changed_documents", "fewer_bytes")


@dataclass(frozen=True, kw_only=True)
class Account(Value):
    """What a cleaning step changed and removed. Accounts of parts of the text add up; sizes are bytes of UTF-8."""

    name: str
    documents: int = 0  # given to the step
    bytes: int = 0
    removed_documents: int = 0
    removed_bytes: int = 0
    changed_documents: int = 0
    fewer_bytes: int = 0  # than before, of those that were changed and stayed
    counts: dict[str, int] = field(default_factory=dict)  # how often each note was made
    examples: tuple[tuple[str, str, str], ...] = ()  # hash, a beginning of before, of after ("" where taken away)

    def __add__(self, other: Self) -> Self:
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMMED}
        counts = dict(collections.Counter(self.counts) + collections.Counter(other.counts))
        examples = tuple(sorted({*self.examples, *other.examples})[:EXAMPLES])
        return dataclasses.replace(self, **sums, counts=counts, examples=examples)


@dataclass(frozen=True, kw_only=True)
class Specials(Value):
    """Tokens that a family's objective needs beyond those of the text."""

    pad: int
    mask: int | None = None  # stands where a token is to be predicted
    sentinels: tuple[int, ...] = ()  # the first stands for the first span that is taken out, and so on


@dataclass(frozen=True, kw_only=True)
class Origin(Value):
    """A checkpoint that a run goes on from, as the run takes it."""

    path: str
    digest: str  # over its config and its weights
    shape: Shape  # with the rows that its table has after growing
    specials: Specials | None
    tokens: int  # ids in use
    grown: int = 0  # tokens that were added
    seen: float = 0.0  # bytes of text that it has learnt from, in fresh ones; 0 where nobody has noted them
    bytes_per_token: float = 0.0  # on that text


@dataclass(frozen=True, kw_only=True)
class Corpus(Value):
    """Facts of a scan of the text."""

    sources: tuple[str, ...]  # files
    heldout: str  # the file given for it; empty where documents were chosen by their hash
    threshold: float  # documents with a smaller share are held out
    digest: str
    files: int
    documents: int
    bytes: int  # in the training part
    heldout_documents: int
    heldout_bytes: int
    replaced_bytes: int  # not UTF-8
    languages: dict[str, float]  # share of the characters by script
    bytes_per_token: dict[str, float]  # on a sample, by vocabulary
    tokens_per_second: float  # encoding speed, measured on the sample
    bytes_per_second: float  # reading speed
    xz_bits_per_byte: float
    ngram_bits_per_byte: float
    ngram_unit: str  # "byte" or "character"
    ngram_order: int
    ngram_bytes: int  # of text that the n-gram model was fitted on
    ngram_fall: float  # exponent s of its bits per byte ~ bytes^-s, from a smaller part of the text
    notes: tuple[str, ...] = ()  # decisions that a user should see, such as which column holds the text
    skipped: tuple[str, ...] = ()  # the notes on text that is left out, or not read as it is
    passed_over: PassedOver = field(default_factory=PassedOver)  # the sum of it
    read_bytes: int = 0  # text before cleaning
    unread_bytes: int = 0  # size of the files that there was no time to read
    cleaning: tuple["TechniqueChoice", ...] = ()  # the steps, in their order
    accounts: tuple[Account, ...] = ()  # the account of each step
    spoken: dict[str, float] = field(default_factory=dict)  # share of the bytes by identified language
    kinds: dict[str, int] = field(default_factory=dict)  # documents by what they were found as
    licences: dict[str, int] = field(default_factory=dict)  # documents, before cleaning, by the licence that they name
    samples: tuple[str, ...] = ()  # how some documents begin, chosen by their hash
    sizes: dict[str, int] = field(default_factory=dict)  # documents by the power of two of bytes below which they are
    groups: dict[str, int] = field(default_factory=dict)  # training bytes of each source, where they are mixed
    tokenizer: str = "bpe"  # the kind that bytes_per_token is of; "file": one that was given
    end_of_text: int | None = None  # its token; None: the last one
    origin: Origin | None = None  # whose tokenizer it is
    bytes_per_token_tried: dict[str, dict[str, float]] = field(default_factory=dict)  # by kind, then by vocabulary

    def not_read(self) -> tuple[str, ...]:
        """Sentences on what of the sources is not read, as whoever shows them does: the sum, and what it is made of."""
        told = [] if self.passed_over.nothing else [self.passed_over.sentence()]
        told += self.skipped
        if self.unread_bytes:
            told.append(
                f"{units.size(self.read_bytes)} of text were read in the time for reading; "
                f"{units.size(self.unread_bytes)} of files are left out. `daybreak prepare` "
                "reads all of it beforehand"
            )
        return tuple(told)


@dataclass(frozen=True, kw_only=True)
class Timing(Value):
    """One measured shape: seconds a row costs in training at this micro-batch."""

    shape: Shape
    dtype: str
    mode: str  # how layers run: "eager", "compiled" or "kernels"
    micro_batch: int
    step_seconds: float  # forward, backward and optimizer of one micro-batch
    forward_seconds: float  # without gradients
    memory_bytes: int
    compile_seconds: float  # 0 where nothing was compiled
    cold: bool  # the compile cache was empty
    spread: float = 0.0  # by how much the slower steps took longer than the median, as a share of it


@dataclass(frozen=True, kw_only=True)
class Probe(Value):
    """Measured for this corpus on this machine."""

    timings: tuple[Timing, ...]  # measured in this run
    earlier: tuple[Timing, ...]  # from earlier runs on this machine: hints
    compile_cold_seconds: float  # 0: not known yet
    compile_warm_seconds: float
    used_seconds: float  # budget used when the probe was finished
    warnings: tuple[str, ...] = ()  # what could not be measured
    held_bytes: int = 0  # memory of the process when the probe was finished; 0: not measured
    peak_bytes: int = 0  # the most that it had held by then
    waiting: float = 0.0  # processes that wait for a processor, for each one that there is


@dataclass(frozen=True, kw_only=True)
class TokenizerChoice(Value):
    kind: str  # one of data/tokenizers.py's KINDS, or "file"
    vocabulary: int
    end_of_text: int | None = None  # None: the last id, as of all that are learnt here but WordPiece
    specials: Specials | None = None  # in families that have them

    def rows(self) -> int:
        """Rows of an embedding table that holds all of its tokens."""
        if self.specials is None:
            return self.vocabulary
        return 1 + max(self.vocabulary - 1, self.specials.pad, self.specials.mask or 0, *self.specials.sentinels)

    def end(self) -> int:
        """The id of the token that ends a text."""
        return self.vocabulary - 1 if self.end_of_text is None else self.end_of_text


@dataclass(frozen=True, kw_only=True)
class Budget(Value):
    clock: str  # "seconds" or "tokens"
    seconds: float
    until: str = ""  # the moment given with --until, ISO; its seconds are counted anew on resume
    most_tokens: int = 0  # training ends there though time is left: the text is learnt by heart; 0: nowhere


OPTIMIZERS = ("muon", "muon_rms", "adamw", "adamw_rms", "adam", "sgd", "adagrad")
SCHEDULES = ("linear", "cosine", "constant", "inverse_sqrt", "plateau")


@dataclass(frozen=True, kw_only=True)
class OptimizerChoice(Value):
    name: str  # one of OPTIMIZERS
    learning_rate: float  # for hidden matrices
    table_learning_rate: float  # for embedding, head and norm scales
    weight_decay: float  # decoupled, of hidden matrices; adam, sgd and adagrad have none
    momentum: float
    orthogonalize_steps: int  # Newton-Schulz iterations of Muon


@dataclass(frozen=True, kw_only=True)
class ScheduleChoice(Value):
    name: str  # one of SCHEDULES
    warmup: float  # share of the progress
    decay: float  # share of the progress
    floor: float  # rate at the end, as a share of the peak rate


@dataclass(frozen=True, kw_only=True)
class TechniqueChoice(Value):
    name: str
    settings: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prediction(Value):
    tokens_per_second: float
    figure: float  # the headline of the plan's objective
    figure_low: float
    figure_high: float
    memory_bytes: int
    corpus_tokens: int  # in one pass over the text
    bytes_per_token: float
    mode: str  # how layers run: "eager", "compiled" or "kernels"
    compile_seconds: float  # that torch.compile takes, whether or not it is used
    compiled_speedup: float  # tokens per second, compiled over not
    phase_seconds: dict[str, float]  # adds up to the budget
    corpus_documents: int = 0


UNASKED = "only where it is asked for"  # how the reason begins of techniques that a plan does not consider by itself


@dataclass(frozen=True, kw_only=True)
class Plan(Value):
    """All that a run does. `plan.json` is the run: train reads nothing else."""

    objective: str  # the name of a task
    corpus: str  # digest
    tokenizer: TokenizerChoice
    shape: Shape
    budget: Budget
    tokens: int  # expected; the budget itself where its clock is "tokens"
    batch_tokens: int  # targets of one optimizer step
    micro_batch: int  # rows of one forward pass
    optimizer: OptimizerChoice
    schedule: ScheduleChoice
    techniques: tuple[TechniqueChoice, ...]
    refused: dict[str, str]
    seed: int
    reproducible: bool
    evaluation_bytes: int  # held-out text that is scored inside the run
    predicted: Prediction
    reasons: dict[str, str]
    parent: str = ""
    origin: Origin | None = None  # the checkpoint that training starts from
    request: Request | None = None  # so that the same command continues
    mixture: tuple[float, ...] = ()  # weights of the sources, in their order; none: one text
    skipped: tuple[str, ...] = ()  # sentences on what of the sources is not read
    passed_over: PassedOver = field(default_factory=PassedOver)  # the sum of it
    metric: Metric | None = None  # how the model is scored; None in plans of older versions

    @classmethod
    def from_json(cls, data: Json, where: str = "") -> Self:
        """Also of an older plan, whose techniques have become settings. Raises UsageError, as `Value.from_json`."""
        return super().from_json(plan_of_today(data), where)

    def identity(self) -> str:
        """A hash of everything that checkpoints must agree on; budget, machine and micro-batch may change on resume."""
        return digest(
            [
                self.objective,
                self.corpus,
                {name: value for name, value in plain(self.tokenizer).items() if value is not None},
                _identifying(self.shape),
                self.seed,
                self.parent,
                *self.mixture,
            ]
        )

    @property
    def device(self) -> str:
        """The requested device; empty: the fastest one."""
        return self.request.device if self.request else ""

    @property
    def headline(self) -> Metric:
        """The metric of its task."""
        return self.metric or OF_OLD_PLANS[self.objective]

    @property
    def network(self) -> NetworkShape:
        """The shape of a plan that trains a network."""
        network = network_of(self.shape)
        assert network is not None, self.shape.family
        return network

    def technique(self, name: str) -> TechniqueChoice | None:
        return next((choice for choice in self.techniques if choice.name == name), None)


class Decisions(Protocol):
    """All that building a model needs; a Plan has it, and so has a Choice, from which a plan is written."""

    @property
    def objective(self) -> str: ...
    @property
    def tokenizer(self) -> TokenizerChoice: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def network(self) -> NetworkShape: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def tokens(self) -> int: ...
    @property
    def batch_tokens(self) -> int: ...
    @property
    def micro_batch(self) -> int: ...
    @property
    def optimizer(self) -> OptimizerChoice: ...
    @property
    def schedule(self) -> ScheduleChoice: ...
    @property
    def techniques(self) -> tuple[TechniqueChoice, ...]: ...
    @property
    def seed(self) -> int: ...
    @property
    def origin(self) -> Origin | None: ...
    @property
    def predicted(self) -> Prediction: ...
    @property
    def request(self) -> Request | None: ...


def _identifying(shape: Shape) -> Json:
    """The shape as a checkpoint's identity has it: options that are not taken are left out."""
    whole = plain(shape)
    network = network_of(shape)
    if network is None:
        return whole
    taken = network.non_default()
    return {name: value for name, value in whole.items() if name not in network.OPTIONS or name in taken}
