"""Request: what is asked of a run, with the option, the keyword in Python and the help of each field."""

import dataclasses
import datetime
import math
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from daybreak.core import units
from daybreak.core.errors import UsageError
from daybreak.core.former_techniques import request_of_today
from daybreak.core.values import Json, Value

USUAL_BUDGET = "10m"  # where neither --for nor --until is given


@dataclass(frozen=True, kw_only=True)
class Option:
    """How a field is asked for on the command line and from Python."""

    flag: str  # empty: an argument of the command line, not an option
    help: str
    metavar: str = ""  # empty: a switch
    keyword: str = ""  # in Python; empty: the flag's word
    formerly: str = ""  # an older keyword in Python that goes on working
    off: str = ""  # the flag that switches it off
    least: int | None = None
    most: int | None = None
    group: str = ""  # its heading in the help

    @property
    def name(self) -> str:
        """The keyword in Python."""
        return self.keyword or self.flag.removeprefix("--").replace("-", "_")


def _by(flag: str, help: str, **more: Any) -> dict[str, Option]:
    """The metadata of a field: its option."""
    return {"option": Option(flag=flag, help=help, **more)}


ENDING, PLANNING, COMPUTING = "Time", "What is trained", "How it is computed"
LARGEST_SEED = (1 << 63) - 1  # the largest that torch and NumPy both take


