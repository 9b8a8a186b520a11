"""Families: each is known by its record alone, nobody else asks for one by name, and one can come from outside."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tasks
from daybreak.core import shapes
from daybreak.core.errors import UsageError
from daybreak.core.request import OPTIONS
from daybreak.core.run import Run
from daybreak.core.types import Plan
from daybreak.core.values import Tagged
from daybreak.models import families
from daybreak.models.families.record import SpecialTokens
from daybreak.models.module import LanguageModel
from daybreak.stages.evaluate.text import evaluate

PACKAGE = Path(daybreak.__file__).parent
NAMES = {family.name for family in families.OURS}
CLASSES = {family.shape.__name__ for family in families.OURS}
# Where a name may stand, and why.
EXEMPT = {
    "models/families/": "the records",
    "models/lstm.py": "the family's own module: its cell is named lstm or rnn",
    "core/shapes/": "the shape classes: likewise",
    "models/layouts/": "model_type of transformers' classes, of which some are named as families are",
    "techniques/": "a technique's own field `families`, for which modules it is made",
    "apps/baselines.py": "the runs that it makes, as a user would ask for them",
}


def asked(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every place where code decides by the name of a family or by the class of a shape."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Compare):
            parts = [part for part in ast.walk(node) if isinstance(part, ast.Constant)]
            yield from ((line, part.value) for part in parts if isinstance(part.value, str) and part.value in NAMES)
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in NAMES:
            yield line, str(node.value.value)
        elif isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name) and node.cls.id in CLASSES:
            yield line, node.cls.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("is"):
            named = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            yield from ((line, name) for name in sorted(named & CLASSES))
        elif isinstance(node, ast.Dict | ast.Tuple | ast.List | ast.Set):
            parts = node.keys if isinstance(node, ast.Dict) else node.elts
            listed = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
            if len(listed & NAMES) > 1:
                yield line, ", ".join(sorted(listed & NAMES))


def test_nobody_but_the_records_asks_for_a_family_by_its_name_or_for_the_class_of_a_shape() -> None:
    found, spelled = [], "|".join([*CLASSES, *(f"[\"']{name}[\"']" for name in NAMES)])
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        text = path.read_text(encoding="utf-8")
        if not name.startswith(tuple(EXEMPT)) and re.search(spelled, text):
            tree = ast.parse(text)
            found += [f"daybreak/{name}:{line} asks for {what}" for line, what in asked(tree)]
    assert not found, "\n".join([*found, "read it from families.of(shape) or families.named(name), a field of Family"])


def test_no_file_is_exempt_without_need() -> None:
    for place in EXEMPT:
        files = (PACKAGE / place).rglob("*.py") if place.endswith("/") else [PACKAGE / place]
        words = "\n".join(path.read_text(encoding="utf-8") for path in files)
        assert any(f'"{name}"' in words for name in NAMES), place


@pytest.mark.parametrize(
    "code",
    [
        'shape.family == "gpt"',
        'x = 1 if family != "t5" else 2',
        'family in ("bert", other)',
        "isinstance(shape, GptShape)",
        "isinstance(shape, (str, shapes and T5Shape))",
        'RATES = {"gpt": 1, "bert": 2}',
        'match family:\n    case "lstm": pass',
        "match shape:\n    case LstmShape(): pass",
    ],
)
def test_the_rule_itself_finds_what_it_forbids(code: str) -> None:
    assert list(asked(ast.parse(code)))


def test_reading_records_imports_nothing_heavy() -> None:
    code = (
        "import sys; from daybreak.models import families; families.every(); "
        "print(*[name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("family", families.OURS, ids=lambda family: family.name)
def test_a_record_is_whole(family: families.Family) -> None:
    assert family.shape.family == family.name and Tagged.KINDS[family.name] is family.shape
    assert family.objective in tasks.NAMES and families.named(family.name) is family
    if family.rung is None:
        return
    needed = family.special_tokens
    rows = needed.behind(257) if needed else None
    shape: Any = family.rung(2, 128, vocabulary=257 if rows is None else rows.pad + 200, context_length=128)
    assert families.of(shape).name == family.name and isinstance(shape, family.shape)
    shape = shape.replace(vocabulary=512)
    module = family.module(shape)
    assert isinstance(module, LanguageModel) and module.shape == shape and module.rate_factors() is not None
    names = dict(module.state_dict())
    assert len(names[family.embedding]) == len(names[family.head]) == 512
    module.initialize(0)
    assert {id(weight) for weight in (*module.matrices(), *module.embeddings_and_norms())} == {
        id(weight) for weight in module.parameters()
    }
    assert family.layout or family.ours_too, "there is a class that its model/ is written as"


def test_the_command_names_every_family_that_can_be_asked_for() -> None:
    assert all(name in OPTIONS["family"].help for name in families.listed())
    assert "foreign" not in families.listed() and families.COUNTED in families.listed()


def test_special_tokens_stand_one_after_the_other() -> None:
    both = SpecialTokens(mask=True, sentinels=2).behind(10)
    assert (both.pad, both.mask, both.sentinels) == (10, 11, (12, 13))


def test_shapes_of_one_family_may_have_records_of_their_own() -> None:
    shape = shapes.LstmShape(vocabulary=64, layers=1, width=64, context_length=64)
    rates = [families.of(shape.replace(cell=cell)).rates.one("adamw") for cell in ("lstm", "rnn")]
    assert rates == [2e-2, 3e-3] and families.of(shape).optimizer == "adamw"


# A family from outside


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that brings a family, as pip would have installed it; its folder."""
    folder = tmp_path / "site"
    (folder / "toy-1.0.dist-info").mkdir(parents=True)
    (folder / "toy_family.py").write_text((Path(__file__).parent / "toy_family.py").read_text(encoding="utf-8"))
    (folder / "toy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    entry = "[daybreak.families]\ntoy = toy_family:FAMILY\n"
    (folder / "toy-1.0.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "toy_family", raising=False)
    before = dict(families._REGISTERED), dict(Tagged.KINDS)
    families._third_parties.cache_clear()
    yield folder
    for now, then in zip((families._REGISTERED, Tagged.KINDS), before, strict=True):
        now.clear()
        now.update(then)  # type: ignore[call-overload]
    families._third_parties.cache_clear()
    sys.modules.pop("toy_family", None)


def test_a_family_from_outside_has_a_whole_day(outside: Path, small_text: Path, tmp_path: Path) -> None:
    """Planned, trained, scored, read again and continued: one file and one line in the package that brings it."""
    finished = daybreak.run(
        str(small_text),
        budget="10m",
        out=str(tmp_path / "run"),
        family="toy",
        reproducible=True,
        native=False,
        exclude=["bf16"],
        settings={"width": 32, "vocabulary": 512, "context_length": 64, "batch_tokens": 2048, "tokens": 12_000},
    )
    run = Run(tmp_path / "run")
    plan = run.plan()
    assert plan.shape.family == "toy" and plan.shape == families.of(plan.shape).shape(**_fields(plan))
    unsuited = {name for name, reason in plan.refused.items() if reason.startswith("it applies to")}
    assert {"kernels", "compiled", "ngram_mix"} <= unsuited and not {"averaging", "batch_ramp"} & unsuited
    untrained = 8.0
    assert 1.0 < finished.figures["bits_per_byte"] < untrained
    model = daybreak.load(str(run.path))
    assert len(model.generate("The ", max_tokens=8)) > len("The ")
    again = evaluate(run.path, ())
    assert again["bits_per_byte"] == pytest.approx(finished.figures["bits_per_byte"], rel=0.1, abs=0.03)


def _fields(plan: Plan) -> dict[str, Any]:
    return {field.name: getattr(plan.shape, field.name) for field in dataclasses.fields(plan.shape)}  # type: ignore[arg-type]


def test_the_command_finds_a_family_from_outside(outside: Path, small_text: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from daybreak.core.values import Tagged; from daybreak.core.shapes import Shape; "
        "from daybreak.core.values import _built; "
        "print('toy' in Tagged.KINDS, _built(Shape, {'family': 'toy', 'vocabulary': 64, 'layers': 1, 'width': 8, "
        "'context_length': 16}, 'plan.json').key())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONPATH": str(outside), "PATH": ""},
    )
    assert done.stdout.split() == ["False", "toy-L1-d8-V64-T16"], "a plan is read before anybody asked for its family"


def test_a_name_is_given_once(outside: Path) -> None:
    toy = families.named("toy")
    families.register(toy)
    with pytest.raises(UsageError, match="there already"):
        families.register(dataclasses.replace(toy))
    with pytest.raises(UsageError, match="unknown family"):
        families.named("toi")
