"""Whether the tests of a module notice when the module is wrong: mutation testing.

    python benchmarks/mutants.py --out mutants.json
    python benchmarks/mutants.py --noun loop --count 0 --resume mutants.json

A mutant is a module with one small change: another operator, a comparison the other way or off by one, a condition
that always or never holds, another constant, None in the place of what is returned. Messages, docstrings, annotations,
assertions, decorators and logging are left alone. Mutants are drawn by a seed from all modules of `NOUNS`; each is put
to the tests of its own module, which stop at the first failure. It is killed where a test fails or takes far longer
than before, and has survived where all pass: then a test is missing, the code is not needed, or the mutant does the
same as the original, for the reason in `EQUIVALENT`.

Everything happens in a copy of the package and its tests in a temporary folder: one process imports what is heavy and
forks for each mutant. The exit code is 1 where a mutant has survived that is not in `EQUIVALENT`.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "torch.optim.adamw", "numpy", "safetensors.torch", "xxhash", "hypothesis.strategies")
LOGGING = {"print", "log", "debug", "info", "warning", "warn", "error"}
WAITED = 10  # times the limit of processor seconds, and so many seconds more: others may be at work on the machine
MEMORY = 6 << 30  # bytes of address space beyond what the process has: a mutant may allocate without end


@dataclass(frozen=True, kw_only=True)
class Noun:
    """A module and the tests that are asked about it."""

    module: str  # path in the repository
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()  # of pytest


NOUNS = {
    "clock": Noun(module="daybreak/core/clock.py", tests=("tests/test_clock.py",)),
    "guard": Noun(module="daybreak/engine/guard.py", tests=("tests/test_guard.py",), options=("-k", "not false_alarm")),
    "checkpoints": Noun(
        module="daybreak/engine/checkpoints.py",
        tests=("tests/test_checkpoints.py",),
        # In processes of their own, which are slow to start, and would read the copy's file.
        options=("-k", "not killed and not disk_that_fails and not flipped_bits"),
    ),
    "batches": Noun(module="daybreak/data/batches.py", tests=("tests/test_batches.py",)),
    "loop": Noun(module="daybreak/engine/loop.py", tests=("tests/test_loop.py",)),
    "optimizers": Noun(module="daybreak/engine/optimizers.py", tests=("tests/test_optimizers.py",)),
    "metrics": Noun(module="daybreak/core/metrics.py", tests=("tests/test_metrics.py",)),
}

# (noun, the line as it is, the line as it was changed): why both do the same. Lines without their indentation.
_ALONE = "a world of one process gives its argument back"
_BLOCK = "a file is hashed in blocks of any size"
_FALSY = "who asks takes None as False"
_ONE = "times 1, or plus 0, to the last bit the same: only time is saved"
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "clock",
        "share = (used + 0.5 * expected_seconds - self.begin) / max(self.end - self.begin, 1e-9)",
        "share = (used + 0.5 * expected_seconds - self.begin) / max(self.end - self.begin, 2e-09)",
    ): "no step ends within a nanosecond",
    ("loop", "if world.size > 1:", "if True:"): _ALONE,
    ("loop", "if world.size > 1:", "if world.size >= 1:"): _ALONE,
    (
        "loop",
        "targets = world.sum(sum(loss.targets(batch) for batch in drawn)) or 1  # a batch may have nothing to learn",
        "targets = world.sum(sum(loss.targets(batch) for batch in drawn)) or 2  # a batch may have nothing to learn",
    ): "without targets the sum of their losses is 0, whatever it is divided by",
    ("checkpoints", "_BLOCK = 1 << 22", "_BLOCK = 1 << 23"): _BLOCK,
    ("checkpoints", "_BLOCK = 1 << 22", "_BLOCK = 2 << 22"): _BLOCK,
    ("checkpoints", "return False", "return None"): _FALSY,
    (
        "batches",
        "return part[:-1].reshape(-1, width), part[1:].reshape(-1, width)",
        "return part[:-1].reshape(-2, width), part[1:].reshape(-1, width)",
    ): "numpy takes any negative length as the one to find",
    (
        "batches",
        "return part[:-1].reshape(-1, width), part[1:].reshape(-1, width)",
        "return part[:-1].reshape(-1, width), part[1:].reshape(-2, width)",
    ): "numpy takes any negative length as the one to find",
    ("optimizers", "tall = x.shape[1] > x.shape[2]", "tall = x.shape[1] >= x.shape[2]"): (
        "a square matrix has the same singular values transposed"
    ),
    ("optimizers", "if self.factors:", "if True:"): _ONE,
    ("optimizers", "if keep != 1:", "if keep != 2:"): _ONE,
    ("optimizers", "if keep != 1:", "if True:"): _ONE,
    (
        "optimizers",
        "if keep := rate * self.weight_decay * rates.weight_decay:",
        "if ((keep := rate * self.weight_decay * rates.weight_decay) or True):",
    ): _ONE,
}


# Mutants of a text

ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    noun: str
    function: str  # qualified name, empty at the top of the module
    kind: str
    line: int
    before: str  # the lines that are changed
    after: str
    text: str  # of the whole module
    turn: int = 0  # among those with the same lines

    @property
    def key(self) -> str:
        """Stays as it is where other lines of the module change."""
        told = "\0".join((self.noun, self.function, self.kind, self.before, self.after, str(self.turn)))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def equivalent(self) -> str:
        """Why nothing can tell it from the original; empty where something can."""
        return EQUIVALENT.get((self.noun, self.before.strip(), self.after.strip()), "")


def mutants_of(noun: str, source: str) -> list[Mutant]:
    """Every mutant of a module's text, in the order of the text."""
    data = source.encode()
    finder = _Finder(data)
    finder.visit(ast.parse(source))
    found, turns = [], Counter[tuple[str, ...]]()
    for start, stop, new, kind, function in sorted(set(finder.found)):
        text = (data[:start] + new.encode() + data[stop:]).decode()
        try:
            compile(text, noun, "exec", dont_inherit=True)
        except SyntaxError:
            continue
        first = data.rfind(b"\n", 0, start) + 1
        last = data.find(b"\n", stop)
        before = data[first:last].decode()
        after = (data[first:start] + new.encode() + data[stop:last]).decode()
        about = (function, kind, before, after)
        line = data.count(b"\n", 0, start) + 1
        parts = {"noun": noun, "function": function, "kind": kind, "before": before, "after": after, "text": text}
        found.append(Mutant(line=line, turn=turns[about], **parts))
        turns[about] += 1
    return found


