"""The five values of a run: Machine, Corpus, Probe, Shape and Plan. Frozen; JSON both ways; an identity."""

import collections
import dataclasses
import hashlib
import json
import types
import typing
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from daybreak.core import units
from daybreak.core.errors import UsageError, nearest

SCHEMA = 1


class Value:
    """JSON both ways for the frozen values below. Unknown or missing fields are errors with the nearest name."""

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **_plain(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any], where: str = "") -> Self:
        """Raises UsageError: an unknown, missing or wrongly typed field, or a newer schema."""
        if not isinstance(data, dict):
            raise _wrong("an object was expected", where or cls.__name__, data, "{...}")
        data = dict(data)
        schema = data.pop("schema", SCHEMA)
        if schema != SCHEMA:
            raise UsageError(
                "the file was made by another version of daybreak",
                received=f"schema {schema} in {where or cls.__name__}",
                attempt=f"the version that made it (this one reads schema {SCHEMA}), or a new run",
            )
        return _built(cls, data, where or cls.__name__.lower())

    def replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class Request(Value):
    """What was asked. Two commands with the same request continue each other."""

    sources: tuple[str, ...]
    seconds: float
    until: str = ""  # ISO; the seconds are counted to it
    heldout: str = ""
    family: str = "gpt"
    settings: dict[str, str] = field(default_factory=dict)  # --set
    include: tuple[str, ...] = ()  # --with
    exclude: tuple[str, ...] = ()  # --without
    reproducible: bool = False
    seed: int = 0
    device: str = ""
    native: bool = True  # model/ must be of a class that transformers has
    technique_settings: dict[str, dict[str, str]] = field(default_factory=dict)  # --with NAME:SETTING=VALUE
    cluster: str = ""  # Ray's address, where its machines prepare the text
    weights: dict[str, float] = field(default_factory=dict)  # --weight: of each source in training; none: by its size
    tokenizer: str = "auto"  # a kind, or the path of a tokenizer.json

    def shown(self) -> "Request":
        """As it may be written down: an address without the password or the signature in it."""
        weights = {units.address(name): weight for name, weight in self.weights.items()}
        return self.replace(sources=tuple(map(units.address, self.sources)), weights=weights)

    def continues(self, other: "Request") -> bool:
        """Whether the same was asked; a moment of the day is the same moment however far away it was.

        A folder that was only prepared (no seconds) is continued by any run on the same text.
        """
        if self.seconds == 0:
            mine, theirs = ((asked.sources, asked.heldout, asked.tokenizer) for asked in (self, other))
            return mine == theirs
        same = dataclasses.replace(self, seconds=other.seconds) if self.until and self.until == other.until else self
        return same == other

    def prolongs(self, asked: "Request") -> bool:
        """Whether nothing but more time is asked for. What a reproducible run does follows from its time."""
        longer = self.seconds > asked.seconds > 0 and not (self.until or self.reproducible)
        return longer and self == asked.replace(seconds=self.seconds)


def with_settings(words: Iterable[str]) -> dict[str, Any]:
    """`include` and `technique_settings` of a request, of words such as "name" or "name:setting=value,other=value".

    Raises UsageError: a setting without a value.
    """
    settings: dict[str, dict[str, str]] = {}
    include = []
    for word in words:
        name, colon, rest = word.partition(":")
        include.append(name)
        for pair in rest.split(",") if colon else ():
            setting, equals, value = pair.partition("=")
            if not (setting and equals):
                raise UsageError(
                    "a setting of a technique has a name and a value",
                    received=f"--with {word}",
                    attempt=f"--with {name}:SETTING=VALUE",
                )
            settings.setdefault(name, {})[setting] = value
    return {"include": tuple(include), "technique_settings": settings}


