"""Floors: no file imports upwards, sideways or in a circle, and importing daybreak costs nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import daybreak
from daybreak import cli, techniques

PACKAGE = Path(daybreak.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "core": 0,
    "data": 1,
    "models": 1,
    "engine": 1,
    "tasks": 2,
    "techniques": 2,
    "views": 2,
    "planning": 3,
    "evaluation": 3,
    "training": 4,
    "commands": 4,
    "stages": 5,
    "apps": 6,
    "web": 6,
}
MOST_LINES = 450
# Where a module is tested whose name no test file bears; a folder stands for all that is in it.
TESTED_IN = {
    "batches": "data/token_files.py data/windows.py",
    "bert": "tasks/masked_tokens.py models/inference/pseudo_likelihood.py models/layouts/modernbert.py",
    "cache_folder": "core/cache.py",
    "checkpoint_source": "models/checkpoints models/layouts",
    "cleaning_steps": "data/pages.py data/quality.py data/stop_words.py data/unicode.py",
    "cautious_cleaning": "data/chains.py",
    "cli": "commands core/failures.py stages/list.py stages/plan.py __main__.py",
    "compare": "evaluation/bootstrap.py evaluation/verdicts.py stages/compare views/comparison.py",
    "decoder": "models/caches.py models/inference/decode_step.py models/inference/fast.py",
    "doctor": "stages/doctor engine/hardware.py",
    "export": "models/exports stages/export evaluation/parity.py views/cards.py views/snippets.py",
    "families": "tasks/fill_mask.py evaluation/loaded.py stages/evaluate models/families/foreign.py",
    "formats": "data/formats data/remote.py data/builtin.py",
    "guard": "engine/faults.py engine/memory.py",
    "in_time": "training/alarm.py training/execution.py planning/corpus_to_count.py",
    "kernels": "models/kernels",
    "left_out_text": "core/passed_over.py",
    "likelihoods": "models/inference/cloze.py",
    "long_runs": "engine/time_budget.py engine/world.py training/state.py training/train.py training/checkpointing.py",
    "losses": "models/fused_loss.py models/objectives.py",
    "measure": "stages/measure models/ladder.py core/signals.py views/gains.py",
    "metrics": "evaluation/confidence.py",
    "mirror": "views/destinations.py views/mirrors.py views/points.py",
    "ngram": "models/ngram",
    "planner": "planning engine/probe.py engine/scaling.py training/probe.py",
    "predictors": "models/inference evaluation/generation.py",
    "prepare": "data/encode.py planning/reading.py planning/text_facts.py",
    "promises": "training/preparation.py stages/train.py",
    "report_page": "views/curves.py views/pages.py views/report_data.py views/run_facts.py stages/report.py",
    "request": "core/keywords.py",
    "run": "evaluation/streams.py",
    "run_folder": "training/session.py",
    "scan": "data/store.py",
    "scoring": "data/blocks.py evaluation/score_table.py training/heldout_scores.py",
    "shapes": "models/norms.py models/positions.py core/shapes",
    "sources": "data/formats/pieces.py",
    "span_corruption": "models/inference/infill.py",
    "t5": "models/distances.py",
    "tasks": "tasks/continuation.py tasks/next_token.py",
    "technique_early_stopping": "training/marks.py",
    "technique_word_vectors": "data/vectors.py",
    "techniques": "techniques core/former_techniques.py training/build.py engine/callbacks.py",
    "tokenize": "planning/tokenizer_choice.py",
    "tokenizers": "data/tokenizers",
    "types": "core/values.py",
    "watch": "views/live.py views/local_server.py",
}
TOP = 7  # cli.py, __init__.py, __main__.py
ONLY_IN = {
    "transformers": ("models/huggingface.py", "models/exports/stock.py"),
    "lm_eval": ("evaluation/lm_eval.py",),
    "torchao": ("techniques/",),
}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and module of every import under `tree`, those inside functions and under TYPE_CHECKING included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = module.split(".") if is_package else module.split(".")[:-1]
                above = above[: len(above) - node.level + 1]
                source = ".".join([*above, source]) if source else ".".join(above)
            for alias in node.names:
                # `from daybreak.core import units` imports a module, `from daybreak.core.units import size` does not.
                whole = f"{source}.{alias.name}"
                yield node.lineno, whole if whole in MODULES else source


def folder_of(module: str) -> str:
    """'core' for daybreak.core.units; empty for the files at the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else ""