class _Finder(ast.NodeVisitor):
    """Collects (start, stop, new text, kind, function): bytes `start` to `stop` of the text are replaced."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.lines = [0, *(match.end() for match in re.finditer(b"\n", data))]
        self.found: list[tuple[int, int, str, str, str]] = []
        self.functions: list[str] = []

    def span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.lines[node.lineno - 1] + node.col_offset, self.lines[node.end_lineno - 1] + node.end_col_offset

    def add(self, start: int, stop: int, new: str, kind: str) -> None:
        self.found.append((start, stop, new, kind, ".".join(self.functions)))

    def between(self, left: ast.expr, right: ast.expr, old: str, new: Iterable[str], kind: str) -> None:
        """The operator between two expressions, which brackets and comments may stand beside."""
        begin, end = self.span(left)[1], self.span(right)[0]
        region = re.sub(rb"#[^\n]*", lambda match: b" " * len(match[0]), self.data[begin:end])
        pattern = rb"\b" + old.encode().replace(b" ", rb"\s+") + rb"\b" if old[0].isalpha() else re.escape(old.encode())
        match = re.search(pattern, region)
        assert match is not None, (old, region)
        for operator in new:
            self.add(begin + match.start(), begin + match.end(), operator, kind)

    # What is left alone

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None: ...

    def visit_Raise(self, node: ast.Raise) -> None: ...

    def visit_Assert(self, node: ast.Assert) -> None: ...

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None: ...

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "strict":  # of zip: an assertion
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in LOGGING:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if isinstance(last := node.body[-1], ast.Expr) and isinstance(last.value, ast.Constant):
            return  # a function of a Protocol, which never runs
        self.functions.append(node.name)
        self.visit(node.args)
        for statement in node.body:
            self.visit(statement)
        self.functions.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.functions.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self.functions.pop()

    # What is changed

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = [side for side in (node.left, node.right) if isinstance(side, ast.JoinedStr) or _is_text(side)]
        if type(node.op) in ARITHMETIC and not texts:
            old, new = ARITHMETIC[type(node.op)]
            self.between(node.left, node.right, old, [new], "arithmetic")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in ARITHMETIC and not isinstance(node.value, ast.JoinedStr) and not _is_text(node.value):
            old, new = ARITHMETIC[type(node.op)]
            self.between(node.target, node.value, f"{old}=", [f"{new}="], "arithmetic")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start, _ = self.span(node)
        if isinstance(node.op, (ast.Not, ast.USub)):
            kind = "condition" if isinstance(node.op, ast.Not) else "arithmetic"
            inner = self.span(node.operand)[0]
            self.add(start, inner, self.data[start:inner].decode().lstrip("not -"), kind)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            old, new = COMPARISONS[type(operator)]
            self.between(left, right, old, new, "comparison")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, old, [new], "condition")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.condition(test)
        self.generic_visit(node)

    def condition(self, test: ast.expr) -> None:
        if isinstance(test, ast.Constant):
            return
        start, stop = self.span(test)
        named = any(isinstance(node, ast.NamedExpr) for node in ast.walk(test))
        told = self.data[start:stop].decode()
        self.add(start, stop, f"(({told}) or True)" if named else "True", "condition")
        self.add(start, stop, f"(({told}) and False)" if named else "False", "condition")

    def visit_Constant(self, node: ast.Constant) -> None:
        start, stop = self.span(node)
        if isinstance(node.value, bool):
            self.add(start, stop, str(not node.value), "constant")
        elif isinstance(node.value, int):
            self.add(start, stop, str(node.value + 1), "constant")
        elif isinstance(node.value, float):
            self.add(start, stop, repr(2 * node.value if node.value else 1.0), "constant")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            start, stop = self.span(node.value)
            self.add(start, stop, "None", "return")
        self.generic_visit(node)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# Tests of a mutant


class _Source(importlib.machinery.SourceFileLoader):
    """Loads a module from a text in the place of its file's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class _Importer(MetaPathFinder):
    """Gives one module its mutated text; must stand before all others."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path, self.loader = name, path, _Source(name, str(path), text)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self.loader)


class _First:
    """A pytest plugin: the first test that failed."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