@dataclass(frozen=True, kw_only=True)
class Machine(Value):
    """What was measured on this machine; never looked up by a card's name."""

    kind: str  # "cpu", "cuda", "mps"
    name: str
    cores: int
    devices: int
    memory_bytes: int
    matmul_flops: dict[str, float]  # floating-point operations per second for each dtype that works
    bandwidth_bytes_per_second: float
    disk_bytes_per_second: float
    compiler: str  # path of the C++ compiler; empty where there is none
    fast_dtypes: tuple[str, ...]  # that the hardware has instructions for, as it says itself
    versions: dict[str, str]
    measured_at: float = 0.0  # seconds since 1970

    def key(self) -> str:
        """What must be equal for older measurements to hold."""
        same = (self.kind, self.name, self.cores, self.devices, sorted(self.versions.items()))
        return _digest(same)


EXAMPLES = 5  # of each step: those with the smallest hash, so the same ones however the work was divided
SUMMED = ("documents", "bytes", "removed_documents", "removed_bytes", "changed_documents", "fewer_bytes")


@dataclass(frozen=True, kw_only=True)
class Account(Value):
    """What a step did. Accounts of parts of the text add up; sizes are bytes of UTF-8."""

    name: str
    documents: int = 0  # that came to it
    bytes: int = 0
    removed_documents: int = 0
    removed_bytes: int = 0
    changed_documents: int = 0
    fewer_bytes: int = 0  # than before, of those that were changed and stayed
    counts: dict[str, int] = field(default_factory=dict)  # of its notes
    examples: tuple[tuple[str, str, str], ...] = ()  # hash, a beginning of before, of after ("" where taken away)

    def __add__(self, other: Self) -> Self:
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMMED}
        counts = dict(collections.Counter(self.counts) + collections.Counter(other.counts))
        examples = tuple(sorted({*self.examples, *other.examples})[:EXAMPLES])
        return dataclasses.replace(self, **sums, counts=counts, examples=examples)


@dataclass(frozen=True, kw_only=True)
class Corpus(Value):
    """Facts of a scan of the text."""

    sources: tuple[str, ...]  # files
    heldout: str  # the file given for it; empty where documents were chosen by their hash
    threshold: float  # documents with a smaller share are held out
    digest: str
    files: int
    documents: int
    bytes: int  # of the training part
    heldout_documents: int
    heldout_bytes: int
    replaced_bytes: int  # not UTF-8
    languages: dict[str, float]  # share of the characters by script
    bytes_per_token: dict[str, float]  # on a sample, by vocabulary
    tokens_per_second: float  # of encoding, measured on the sample
    bytes_per_second: float  # of reading
    xz_bits_per_byte: float
    ngram_bits_per_byte: float
    ngram_unit: str  # "byte" or "character"
    ngram_order: int
    ngram_bytes: int  # of text the n-gram model was fitted on
    ngram_fall: float  # exponent s of its bits per byte ~ bytes^-s, from a smaller part of the text
    notes: tuple[str, ...] = ()  # what was decided and is said aloud, such as the column that holds the text
    read_bytes: int = 0  # of text, before cleaning
    unread_bytes: int = 0  # of files that there was no time for
    cleaning: tuple["TechniqueChoice", ...] = ()  # the steps, in their order
    accounts: tuple[Account, ...] = ()  # of what they did
    spoken: dict[str, float] = field(default_factory=dict)  # share of the bytes by identified language
    kinds: dict[str, int] = field(default_factory=dict)  # documents by what they were found as
    licences: dict[str, int] = field(default_factory=dict)  # documents, before cleaning, by the licence that they name
    samples: tuple[str, ...] = ()  # how some documents begin, chosen by their hash
    sizes: dict[str, int] = field(default_factory=dict)  # documents by the power of two of bytes below which they are
    groups: dict[str, int] = field(default_factory=dict)  # training bytes of each source, where they are mixed
    tokenizer: str = "bpe"  # the kind that bytes_per_token is of; "file": one that was given
    end_of_text: int | None = None  # its token; None: the last one
    bytes_per_token_tried: dict[str, dict[str, float]] = field(default_factory=dict)  # by kind, then by vocabulary