def broken_rule(path: Path, imported: str) -> str | None:
    """The rule that the import breaks and what to do, or None."""
    if "/" not in path.relative_to(PACKAGE).as_posix():
        return None
    module = module_of(path)
    here, there = folder_of(module), folder_of(imported)
    if here not in FLOORS:
        return (
            f"the folder {module.split('.')[1]} has no floor; give it one in FLOORS of this test and in architecture.md"
        )
    if imported.split(".")[0] != "daybreak":
        if here == "core" and imported.split(".")[0] not in sys.stdlib_module_names:
            return f"core uses the standard library only; move what needs {imported} to a floor above"
        return None
    if FLOORS.get(there, TOP) > FLOORS[here]:
        return f"{here}/ imports upwards; pass the thing in as an argument, or move this code to {there or 'the top'}"
    if there != here and FLOORS[there] == FLOORS[here]:
        return (
            f"{here}/ imports its sibling {there}/; put the two together in a stage, or move what they share to core/"
        )
    if here == there == "techniques" and imported != "daybreak.techniques" and path.name != "__init__.py":
        return "techniques never import each other; move what they share to techniques/__init__.py or to the nouns"
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_floors_below_and_its_own_folder(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = imports_of(tree, module_of(path), is_package=path.name == "__init__.py")
    broken = [
        f"{path.relative_to(PACKAGE.parent)}:{line} imports {imported}: {rule}"
        for line, imported in found
        if (rule := broken_rule(path, imported))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("library", "places"), ONLY_IN.items(), ids=list(ONLY_IN))
def test_a_heavy_library_is_imported_in_its_place_only(library: str, places: tuple[str, ...]) -> None:
    broken = []
    for path in FILES:
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(places):
            continue
        for line, imported in imports_of(ast.parse(path.read_text("utf-8")), module_of(path), is_package=False):
            if imported.split(".")[0] == library:
                broken.append(f"daybreak/{name}:{line} imports {library}; only {' and '.join(places)} may")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("file", "imported", "told"),
    [
        ("core/units.py", "torch", "standard library"),
        ("core/units.py", "daybreak.data.shards", "upwards"),
        ("core/units.py", "daybreak.cli", "upwards"),
        ("data/scan.py", "daybreak.models.gpt", "sibling"),
        ("engine/loop.py", "daybreak.techniques", "upwards"),
        ("techniques/ema.py", "daybreak.techniques.bf16", "each other"),
        ("techniques/ema.py", "daybreak.training.train", "upwards"),
        ("nowhere/file.py", "os", "no floor"),
    ],
)
def test_the_rule_itself_tells_a_broken_import(file: str, imported: str, told: str) -> None:
    assert told in (broken_rule(PACKAGE / file, imported) or "")


