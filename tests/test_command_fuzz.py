"""The command line under odd words and in odd surroundings: always an exit code and an error in three parts.

Try number n is the same on every machine, so many tries can be divided and gone on with:

    DAYBREAK_TRIES=1000:500 pytest -m long -s tests/test_command_fuzz.py

makes 500 of them from number 1000 on, and prints how many there were of each exit code.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import functools
import io
import json
import os
import random
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import small_runs
import typer.main

from daybreak import cli
from daybreak.core import terminal
from daybreak.core.run import write_json
from daybreak.data.tokenizers import train_tokenizer

PARSERS: dict[str, Any] = dict(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
FIRST, COUNT = (int(number) for number in os.environ.get("DAYBREAK_TRIES", "0:5000").split(":"))
SECONDS = 200  # that a try may take on a busy machine
IN_PROCESS, OF_ALL = 4, 5  # of so many tries, so many are made in this process, in ordinary surroundings
CODES = {0, 2, 3, 4, 5, 75, 130}

TEXTS = ("", " ", "-", "--", "-x", "- a b", "--no such", "é中😀", "\udcff\udc80", "\n", "\x1b[31m", "%s{}{0}", "~")
TEXTS += ("*", "[", "**/*.txt", "../..", "/", "/dev/null", "/proc/self/mem", "a" * 5000, "a/" * 400, "null", "=", ":")
TEXTS += (
    "http://127.0.0.1:9/x",
    "http://",
    "http://[",
    "file:///x",
    "NaN",
    "\ufeff",
    "\u202e",
    "-1",
    ",",
    "x\ty",
    "$HOME",
)
NUMBERS = ("-1", "0", "1", "2", "257", "1e3", "0x10", "1_0", " 5", "١٢", "nan", "inf", "-inf", "1e400", "", "x", "½")
LARGE = (str(2**31), str(2**63 - 1), str(2**63), str(2**64), str(-(2**63) - 1), "9" * 5000)
PATHS = ("novel.txt", "empty.txt", "blank.txt", "folder", "nothing", "binary.bin", "dangling", "loop", "\udcff.txt")
PATHS += ("novel.txt/x", "questions.jsonl", "broken.json", "runs", "runs/counts", "runs/network/model", "pipe")
RUNS = (
    "runs/counts",
    "runs/network",
    "runs/broken",
    "runs/prepared",
    "runs/only-request",
    "runs/deep",
    "runs",
    "nothing",
)
TIMES = (
    "0",
    "1s",
    "2s",
    "-5",
    "tomorrow",
    "1e9h",
    "999999d",
    "",
    "1h1h1h",
    "5 s",
    "٢s",
    "07:00",
    "nan",
    "7.9s",
)
MOMENTS = ("25:00", "", "yesterday", "2020-01-01", "99999-01-01", "07:00:00:00", "2030-13-01T00:00", "0001-01-01T00:00")
NAMES = (
    "ema",
    "averagin",
    "muon",
    "ema:memory",
    "ema:memory=x",
    "ema:memory=0.1",
    "bf16",
    "packing",
    "ngram_mix",
    "gpt",
)
SETTINGS = (
    "layers=8",
    "layer=8",
    "layers=-1",
    "layers=x",
    "width=1e9",
    "norm=foo",
    "optimizer=mion",
    "=",
    "layers",
    "tied=2",
)
SETTINGS += ("heads=0", "context_length=0", "learning_rate=nan", "learning_rate=inf", "micro_batch=0", "vocabulary=7")
OF_OPTION: dict[str, Sequence[str]] = {
    "--for": TIMES,
    "--until": MOMENTS,
    "--set": SETTINGS,
    "--with": NAMES,
    "--without": NAMES,
    "--weight": ("novel.txt=1", "novel.txt=x", "=1", "novel.txt=nan", "novel.txt=-1", "nothing=1", "novel.txt"),
    "--family": ("gpt", "bert", "ngram", "lstm", "gtp", "foreign", ""),
    "--tokenizer": ("bytes", "bpe", "words", "bep", "broken.json", "novel.txt", "wordpiece"),
    "--device": ("cpu", "cuba", "cuda:99", "cpu:7", "meta", "cuda:-1", "mps"),
    "--mirror": ("tensorbord", "trackio", "x"),
    "--to": ("hf", "gguf", "tensorboard", "x", ""),
    "--language": ("en", "zh", "fr", ""),
    "--precision": ("float32", "bfloat16", "float8", ""),
    "--port": ("-1", "99999", "x", ""),
    "--models": ("gpt,lstm", "gtp", ",", ""),
    "--techniques": ("averaging", "averagin", ",", ""),
    "--max-tokens": ("-1", "0", "1", "5", "x", "1e3"),
    "--n": ("-1", "0", "1", "2", "x"),
    "--lm-eval": ("blimp", "nothing", ","),
    "--seed": (*NUMBERS, *LARGE),
}
NEVER = {"--cluster", "--follow", "--help", "--open", "--no-open"}
WATCHED = ("nothing", "runs", "novel.txt", "")  # a page of a run would be served without an end


@dataclass(frozen=True)
class Try:
    number: int
    words: tuple[str, ...]
    surroundings: tuple[str, ...] = ()  # names of SURROUNDINGS; none: in this process

    def __str__(self) -> str:
        where = f"  in {', '.join(self.surroundings)}" if self.surroundings else ""
        return f"{self.number}: {shlex.join(['daybreak', *self.words])!r}{where}"


@dataclass
class Ended:
    code: int
    out: bytes
    err: bytes
    wrong: list[str] = field(default_factory=list)


# What is tried


def drawn(number: int) -> Try:
    chance = random.Random(f"daybreak {number}")
    verb = chance.choice(sorted(PARSERS))
    words: list[str] = [verb]
    for parameter in PARSERS[verb].params:
        words += _argument(verb, chance) if parameter.param_type_name == "argument" else _option(parameter, chance)
    if verb in ("run", "plan", "baselines") and "--for" not in words and "--until" not in words:
        words += ["--for", chance.choice(TIMES)]
    if verb == "measure" and "--for" not in words:
        words += ["--for", "1s"]
    if chance.random() < 0.05:
        words.insert(chance.randrange(len(words)), chance.choice(TEXTS))
    if chance.random() < 0.05:
        words.append(chance.choice(("--", "--frm", "-h", "--json=yes", "--seed", "--version")))
    if number % OF_ALL < IN_PROCESS:
        return Try(number, tuple(words))
    places = chance.sample(sorted(SURROUNDINGS), chance.choice((1, 1, 2)))
    return Try(number, tuple(word.replace("\0", "") for word in words), tuple(places))


def _argument(verb: str, chance: random.Random) -> list[str]:
    if verb == "watch":
        return [chance.choice(WATCHED)]
    if verb in ("run", "plan", "prepare", "baselines"):
        least = verb == "prepare"  # without a text, or with all of /, it would read for minutes
        words = [chance.choice(PATHS if chance.random() < 0.8 else TEXTS) for _ in range(chance.randrange(least, 3))]
        return [word for word in words if word not in ("/", "../..", "*", "**/*.txt") or verb != "prepare"] or [
            "folder"
        ]
    if verb == "compare":
        return [chance.choice(RUNS) for _ in range(chance.randrange(4))]
    return [] if chance.random() < 0.05 else [chance.choice(RUNS if chance.random() < 0.8 else TEXTS)]


def _option(parameter: Any, chance: random.Random) -> list[str]:
    flags = [flag for flag in (*parameter.opts, *parameter.secondary_opts) if flag not in NEVER]
    if not flags or chance.random() > (0.6 if parameter.required else 0.2):
        return []
    flag = chance.choice(flags)
    if parameter.is_flag:
        return [flag]
    known = OF_OPTION.get(flag)
    if known is None:
        numbers = isinstance(parameter.default, int | float) or flag in ("--limit", "--batch", "--vocabulary")
        known = (*NUMBERS, *LARGE) if numbers else PATHS if chance.random() < 0.5 else TEXTS
    elif chance.random() < 0.2 and flag not in ("--max-tokens", "--n", "--port", "--for"):
        known = TEXTS
    value = chance.choice(known)
    return [f"{flag}={value}"] if chance.random() < 0.2 else [flag, value]


# Where it is tried

Prepare = Callable[[Path, dict[str, Any]], None]


def _variable(**values: str | None) -> Prepare:
    def prepare(place: Path, how: dict[str, Any]) -> None:
        for name, value in values.items():
            how["env"].pop(name, None)
            if value is not None:
                how["env"][name] = value.replace("PLACE", str(place))

    return prepare


def _limit(kind: int, amount: int) -> Prepare:
    def prepare(place: Path, how: dict[str, Any]) -> None:
        how["limits"][kind] = min(amount, how["limits"].get(kind, amount))

    return prepare


def _closed(descriptor: int) -> Prepare:
    def prepare(place: Path, how: dict[str, Any]) -> None:
        how["begin"].append(lambda: os.close(descriptor))

    return prepare


def _onto(name: str, path: str) -> Prepare:
    def prepare(place: Path, how: dict[str, Any]) -> None:
        how[name] = path

    return prepare


def _stranger(place: Path, how: dict[str, Any]) -> None:
    """A user that the system does not know, without a home, and without what a user is called."""
    how["env"].pop("HOME", None)
    how["before"] = _as_a_stranger()


@functools.cache
def _as_a_stranger() -> tuple[str, ...]:
    """The words before a command that give it a user number of no name; none where the system does not let us."""
    words = ("unshare", "--user", "--map-user=54321")
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return words
    return ()


def _read_only(place: Path, how: dict[str, Any]) -> None:
    """A working folder in which nothing can be made, not even by a user that may do all elsewhere."""
    how["before"] = _as_a_stranger()
    how["cwd"] = place / "locked"


def _no_processes(place: Path, how: dict[str, Any]) -> None:
    how["before"] = _as_a_stranger()
    _limit(resource.RLIMIT_NPROC, 1)(place, how)


def _gone(place: Path, how: dict[str, Any]) -> None:
    """The working folder is taken away when the command starts."""
    folder = tempfile.mkdtemp()
    how["begin"] += [lambda: os.chdir(folder), lambda: os.rmdir(folder)]  # noqa: PTH106


SURROUNDINGS: dict[str, Prepare] = {
    "ascii": _variable(PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
    "latin": _variable(PYTHONIOENCODING="latin-1"),
    "C locale": _variable(LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "no HOME": _variable(HOME=None),
    "HOME that is a file": _variable(HOME="PLACE/novel.txt", DAYBREAK_CACHE=None, XDG_CACHE_HOME=None),
    "no TMPDIR": _variable(TMPDIR="PLACE/missing"),
    "cache that is a file": _variable(DAYBREAK_CACHE="PLACE/novel.txt/x"),
    "narrow": _variable(COLUMNS="1", TERM="dumb"),
    "few files": _limit(resource.RLIMIT_NOFILE, 12),
    "some files": _limit(resource.RLIMIT_NOFILE, 40),
    "little memory": _limit(resource.RLIMIT_AS, 300 << 20),
    "some memory": _limit(resource.RLIMIT_AS, 1200 << 20),
    "no file sizes": _limit(resource.RLIMIT_FSIZE, 0),
    "small file sizes": _limit(resource.RLIMIT_FSIZE, 20_000),
    "little stack": _limit(resource.RLIMIT_STACK, 1 << 20),
    "no input": _closed(0),
    "no output": _closed(1),
    "no errors": _closed(2),
    "full output": _onto("stdout", "/dev/full"),
    "full errors": _onto("stderr", "/dev/full"),
    "stranger": _stranger,
    "read-only folder": _read_only,
    "no processes": _no_processes,
    "folder gone": _gone,
}
UNSEEN = {
    "no output",
    "no errors",
    "full output",
    "full errors",
    "no file sizes",
    "small file sizes",
}  # no text to judge


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plan: Any, network: Any) -> Path:
    return furnished(tmp_path_factory.mktemp("fuzz"), plan, network)


def furnished(place: Path, plan: Any, network: Any) -> Path:
    """A folder with what the words name: texts, odd files, and runs, whole and damaged."""
    words = "the cat sat on the mat and looked at the dog, which did not look back at it .\n"
    (place / "novel.txt").write_text("".join(f"{i} {words}" for i in range(1200)))
    (place / "empty.txt").write_text("")
    (place / "blank.txt").write_text(" \n" * 1000)
    (place / "binary.bin").write_bytes(bytes(range(256)) * 40)
    (place / "broken.json").write_text('{"model": ')
    (place / "questions.jsonl").write_text('{"query": "a", "choices": ["b", "c"], "gold": 0}\n')
    (place / "folder").mkdir()
    (place / "locked").mkdir()
    for name in ("novel.txt", "runs", "questions.jsonl"):
        (place / "locked" / name).symlink_to(place / name)
    (place / "locked").chmod(0o555)
    (place / "dangling").symlink_to("nowhere")
    (place / "loop").symlink_to("loop")
    with contextlib.suppress(OSError):  # where a name has to be UTF-8
        (place / os.fsdecode(b"\xff.txt")).write_text(words * 10)
    os.mkfifo(place / "pipe")
    documents = [words * 3, words[::-1] * 3]
    tokenizer = train_tokenizer(documents, 300)
    small_runs.of_counts(place / "runs/counts", plan(), documents, tokenizer, 3)
    small_runs.of_network(place / "runs/network", plan(), network(vocabulary=tokenizer.vocabulary), tokenizer)
    small_runs.of_counts(place / "runs/broken", plan(), documents, tokenizer, 3)
    for name in ("plan.json", "model/config.json", "tokenizer.json", "log.jsonl", "heartbeat.json"):
        (place / "runs/broken" / name).write_text('{"schema": 1, "a": [')
    (place / "runs/only-request").mkdir()
    write_json(place / "runs/only-request/request.json", {"schema": 2, "sources": ["a"], "seconds": 60.0})
    (place / "runs/deep").mkdir()
    (place / "runs/deep/plan.json").write_text("[" * 100_000)
    (place / "runs/deep/request.json").write_text("null")
    (place / "runs/prepared").mkdir()
    write_json(place / "runs/prepared/request.json", {"schema": 2, "sources": [], "seconds": 0.0})
    return place


# What comes of it


def carried_out(one: Try, place: Path) -> Ended:
    return elsewhere(one, place) if one.surroundings else here(one, place)


def here(one: Try, place: Path) -> Ended:
    """In this process, as `main` does it."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=terminal.AS_IT_GOES) for _ in range(2)]
    given = sys.stdin, Path.cwd()
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"some text\n\xff"), encoding="utf-8", errors="surrogateescape")
    os.chdir(place)
    wrong, code = [], -1
    try:
        with _in_time(), contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            code = cli.answered(one.words)
    except BaseException as error:
        wrong.append(f"{type(error).__name__} came out: {error}")
    finally:
        sys.stdin = given[0]
        os.chdir(given[1])
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
    return Ended(code, out, err, wrong)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def over(*_: Any) -> None:
        raise BaseException(f"it takes over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def elsewhere(one: Try, place: Path) -> Ended:
    """In a process of its own, in odd surroundings."""
    how: dict[str, Any] = {
        "env": {**os.environ, "TMPDIR": str(place.parent)},
        "begin": [],
        "limits": {},
        "before": (),
        "cwd": place,
    }
    for name in one.surroundings:
        SURROUNDINGS[name](place, how)

    def begin() -> None:
        for change in how["begin"]:
            change()
        for kind, amount in how["limits"].items():  # last: what comes after them may lack what they limit
            resource.setrlimit(kind, (amount, amount))

    with contextlib.ExitStack() as stack:
        out, err = (stack.enter_context(open(how.get(name) or os.devnull, "w")) for name in ("stdout", "stderr"))
        try:
            done = subprocess.run(
                [*how["before"], sys.executable, "-P", "-m", "daybreak", *map(os.fsencode, one.words)],
                stdin=subprocess.DEVNULL,
                stdout=out if "stdout" in how else subprocess.PIPE,
                stderr=err if "stderr" in how else subprocess.PIPE,
                cwd=how["cwd"],
                env=how["env"],
                preexec_fn=begin,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Ended(-1, b"", b"", [f"it takes over {SECONDS} s"])
        except OSError as error:  # a line that the system does not take
            assert error.errno in (errno.E2BIG, errno.EMFILE)
            return Ended(2, b"", b"error: \n  received: \n  try: ")
    return Ended(done.returncode, done.stdout or b"", done.stderr or b"")


def judged(one: Try, ended: Ended) -> list[str]:
    """What is wrong with how it ended, in words."""
    wrong = list(ended.wrong)
    err = ended.err.decode("utf-8", "replace")
    started = "Fatal Python error" not in err and "init_import_site" not in err  # Python itself could not
    if not started:
        return wrong
    if "Traceback" in err:
        wrong.append("a traceback")
    if "internal error" in err:
        wrong.append("an error without a named cause")
    if ended.code not in CODES and not wrong:
        wrong.append(f"exit code {ended.code}")
    unseen = UNSEEN & set(one.surroundings)
    if ended.code not in (0, 130) and not unseen and "Usage: daybreak" not in err:
        last = f"\n{err}".rpartition("\nerror: ")[2]
        what, _, rest = last.partition("\n  received: ")
        received, _, attempt = rest.partition("\n  try: ")
        if not (what.strip() and received.strip() and attempt.strip()):
            wrong.append("no error in three parts")
    printed = "--help" not in one.words and "there are no runs" not in err
    if ended.code == 0 and "full output" in one.surroundings and printed:
        wrong.append("success, though nothing could be written")
    if ended.code == 0 and "--json" in one.words and not unseen and "--version" not in one.words:
        try:
            json.loads(ended.out.decode("latin-1" if "latin" in one.surroundings else "utf-8"))
        except ValueError as error:
            wrong.append(f"success, and no JSON: {error}")
    return wrong


def tried(numbers: Sequence[int], place: Path) -> tuple[list[str], collections.Counter[Any]]:
    """What went wrong, and how often each exit code came, and each cause of a 4."""
    found, codes = [], collections.Counter[Any]()
    for number in numbers:
        one = drawn(number)
        ended = carried_out(one, place)
        codes[ended.code] += 1
        if ended.code == 4:
            codes[ended.err.decode("utf-8", "replace").partition("error: ")[2].partition("\n")[0]] += 1
        if wrong := judged(one, ended):
            found.append(f"{one}\n    {'; '.join(wrong)}\n    {ended.err.decode('utf-8', 'replace')[-600:]}")
    return found, codes


def test_odd_words_end_in_an_exit_code_and_three_parts(place: Path) -> None:
    quick = [n for n in range(52) if not drawn(n).surroundings and drawn(n).words[0] != "doctor"]  # which measures
    assert len(quick) >= 35
    found, codes = tried(quick, place)
    assert not found, "\n".join(found)
    assert codes[2] > 10  # most are wrong, and there were some


@pytest.mark.long
@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, 100))
def test_5000_odd_command_lines_and_surroundings(first: int, place: Path) -> None:
    found, codes = tried(range(first, min(first + 100, FIRST + COUNT)), place)
    print(f"\n{first}: {dict(codes)}", *found, sep="\n", flush=True)
    assert not found, "\n".join(found)


def test_the_same_number_is_the_same_try() -> None:
    assert [drawn(n) for n in range(50)] == [drawn(n) for n in range(50)]
    assert {name for n in range(2000) for name in drawn(n).surroundings} == set(SURROUNDINGS)
    assert {drawn(n).words[0] for n in range(500)} >= set(PARSERS) - {"watch"}


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Ended(4, b"", b"error: internal error (please report it)\n  received: x\n  try: y"), "cause"),
        (Ended(2, b"", b"error: x"), "three parts"),
        (Ended(1, b"", b"error: x\n  received: y\n  try: z"), "exit code 1"),
        (Ended(0, b"{", b""), "no JSON"),
        (Ended(2, b"", b"Traceback (most recent call last)"), "traceback"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_promise_is_seen(ended: Ended, told: str) -> None:
    assert told in "; ".join(judged(Try(0, ("list", "--json")), ended))