@dataclass(frozen=True, kw_only=True)
class Result:
    outcome: str  # "survived", "killed", "killed by time", "not imported"
    test: str = ""  # that failed first
    seconds: float = 0.0
    processor_seconds: float = 0.0


def tried(noun: Noun, folder: Path, text: str, *, limit: float) -> Result:
    """Runs a noun's tests with its module's text as it is given, in a process of its own.

    limit: processor seconds after which the tests count as hanging; of all seconds, many more (see WAITED).
    """
    receive, send = os.pipe()
    begun = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if not child:
        os.close(receive)
        os.setsid()  # so that all that it starts can be ended with it
        try:
            _child(noun, folder, text, send, limit)
        finally:
            os._exit(70)
    os.close(send)
    told, end = b"", begun + WAITED * limit + WAITED
    while select.select([receive], [], [], max(0.0, end - time.monotonic()))[0] and (part := os.read(receive, 65536)):
        told += part
    os.close(receive)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    passed = time.monotonic() - begun
    if not told.endswith(b"\n"):  # it did not come to its end
        late = (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF) or passed >= WAITED * limit + WAITED
        return Result(outcome="killed by time" if late else "killed", seconds=passed, processor_seconds=spent)
    found = json.loads(told)
    return Result(outcome=found["outcome"], test=found["test"], seconds=passed, processor_seconds=spent)


