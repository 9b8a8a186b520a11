"""The notebook of the examples: it runs from top to bottom and shows what it promises."""

from __future__ import annotations

import ast
import html
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daybreak.core import records
from daybreak.core.run import Run, write_json

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"


def cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_it_is_stored_without_outputs():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())


def test_every_cell_is_python_and_only_the_guarded_install_is_not():
    for cell in cells():
        source = "".join(cell["source"])
        magics = re.findall(r"^ *[%!].*$", source, re.MULTILINE)
        # Nothing is asked of a registry by a name that is not ours there.
        assert all(line == '    %pip install --quiet "..[notebook]"' for line in magics)
        ast.parse(re.sub(r"^( *)[%!].*$", r"\1pass", source, flags=re.MULTILINE))


def test_the_budget_is_the_first_thing_to_set():
    assert 'BUDGET = os.environ.get("DAYBREAK_NOTEBOOK_BUDGET", "3m")' in "".join(cells()[0]["source"])


def cell(name: str) -> Any:
    """The code of a cell, without its install command."""
    source = next("".join(cell["source"]) for cell in cells() if cell["id"] == name)
    return compile(re.sub(r"^( *)%.*$", r"\1pass", source, flags=re.MULTILINE), name, "exec")


def test_outside_a_checkout_it_says_how_to_install(tmp_path, monkeypatch):
    (tmp_path / "a checkout" / "examples").mkdir(parents=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="in a checkout of daybreak: pip install"):
        exec(cell("install"), {})
    monkeypatch.chdir(NOTEBOOK.parent)
    exec(cell("install"), {})


def test_the_chart_draws_every_record_of_a_run(tmp_path, plan):
    pytest.importorskip("matplotlib", reason="the notebook needs the extra `notebook`")
    run = Run(tmp_path)
    write_json(run.plan_file, plan().to_json())
    log = records.Log(run.log_file)
    step = {"micro_batch": 8, "accumulation": 1, "skipped": False, "gradient_norm": 1.0, "learning_rate_factor": 1.0}
    log.append(records.Step(step=1, progress=0.1, nats=3.0, tokens=1024, seconds=0.1, used_seconds=9.0, **step))
    validation = {"step": 1, "progress": 0.1, "tokens": 1024, "perplexity": 9.0, "bytes": 20_000}
    log.append(records.Validation(figure=2.5, used_seconds=10.0, **validation))
    log.close()
    found: dict[str, Any] = {}
    exec(cell("chart"), found)
    (axes,) = found["chart"](run).axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert drawn["held-out text"] == ([10.0], [2.5])
    assert drawn["training text"][0] == [9.0]


def test_no_training_goes_on_behind_a_traceback(monkeypatch):
    pytest.importorskip("IPython", reason="the notebook needs the extra `notebook`")
    import IPython.display

    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def sleeper(command: list[str], **options: Any) -> subprocess.Popen[str]:
        assert command[command.index("run") :] == ["run", "--for", "3m", "--out", "runs/x", "--json"]
        started.append(popen([sys.executable, "-S", "-c", "import time; time.sleep(100)"], **options))
        return started[-1]

    def chart(run: Any) -> None:
        if started:
            raise AttributeError("a record of another kind")

    monkeypatch.setattr(subprocess, "Popen", sleeper)
    monkeypatch.setattr(IPython.display, "display", lambda *shown, **named: SimpleNamespace(update=lambda figure: None))
    settings = {"chart": chart, "Run": Run, "TEXT": [], "OPTIONS": [], "BUDGET": "3m", "RUN": "runs/x", "time": time}
    with pytest.raises(AttributeError, match="another kind"):
        exec(cell("train"), settings)
    (process,) = started
    assert process.poll() is not None


def executed(folder: Path, budget: str, **settings: Any) -> dict[str, list[Any]]:
    """The outputs of the cells by their names. settings: what the first cell says, to be said otherwise."""
    for library in ("nbformat", "nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(library, reason="the notebook needs the extra `notebook`")
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    client = nbclient.NotebookClient(
        notebook, timeout=150, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(
        env={
            **os.environ,
            "DAYBREAK_NOTEBOOK_BUDGET": budget,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
    )
    return {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}


def _check(outputs: dict[str, list[Any]], folder: Path) -> None:
    assert outputs["install"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs["train"])
    said = "".join(output.get("text", "") for output in outputs["train"])
    assert re.search(r"^\d\.\d{4} bits per byte on [\d,]+ bytes that it had not seen$", said, re.MULTILINE)
    continued = "".join(output.get("text", "") for output in outputs["generate"])
    assert continued.startswith("def read_lines(path):")
    assert continued[len("def read_lines(path):") :].strip()
    frame = outputs["report"][-1]["data"]["text/html"]
    report = next(folder.glob("runs/notebook-*/report.html")).read_text(encoding="utf-8")
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == report


@pytest.mark.long
def test_it_runs_from_top_to_bottom(tmp_path, small_text):
    """With counts in the place of a network, which take a few seconds."""
    prose = tmp_path / "prose.txt"
    prose.write_text(re.sub(r"[\s=*|+-]+", " ", small_text.read_text()[:150_000]))
    outputs = executed(tmp_path, "30s", TEXT=[str(prose)], OPTIONS=["--family", "ngram"])
    _check(outputs, tmp_path)


@pytest.mark.long
def test_it_trains_a_network_as_it_stands(tmp_path):
    _check(executed(tmp_path, "40s"), tmp_path)