@pytest.mark.parametrize(
    ("file", "imported"),
    [
        ("core/units.py", "daybreak.core.errors"),
        ("core/units.py", "os.path"),
        ("models/gpt.py", "torch.nn"),
        ("techniques/ema.py", "daybreak.techniques"),
        ("techniques/ema.py", "daybreak.models.gpt"),
        ("training/train.py", "daybreak.training.build"),
        ("cli.py", "daybreak.stages.run"),
    ],
)
def test_the_rule_itself_lets_a_good_import_pass(file: str, imported: str) -> None:
    assert broken_rule(PACKAGE / file, imported) is None


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and under TYPE_CHECKING count: who reads one file of a circle must read all of it."""
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = imports_of(tree, module, is_package=path.name == "__init__.py")
        graph[module] = {imported for _, imported in found if imported in MODULES} - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' -> '.join(error.args[1])}; move what they share to a file of its own")


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lines = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8").count("\n") for path in FILES}
    long = {name: count for name, count in lines.items() if count >= MOST_LINES}
    assert not long, f"files of {MOST_LINES} lines or more: {long}; part each by what it is about"


def test_a_verb_is_a_file_or_a_folder_and_nothing_else_stands_beside_them() -> None:
    files = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in (PACKAGE / "stages").glob("*/__init__.py")}
    verbs = {name for name, listed in cli.COMMANDS.items() if listed.module.startswith("daybreak.stages.")}
    assert files | folders == verbs and not files & folders


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_all_commands_says_what_each_says_of_itself(name: str) -> None:
    listed = cli.COMMANDS[name]
    declared = importlib.import_module(listed.module).command
    assert inspect.getdoc(declared.function).splitlines()[0] == listed.told
    assert declared.example.startswith(f"daybreak {name}")


def test_the_python_face_lists_all_that_is_public_in_order() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    public = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    public |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    }
    errors = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "daybreak.core.errors"]
    public |= {alias.name for node in errors for alias in node.names}
    assert daybreak.__all__ == sorted(public)
    assert all(hasattr(daybreak, name) for name in daybreak.__all__)


def test_the_order_of_techniques_lists_every_file_and_nothing_else() -> None:
    files = {path.stem for path in (PACKAGE / "techniques").glob("*.py")} - {"__init__"}
    assert set(techniques.ORDER) == files, "add the file to ORDER in techniques/__init__.py, at its place in its seams"
    assert len(techniques.ORDER) == len(files)


def test_importing_the_face_and_the_command_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "transformers", "rich", "tokenizers", "safetensors")
    code = f"import sys, daybreak, daybreak.cli; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [], f"imported by `import daybreak, daybreak.cli`: {done.stdout}; import them lazily"


def test_a_step_and_a_model_that_is_read_leave_torchs_compiler_alone() -> None:
    """Importing it takes as long as ten steps of a small model, in every run and every `generate`."""
    code = """
import sys, torch
from daybreak.core.types import OptimizerChoice
from daybreak.engine import optimizers
from daybreak.models import ladder
from daybreak.models.gpt import Gpt
shape = ladder.gpt(1, 64, vocabulary=64, context_length=16)
module = Gpt(shape)
module.initialize(0)
choice = OptimizerChoice(
    name="muon", learning_rate=0.02, table_learning_rate=0.01, weight_decay=0.1, momentum=0.9, orthogonalize_steps=5
)
optimizer = optimizers.make(choice, module.matrices(), module.embeddings_and_norms())
module(torch.zeros(1, 8, dtype=torch.long)).sum().backward()
optimizer.step(optimizers.Rates(learning_rate=1.0))
with torch.device("meta"):
    Gpt(shape)
print(*[name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []


def test_reading_text_needs_no_torch() -> None:
    """Its import takes over a second, which goes by beside the reading."""
    asked = "import sys, daybreak.planning.text_facts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_every_module_is_tested_in_a_file_of_its_name_or_in_one_that_is_listed() -> None:
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(TESTED_IN) <= files, f"no such test files: {sorted(set(TESTED_IN) - files)}"
    listed = [place for places in TESTED_IN.values() for place in places.split()]
    gone = [place for place in listed if not (PACKAGE / place).exists()]
    assert not gone, f"TESTED_IN of this test lists what is gone: {gone}"
    untested = []
    for path in FILES:
        name = path.relative_to(PACKAGE).as_posix()
        own = {path.stem, f"{path.stem}s"} & files or path.name == "__init__.py"
        if not own and not any(name == place or name.startswith(f"{place}/") for place in listed):
            untested.append(name)
    assert not untested, f"give each a test file of its name, or say in TESTED_IN where it is tested: {untested}"
