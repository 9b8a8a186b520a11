"""The notebook of the examples: it runs from top to bottom and shows what it promises."""

from __future__ import annotations

import ast
import html
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"


def cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_it_is_stored_without_outputs():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())


def test_every_cell_is_python_and_only_the_guarded_install_is_not():
    for cell in cells():
        source = "".join(cell["source"])
        magics = re.findall(r"^ *[%!].*$", source, re.MULTILINE)
        assert all(line.startswith("    %pip install --quiet") for line in magics)
        ast.parse(re.sub(r"^( *)[%!].*$", r"\1pass", source, flags=re.MULTILINE))


def test_the_budget_is_the_first_thing_to_set():
    assert 'BUDGET = os.environ.get("DAYBREAK_NOTEBOOK_BUDGET", "3m")' in "".join(cells()[0]["source"])


@pytest.mark.long
def test_it_runs_and_shows_chart_text_and_report(tmp_path):
    for library in ("nbformat", "nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(library, reason="the notebook needs the extra `notebook`")
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=150, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(
        env={**os.environ, "DAYBREAK_NOTEBOOK_BUDGET": "25s", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    )
    outputs = {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}
    assert outputs["install"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs["train"])
    said = "".join(output.get("text", "") for output in outputs["train"])
    assert re.search(r"^\d\.\d{4} bits per byte on [\d,]+ bytes that it had not seen$", said, re.MULTILINE)
    continued = "".join(output.get("text", "") for output in outputs["generate"])
    assert continued.startswith("def read_lines(path):")
    assert len(continued) > len("def read_lines(path):") + 20
    frame = outputs["report"][-1]["data"]["text/html"]
    report = next(tmp_path.glob("runs/notebook-*/report.html")).read_text(encoding="utf-8")
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == report