def _child(noun: Noun, folder: Path, text: str, send: int, limit: float) -> None:
    import pytest
    from hypothesis import settings

    signal.setitimer(signal.ITIMER_PROF, limit)  # its signal ends the process
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + MEMORY, space + MEMORY))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    settings.register_profile("mutants", database=None, derandomize=True)
    settings.load_profile("mutants")
    name = noun.module.removesuffix(".py").replace("/", ".")
    importer = _Importer(name, folder / noun.module, text)
    sys.meta_path.insert(0, importer)
    first = _First()
    words = [
        "-q",
        "-x",
        "--tb=no",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "--rootdir",
        str(folder),
    ]
    words += ["-m", "not long", *noun.options, *noun.tests]
    code = int(pytest.main(words, plugins=[first]))
    module = sys.modules.get(name)
    if code == 5 or (code == 0 and (module is None or module.__loader__ is not importer.loader)):
        outcome = "not imported"
    else:
        outcome = "killed" if code else "survived"
    os.write(send, json.dumps({"outcome": outcome, "test": first.failed}).encode() + b"\n")
    os._exit(0)


@contextlib.contextmanager
def copied(root: Path, nouns: Iterable[Noun]) -> Iterator[Path]:
    """A copy of the packages and their tests in a temporary folder, to work in and to import from."""
    here, path, environment = Path.cwd(), list(sys.path), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name).resolve()
        for part in {Path(file).parts[0] for noun in nouns for file in (noun.module, *noun.tests)}:
            ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
            shutil.copytree(root / part, folder / part, ignore=ignored)
        shutil.copy(root / "pyproject.toml", folder)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
        try:
            yield folder
        finally:
            os.chdir(here)
            sys.path[:] = path
            os.environ.clear()
            os.environ.update(environment)


def _warmed(heavy: Iterable[str], folder: Path) -> None:
    """Imports what each test run would import anew, and that no mutant changes. No thread may start here."""
    for name in ("pytest", "hypothesis", *heavy):
        importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    (folder / "test_nothing.py").write_text("def test_nothing(): pass\n")
    with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
        import pytest

        pytest.main(["-q", "--noconftest", "-p", "no:cacheprovider", "-W", "ignore", str(folder / "test_nothing.py")])


def digest(root: Path, noun: Noun) -> str:
    """Of the module, its tests and their options: where they change, the outcomes are found anew."""
    parts = [(root / file).read_bytes() for file in (noun.module, *noun.tests)]
    return hashlib.sha256(b"\0".join([*parts, " ".join(noun.options).encode()])).hexdigest()[:16]