@dataclass(frozen=True, kw_only=True)
class Timing(Value):
    """One measured shape: seconds a row costs in training at this micro-batch."""

    shape: str  # Shape.key()
    dtype: str
    mode: str  # how layers run: "eager", "compiled" or "kernels"
    micro_batch: int
    step_seconds: float  # forward, backward and optimizer of one micro-batch
    forward_seconds: float  # without gradients
    memory_bytes: int
    compile_seconds: float  # 0 where nothing was compiled
    cold: bool  # the cache of what was compiled was empty


@dataclass(frozen=True, kw_only=True)
class Probe(Value):
    """Measured for this corpus on this machine."""

    timings: tuple[Timing, ...]  # of this run; a shape that stands here is measured
    earlier: tuple[Timing, ...]  # of earlier runs on this machine: hints
    compile_cold_seconds: float  # 0: not known yet
    compile_warm_seconds: float
    used_seconds: float  # of the budget when the probe was finished


GATE_INPUTS = 12  # first dimensions of a state that decide how much of a value embedding a head takes


@dataclass(frozen=True, kw_only=True)
class GptShape(Value):
    """A decoder. As it stands it is of Qwen3's class: RMSNorm, rotary positions, normed queries and keys, gated MLP.

    The fields of OPTIONS depart from that class. They came later than the first plan files, so a key and an identity
    name them only where they are taken.
    """

    family: ClassVar[str] = "gpt"
    OPTIONS: ClassVar = (
        "norm",
        "positions",
        "layer_repeats",
        "activation",
        "logit_cap",
        "value_embeddings",
        "skips",
    )
    CHOICES: ClassVar = {
        "norm": ("rms", "layer", "batch"),
        "positions": ("rotary", "learned", "sinusoidal", "alibi", "none"),
        "activation": ("swiglu", "squared_relu"),
    }
    vocabulary: int
    layers: int  # that a token goes through
    width: int
    heads: int
    key_value_heads: int
    head_dim: int
    mlp_width: int
    context_length: int
    tied: bool
    rope_base: float = 10000.0
    norm: str = "rms"
    positions: str = "rotary"
    layer_repeats: int = 1  # times that each stored layer is applied, one after the other (arXiv:1909.11942)
    activation: str = "swiglu"
    logit_cap: float = 0.0  # cap * tanh(logit / cap); 0: none
    value_embeddings: bool = False  # a table for every second stored layer, added to the values
    skips: bool = False  # from the embedding into every layer, and from the first half of the layers to the second

    def check(self) -> None:
        """Raises UsageError: sizes that do not go together, or a kind of part that there is not."""
        sizes = {name: value for name, value in _plain(self).items() if type(value) is int}
        wrong = [f"{name}={value}" for name, value in sizes.items() if value < 1]
        if self.head_dim % 2:
            wrong.append(f"head_dim={self.head_dim}, which is odd")
        if not wrong and self.heads % self.key_value_heads:
            wrong.append(f"heads={self.heads} is not a multiple of key_value_heads={self.key_value_heads}")
        if not wrong and self.layers % self.layer_repeats:
            wrong.append(f"layers={self.layers} is not a multiple of layer_repeats={self.layer_repeats}")
        if not 0 <= self.logit_cap < 1e6:
            wrong.append(f"logit_cap={self.logit_cap}")
        if self.norm == "batch" and self.layer_repeats > 1:
            wrong.append("norm=batch with layer_repeats: a layer would keep one running mean for several depths")
        if wrong:
            raise UsageError(
                "there is no such shape", received="; ".join(wrong), attempt="`daybreak plan` without them"
            )
        for name, known in self.CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"an unknown {name}", received=f"{name}={value}", attempt=nearest(value, known))

    def departures(self) -> dict[str, Any]:
        """The options that were taken, by name."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        return {name: value for name in self.OPTIONS if (value := getattr(self, name)) != defaults[name]}

    def leaves_class(self) -> dict[str, Any]:
        """The options that the stock class has no place for; shared layers it holds, written out one by one."""
        return {name: value for name, value in self.departures().items() if name != "layer_repeats"}

    def native(self) -> bool:
        """Whether transformers' Qwen3ForCausalLM computes what this shape does."""
        return not self.leaves_class()

    def stored_layers(self) -> int:
        return self.layers // self.layer_repeats

    def value_layers(self) -> tuple[int, ...]:
        """Stored layers that have a value embedding: the last, and every second before it."""
        stored = self.stored_layers() if self.value_embeddings else 0
        return tuple(range((stored + 1) % 2, stored, 2))

    def _stored_weights(self) -> int:
        """Of the matrices in the stored layers."""
        attention = self.width * self.head_dim * (2 * self.heads + 2 * self.key_value_heads)
        mlp = (3 if self.activation == "swiglu" else 2) * self.width * self.mlp_width
        gates = len(self.value_layers()) * self.key_value_heads * min(GATE_INPUTS, self.width)
        return self.stored_layers() * (attention + mlp) + gates

    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with; the head once, the embedding look-ups not."""
        return self._stored_weights() + self.vocabulary * self.width

    def parameters(self) -> int:
        norm = self.width if self.norm == "rms" else 2 * self.width  # a gain, and a bias where the mean is taken off
        gains = self.stored_layers() * (2 * norm + 2 * self.head_dim) + norm
        tables = 0 if self.tied else self.vocabulary * self.width
        tables += len(self.value_layers()) * self.vocabulary * self.key_value_heads * self.head_dim
        if self.positions == "learned":
            tables += self.context_length * self.width
        scalars = 2 * self.stored_layers() + self.layers // 2 if self.skips else 0
        return self.matmul_parameters() + tables + gains + scalars

    def flops_per_token(self) -> float:
        """Training: 6 a matmul weight and time it is applied, and attention's 12 L d T (arXiv:2204.02311, app. B)."""
        attention = 12 * self.layers * self.heads * self.head_dim * self.context_length
        applied = self.layer_repeats * self._stored_weights() + self.vocabulary * self.width
        return 6 * applied + attention

    def key(self) -> str:
        rest = f"{self.heads}x{self.head_dim}k{self.key_value_heads}m{self.mlp_width}{'t' if self.tied else 'u'}"
        options = "".join(f"+{name}={value}" for name, value in self.departures().items())
        return f"gpt-L{self.layers}-d{self.width}-{rest}-V{self.vocabulary}-T{self.context_length}{options}"