@dataclass(frozen=True, kw_only=True)
class Request(Value):
    """What a user asks of a run. Two commands with the same request continue each other."""

    sources: tuple[str, ...] = field(
        metadata=_by(
            "",
            "Text: files, folders, globs, web addresses, or - for standard input. Default: Python's own library.",
            keyword="sources",
            metavar="SOURCE",
        )
    )
    seconds: float = field(
        metadata=_by(
            "--for",
            f"Time budget of the whole command: 90s, 20m, 8h, 1h30m. Default: {USUAL_BUDGET}.",
            keyword="for_",
            formerly="budget",
            metavar="TIME",
            group=ENDING,
        )
    )
    until: str = field(
        default="",
        metadata=_by(
            "--until",
            "Deadline, instead of --for: 07:00, or a date and time.",
            metavar="MOMENT",
            group=ENDING,
        ),
    )  # ISO; the seconds are counted to it
    heldout: str = field(
        default="",
        metadata=_by(
            "--heldout", "Held-out file for the scores. Default: a part of the text.", metavar="FILE", group=PLANNING
        ),
    )
    family: str = field(
        default="gpt",
        metadata=_by("--family", "Kind of model: gpt, bert, t5, lstm, ngram.", metavar="FAMILY", group=PLANNING),
    )
    tokenizer: str = field(
        default="auto",
        metadata=_by(
            "--tokenizer",
            "Kind of tokenizer: auto, bytes, characters, bpe, wordpiece, unigram, words, or a tokenizer.json file.",
            metavar="KIND",
            group=PLANNING,
        ),
    )
    parent: str = field(
        default="",
        metadata=_by(
            "--from",
            "Pretrained checkpoint to start from: a run's folder, or a Hugging Face folder.",
            keyword="from_",
            formerly="parent",
            metavar="FOLDER",
            group=PLANNING,
        ),
    )
    grow: int = field(
        default=0,
        metadata=_by(
            "--grow-vocabulary",
            "With --from: how many new tokens to add to the vocabulary, at most.",
            formerly="grow",
            metavar="TOKENS",
            least=0,
            group=PLANNING,
        ),
    )
    settings: dict[str, str] = field(
        default_factory=dict,
        metadata=_by(
            "--set",
            "Override a planned setting, such as layers=8 (repeatable). See docs/plan.md.",
            formerly="settings",
            metavar="NAME=VALUE",
            group=PLANNING,
        ),
    )
    include: tuple[str, ...] = field(
        default=(),
        metadata=_by(
            "--with",
            "Technique to use: NAME or NAME:SETTING=VALUE (repeatable). `daybreak plan` lists them.",
            keyword="with_",
            formerly="include",
            metavar="NAME",
            group=PLANNING,
        ),
    )
    exclude: tuple[str, ...] = field(
        default=(),
        metadata=_by(
            "--without",
            "Technique not to use (repeatable).",
            formerly="exclude",
            metavar="NAME",
            group=PLANNING,
        ),
    )
    technique_settings: dict[str, dict[str, str]] = field(default_factory=dict)  # from --with NAME:SETTING=VALUE
    weights: dict[str, float] = field(
        default_factory=dict,
        metadata=_by(
            "--weight",
            "Share of the training text taken from a source; one for every source. Default: by size.",
            formerly="weights",
            metavar="SOURCE=NUMBER",
            group=PLANNING,
        ),
    )
    native: bool = field(
        default=True,
        metadata=_by(
            "--native",
            "Only model shapes that transformers can open, or any shape.",
            off="--no-native",
            group=PLANNING,
        ),
    )
    reproducible: bool = field(
        default=False,
        metadata=_by(
            "--reproducible", "Deterministic run: the same command gives the same model, bit for bit.", group=COMPUTING
        ),
    )
    seed: int = field(
        default=0, metadata=_by("--seed", "Random seed.", metavar="NUMBER", least=0, most=LARGEST_SEED, group=COMPUTING)
    )
    device: str = field(
        default="",
        metadata=_by(
            "--device",
            "Device: cpu, cuda, cuda:1 or mps. Default: the fastest one.",
            metavar="DEVICE",
            group=COMPUTING,
        ),
    )
    cluster: str = field(
        default="",
        metadata=_by(
            "--cluster",
            "Ray cluster that prepares the text: local, auto or ray://HOST:10001.",
            metavar="ADDRESS",
            group=COMPUTING,
        ),
    )

    @classmethod
    def from_json(cls, data: Json, where: str = "") -> Self:
        """Also of an older request, whose techniques have become settings. Raises UsageError, as `Value.from_json`."""
        return super().from_json(request_of_today(data), where)

    def shown(self) -> "Request":
        """The request as it may be stored: addresses without a password or a signature."""
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

    def words(self) -> list[str]:
        """The words behind `daybreak run` that ask for this, options first; defaults are left out.

        A folder that was only prepared has no budget, and its settings are options of `daybreak prepare`.
        """
        words: list[str] = []
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if not option.flag or value == usual_of(name) or (name == "family" and self.parent):
                continue  # a checkpoint says its family
            if name == "seconds":
                words += [option.flag, f"{value!r}".removesuffix(".0") + "s"] if value and not self.until else []
            elif name == "settings" and not self.seconds:
                words += [word for setting, told in value.items() for word in (f"--{setting}", told)]
            elif isinstance(value, bool):
                words.append(option.flag if value else option.off)
            elif isinstance(value, dict | tuple):
                words += [word for told in self._repeated(name) for word in (option.flag, told)]
            else:
                words += [option.flag, str(value)]
        if any(source.startswith("-") and source != "-" for source in self.sources):
            words.append("--")
        return [*words, *self.sources]

    def _repeated(self, name: str) -> list[str]:
        """The values of an option that may be given again and again."""
        value = getattr(self, name)
        if name == "include":
            own = {n: ",".join(f"{k}={v}" for k, v in pairs.items()) for n, pairs in self.technique_settings.items()}
            return [f"{name}:{own[name]}" if own.get(name) else name for name in value]
        return [f"{key}={told}" for key, told in value.items()] if isinstance(value, dict) else list(value)

    def command(self, folder: str = "") -> str:
        """The shell command that asks for this. folder: of text that is only prepared, which is named in it."""
        verb = ["run"] if self.seconds else ["prepare", "--out", folder]
        return shlex.join(["daybreak", *verb, *self.words()])


FIELDS = {f.name: f for f in dataclasses.fields(Request)}
OPTIONS: dict[str, Option] = {name: f.metadata["option"] for name, f in FIELDS.items() if "option" in f.metadata}
_SORTS = {str: "a text", int: "a whole number", bool: "True or False"}