def drawn(found: Iterable[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of all mutants (0: all); a change of one line leaves the others of the draw as they are."""
    order = sorted(found, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
    return order[: count or None]


def difference(row: Mapping[str, Any], module: str) -> str:
    """The mutant as a diff."""
    before, after = row["before"].splitlines(), row["after"].splitlines()
    lines = difflib.unified_diff(before, after, f"{module}:{row['line']}", row["function"], lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith("@@"))


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A line for each noun and one for all: mutants, killed (of those by time), equivalent, survived."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        survived = row["outcome"] == "survived"
        outcome = ("equivalent" if row["equivalent"] else "survived") if survived else "killed"
        for name in (row["noun"], "all"):
            told = counts.setdefault(name, Counter())
            told.update(["mutants", outcome, *(["by time"] if row["outcome"] == "killed by time" else [])])
    columns = ("mutants", "killed", "by time", "equivalent", "survived")
    lines = ["noun".ljust(14) + "".join(name.rjust(12) for name in columns) + "share killed".rjust(15)]
    for name in [*(name for name in counts if name != "all"), *(["all"] if counts else [])]:
        told = counts[name]
        cells = "".join(str(told[column]).rjust(12) for column in columns)
        lines.append(name.ljust(14) + cells + f"{told['killed'] / told['mutants']:.1%}".rjust(15))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None, *, root: Path = ROOT, nouns: Mapping[str, Noun] = NOUNS) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="mutants drawn from those of all nouns; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--noun", action="append", choices=list(nouns), help="only its mutants of the draw; repeatable")
    parser.add_argument("--resume", type=Path, help="outcomes of before, used where module and tests are the same")
    parser.add_argument("--survivors", action="store_true", help="of --resume, try again what survived, and only that")
    parser.add_argument("--out", type=Path, help="JSON of all mutants; default: the file of --resume")
    parser.add_argument(
        "--patience",
        type=float,
        default=5.0,
        help="a mutant is killed by time after five times the processor seconds of the tests, and so many more",
    )
    parser.add_argument("--heavy", nargs="*", default=HEAVY, help="modules to import once")
    asked = parser.parse_args(argv)
    out = (asked.out or asked.resume).resolve() if asked.out or asked.resume else None
    before = json.loads(asked.resume.read_text()) if asked.resume and asked.resume.exists() else {}
    known = {row["key"]: row for row in before.get("mutants", ())}
    wanted = asked.noun or list(nouns)
    rows: list[dict[str, Any]] = []
    with copied(root, nouns.values()) as folder:
        texts = {name: (folder / noun.module).read_text(encoding="utf-8") for name, noun in nouns.items()}
        every = [mutant for name, text in texts.items() for mutant in mutants_of(name, text)]
        chosen = drawn(every, asked.count, asked.seed)
        digests = {name: digest(folder, nouns[name]) for name in wanted}
        warm = False
        told = {"count": asked.count, "seed": asked.seed, "of": len(every), "digests": digests, "mutants": rows}
        for name in wanted:
            noun, plain = nouns[name], None
            same = before.get("digests", {}).get(name) == digests[name]
            for mutant in sorted((one for one in chosen if one.noun == name), key=lambda one: one.line):
                row = known.get(mutant.key)
                if row is None or not (row["outcome"] != "survived" if asked.survivors else same):
                    if not warm:
                        _warmed(asked.heavy, folder)
                        warm = True
                    if plain is None:
                        plain = tried(noun, folder, texts[name], limit=600)
                        if plain.outcome != "survived":
                            print(f"{name}: its tests fail without a mutant: {plain.outcome} {plain.test}")
                            return 2
                        limit = 5 * plain.processor_seconds + asked.patience
                        print(f"{name}: its tests take {plain.processor_seconds:.1f} s", flush=True)
                    result = tried(noun, folder, mutant.text, limit=limit)
                    if result.outcome == "not imported":
                        print(f"{name}: its tests do not import {noun.module}")
                        return 2
                    row = {"outcome": result.outcome, "test": result.test, "seconds": round(result.seconds, 2)}
                fields = ("key", "noun", "function", "kind", "line", "before", "after", "equivalent")
                rows.append({**{field: getattr(mutant, field) for field in fields}, **_outcome(row)})
                if rows[-1]["outcome"] == "survived" and not mutant.equivalent:
                    print(difference(rows[-1], noun.module), flush=True)
                if out:
                    aside = out.with_suffix(".new")
                    aside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
                    aside.replace(out)
    print(table(rows))
    for row in rows:
        if row["equivalent"] and row["outcome"] != "survived":
            print(f"not equivalent, {row['test']} kills it:\n{difference(row, nouns[row['noun']].module)}")
    return int(any(row["outcome"] == "survived" and not row["equivalent"] for row in rows))


def _outcome(row: Mapping[str, Any]) -> dict[str, Any]:
    return {field: row[field] for field in ("outcome", "test", "seconds")}


if __name__ == "__main__":
    sys.exit(main())