@dataclass(frozen=True, kw_only=True)
class NgramShape(Value):
    """Interpolated Kneser-Ney over bytes, characters or tokens."""

    family: ClassVar[str] = "ngram"
    order: int
    unit: str  # "byte", "character" or "token"
    vocabulary: int

    def parameters(self) -> int:
        return 0  # counts, as many as the text has

    def flops_per_token(self) -> float:
        return 0.0

    def key(self) -> str:
        return f"ngram-{self.unit}-{self.order}"


Shape = GptShape | NgramShape


@dataclass(frozen=True, kw_only=True)
class TokenizerChoice(Value):
    kind: str  # one of data/tokenizers.py's KINDS, or "file"
    vocabulary: int
    end_of_text: int | None = None  # None: the last id, as of all that are learnt here but WordPiece

    def end(self) -> int:
        """The id of the token that ends a text."""
        return self.vocabulary - 1 if self.end_of_text is None else self.end_of_text


@dataclass(frozen=True, kw_only=True)
class Budget(Value):
    clock: str  # "seconds" or "tokens"
    seconds: float
    until: str = ""  # the moment given with --until, ISO; its seconds are counted anew on resume


@dataclass(frozen=True, kw_only=True)
class OptimizerChoice(Value):
    name: str  # "muon", "adamw", "adam", "sgd", "adagrad"
    learning_rate: float  # of hidden matrices
    table_learning_rate: float  # of embedding, head and gains
    weight_decay: float  # decoupled, of hidden matrices; adam, sgd and adagrad have none
    momentum: float
    orthogonalize_steps: int  # Newton-Schulz iterations of Muon


@dataclass(frozen=True, kw_only=True)
class ScheduleChoice(Value):
    name: str  # "linear", "cosine", "constant", "inverse_sqrt", "plateau"
    warmup: float  # share of the progress
    decay: float  # share of the progress
    floor: float  # of the peak rate, at the end