def usual_of(name: str) -> object:
    """The default of a field; MISSING where it has none."""
    told = FIELDS[name]
    return told.default_factory() if told.default_factory is not dataclasses.MISSING else told.default


def request_of(asked: Mapping[str, object], *, used: float = 0.0) -> Request:
    """The request that a command, or a call from Python, asks for. Raises UsageError.

    asked: by the options' names in Python, values as the command line has them; a mapping may stand for its pairs, and
    one word for a list of it. used: seconds since the command was started, which a moment of the day includes.
    """
    values: Json = {}
    for name, option in OPTIONS.items():
        if option.name not in asked or name in ("seconds", "until"):
            continue
        given = asked[option.name]
        if not (isinstance(usual_of(name), dict | tuple) or name == "sources"):
            values[name] = _checked(option, given, type(usual_of(name)))
        elif name == "settings":
            values[name] = dict(map(_setting, listed(given)))
        elif name == "weights":
            values[name] = dict(map(_weight, listed(given)))
        elif name == "include":
            values |= with_settings(listed(given))
        else:
            values[name] = listed(given)
    return Request(**{"sources": (), **_budget(asked.get("for_"), asked.get("until"), used), **values})


def _checked(option: Option, given: object, kind: type) -> object:
    """A value that is no list: of its type and in its range. Raises UsageError."""
    if kind is str and isinstance(given, os.PathLike):
        given = os.fspath(given)
    if type(given) is not kind:
        raise UsageError(
            f"{option.flag} takes {_SORTS[kind]}", received=f"{option.name}={given!r}", attempt=f"{_SORTS[kind]}"
        )
    least = -math.inf if option.least is None else option.least
    most = math.inf if option.most is None else option.most
    if isinstance(given, int) and not least <= given <= most:
        limits = f"{option.least} to {option.most}" if option.most is not None else f"{option.least} or more"
        raise UsageError(f"{option.flag} is out of range", received=f"{option.flag} {given}", attempt=limits)
    return given


def listed(given: object) -> tuple[str, ...]:
    """Several values: given as one text, as a list, or as a mapping (each pair as name=value). Raises UsageError."""
    if given is None:
        return ()
    if isinstance(given, str | os.PathLike):
        return (os.fspath(given),)
    if isinstance(given, Mapping):
        return tuple(f"{name}={value}" for name, value in given.items())
    if not isinstance(given, Iterable):
        raise UsageError("a text or a list of texts was expected", received=f"{given!r}", attempt="a list of texts")
    return tuple(map(os.fspath, given))


def _budget(duration: object, until: object, used: float) -> dict[str, float | str]:
    """`seconds` and `until` of a request; a time that is given and empty is a mistake. Raises UsageError."""
    if duration is not None and until is not None:
        raise UsageError(
            "--for and --until cannot be combined",
            received=f"--for {duration} and --until {until}",
            attempt="use one of the two, such as --for 20m or --until 07:00",
        )
    if until is None:
        given = _checked(OPTIONS["seconds"], USUAL_BUDGET if duration is None else duration, str)
        return {"seconds": units.seconds_of(str(given))}
    now = datetime.datetime.now()
    end = units.moment_of(str(_checked(OPTIONS["until"], until, str)), now)
    return {"seconds": end.timestamp() - now.timestamp() + used, "until": end.isoformat()}


def _setting(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals and value):
        raise UsageError(
            "--set needs a name and a value", received=f"--set {pair}", attempt="write it like --set layers=8"
        )
    return name, value


def _weight(pair: str) -> tuple[str, float]:
    name, _, value = pair.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(
            "--weight needs a source and a number",
            received=f"--weight {pair}",
            attempt="write it like --weight SOURCE=0.7",
        ) from None


def with_settings(words: Iterable[str]) -> dict[str, tuple[str, ...] | dict[str, dict[str, str]]]:
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
                    "a technique's setting needs a name and a value",
                    received=f"--with {word}",
                    attempt=f"write it like --with {name}:SETTING=VALUE",
                )
            settings.setdefault(name, {})[setting] = value
    return {"include": tuple(include), "technique_settings": settings}