@dataclass(frozen=True, kw_only=True)
class TechniqueChoice(Value):
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prediction(Value):
    tokens_per_second: float
    bits_per_byte: float
    bits_per_byte_low: float
    bits_per_byte_high: float
    memory_bytes: int
    corpus_tokens: int  # in one pass over the text
    bytes_per_token: float
    mode: str  # how layers run: "eager", "compiled" or "kernels"
    compile_seconds: float  # of torch.compile, whether or not it is used
    compiled_speedup: float  # tokens per second, compiled over not
    phase_seconds: dict[str, float]  # adds up to the budget
    corpus_documents: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan(Value):
    """All that a run does. `plan.json` is the run: train reads nothing else."""

    objective: str  # "next_token"
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
    evaluation_bytes: int  # of the held-out part, scored inside the run
    predicted: Prediction
    reasons: dict[str, str]
    parent: str = ""
    request: Request | None = None  # so that the same command continues
    mixture: tuple[float, ...] = ()  # weights of the sources, in their order; none: one text

    def identity(self) -> str:
        """What checkpoints must agree on; budget, machine and micro-batch may change on resume."""
        return _digest(
            [
                self.objective,
                self.corpus,
                {name: value for name, value in self.tokenizer.to_json().items() if value is not None},
                _identifying(self.shape),
                self.seed,
                self.parent,
                *self.mixture,
            ]
        )

    def technique(self, name: str) -> TechniqueChoice | None:
        return next((choice for choice in self.techniques if choice.name == name), None)


def _identifying(shape: Shape) -> dict[str, Any]:
    """The shape as a checkpoint's identity has it: options that are not taken are left out."""
    whole = _plain(shape)
    if isinstance(shape, GptShape):
        taken = shape.departures()
        return {name: value for name, value in whole.items() if name not in GptShape.OPTIONS or name in taken}
    return whole


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        family = getattr(type(value), "family", None)
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"family": family, **fields} if family else fields
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _wrong(what: str, where: str, received: Any, attempt: str) -> UsageError:
    return UsageError(f"{what} in {where}", received=str(received), attempt=attempt)


def _built(kind: Any, data: Any, where: str) -> Any:
    """The value of type `kind` that `data` (from JSON) describes."""
    if kind is Any:
        return data
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType and types.NoneType in arguments:
        return None if data is None else _built(next(a for a in arguments if a is not types.NoneType), data, where)
    if origin is types.UnionType:
        if not isinstance(data, dict):
            raise _wrong("a shape was expected", where, data, "the shape as `daybreak plan --out` writes it")
        families = {member.family: member for member in arguments}
        family = data.get("family", "")
        if family not in families:
            raise _wrong("an unknown family", where, family, nearest(str(family), families))
        return _built(families[family], {k: v for k, v in data.items() if k != "family"}, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise _wrong("a list was expected", where, data, "[...]")
        return tuple(_built(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin in (dict, Counter):
        if not isinstance(data, dict):
            raise _wrong("an object was expected", where, data, "{...}")
        of = arguments[1] if origin is dict else int
        return origin({key: _built(of, item, f"{where}.{key}") for key, item in data.items()})
    if dataclasses.is_dataclass(kind):
        return _built_dataclass(kind, data, where)
    if kind is float and type(data) in (int, float):
        return float(data)
    if type(data) is not kind:
        raise _wrong(f"a value that is not {kind.__name__}", where, repr(data), f"a {kind.__name__}")
    return data


def _built_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong("an object was expected", where, data, "{...}")
    family = getattr(kind, "family", None)
    if family and data.get("family") == family:
        data = {name: item for name, item in data.items() if name != "family"}
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise _wrong(f"an unknown field {name!r}", where, name, nearest(name, fields))
    optional = {
        name
        for name, f in fields.items()
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    }
    for name in fields.keys() - data.keys() - optional:
        raise _wrong(f"the field {name!r} is missing", where, sorted(data), f"add {name!r}")
    return kind(**{name: _built(hints[name], item, f"{where}.{name}") for name, item in data.items()})
