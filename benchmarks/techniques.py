"""Writes docs/techniques.md from the techniques themselves and from what was measured of them.

    python benchmarks/techniques.py                                 # write the page anew
    python benchmarks/techniques.py --check                         # exit code 1 where it is not up to date
    python benchmarks/techniques.py --keep runs/novel --name novel-20m

A fact has one place: what a technique does and when it refuses are in its class, its sources in the class docstring, a
setting's meaning in the comment beside its field, what it gained in benchmarks/results/techniques/*.json. `--keep` adds
a file there from a run that `daybreak measure` has measured. The text around the marked parts of the page is by hand.
"""

import argparse
import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daybreak import __version__, techniques
from daybreak.core import units
from daybreak.core.run import Run, write_json
from daybreak.stages.measure.ablations import only_decodes
from daybreak.views import gains

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "techniques.md"
RESULTS = ROOT / "benchmarks" / "results" / "techniques"
COMMAND = "python benchmarks/techniques.py"
BEGIN, END = f"<!-- {{part}}: written by `{COMMAND}` -->", "<!-- end of {part} -->"
CLAIMS = {"tokens_per_second": "tokens per second", "bits_per_byte": "bits per byte", "memory_bytes": "memory"}
SOURCE = re.compile(r"arXiv:((?:[a-z-]+/)?\d[\d.]*\d)|(https?://[^\s),]+[^\s),.;])")


# The techniques


def overview() -> str:
    """Every technique: what it does, what should move, and when it refuses."""
    lines = ["| technique | what it does | should move | refuses |", "| --- | --- | --- | --- |"]
    for name, kind in kinds():
        off = "" if default(kind) else " (off)"
        lines.append(f"| `{name}`{off} | {kind.does} | {CLAIMS[kind.claim]} | {kind.refuses_when} |")
    return "\n".join(lines)


def settings() -> str:
    """Every setting with its default and its meaning."""
    lines = ["| technique | setting | default | meaning |", "| --- | --- | --- | --- |"]
    for name, kind in kinds():
        meanings = meanings_of(kind)
        for field in dataclasses.fields(kind):
            lines.append(f"| `{name}` | `{field.name}` | {_plain(field.default)} | {meanings[field.name]} |")
    return "\n".join(lines)


def sources(results: list[dict[str, Any]]) -> str:
    """Where every technique comes from, and its verdict in each result."""
    lines = ["| technique | from | measured |", "| --- | --- | --- |"]
    for name, kind in kinds():
        found = [
            f"{gains.verdict_of(row)} ([{result['name']}](#{_anchor(result)}))"
            for result in results
            for row in result["measured"]["rows"]
            if (row["kind"], row["name"]) == ("technique", name) and row["verdict"] != "not measured"
        ]
        found += ["each run's report has both figures"] if only_decodes(name) else []
        told = ": ".join(part for part in ("; ".join(found) or "no verdict", kind.standing) if part)
        lines.append(f"| `{name}` | {', '.join(sources_of(kind)) or '-'} | {told} |")
    return "\n".join(lines)


def kinds() -> Iterator[tuple[str, type[techniques.Technique]]]:
    """Ours, those that are on first; the page is about no third party's."""
    found = [(name, techniques.class_of(name)) for name in techniques.ORDER]
    yield from sorted(found, key=lambda item: not default(item[1]))


def default(kind: type[techniques.Technique]) -> bool:
    """Whether the planner takes it without being asked."""
    return kind.default


def meanings_of(kind: type[techniques.Technique]) -> dict[str, str]:
    """The comment beside each field."""
    found = re.findall(r"^    (\w+): \w+ = [^#\n]+#\s*(.+?)\s*$", inspect.getsource(kind), re.MULTILINE)
    return {field.name: dict(found).get(field.name, "") for field in dataclasses.fields(kind)}


def sources_of(kind: type[techniques.Technique]) -> list[str]:
    """Links to the papers and pages that the class docstring names, in order."""
    links = []
    for paper, page in SOURCE.findall(kind.__doc__ or ""):
        shown = f"arXiv:{paper}" if paper else urlsplit(page).netloc.removeprefix("www.")
        links.append(f"[{shown}]({page or f'https://arxiv.org/abs/{paper}'})")
    return list(dict.fromkeys(links))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return f"`{value}`" if value else "none"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


# What was measured


def measured(results: list[dict[str, Any]]) -> str:
    """A table for each result."""
    return "\n\n".join(map(result_section, results)) or "Nothing was measured yet."


def result_section(result: dict[str, Any]) -> str:
    found, text, machine = result["measured"], result["text"], result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    how, budget = found["plan"], units.duration(result["budget_seconds"])
    about = (
        f"{text['name']}, {units.size(text['bytes'])} to train on; a plan for {budget}: "
        f"`{how['shape']}`, {units.count(how['run_tokens'])} tokens in batches of {how['batch_tokens']:,}, by "
        f"{how['optimizer']}. {machine['name']}, {machine['cores']} cores ({machine['kind']}); {versions}."
    )
    lines = [
        "| with it | step time | loss at equal steps | loss at equal time | time saved | seeds | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(_row, found["rows"]),
    ]
    remarks = [f"- {line}." for line in gains.remarks({**found, "missing": []})]
    if found["missing"]:
        remarks.append(f"- There was no time for {len(found['missing'])} of the measurements.")
    parts = [f"### {result['name']}", about, "\n".join(lines), "\n".join(remarks), gains.method(found)]
    return "\n\n".join(part for part in parts if part)


def _row(row: dict[str, Any]) -> str:
    figures = (
        gains.interval(row["step_time"], "ratio", lambda ratio: f"{ratio - 1:+.1%}"),
        gains.interval(row["equal_steps"], "difference", lambda bits: f"{bits:+.4f}"),
        gains.interval(row["equal_time"], "difference", lambda bits: f"{bits:+.4f}"),
        gains.interval(row["time_saved"], "share", lambda share: f"{share:+.1%}"),
    )
    cells = (f"`{row['name']}`", *(one.replace("\n", " ") for one in figures), str(row["seeds"]), gains.verdict_of(row))
    return f"| {' | '.join(cells)} |"


def _anchor(result: dict[str, Any]) -> str:
    return re.sub(r"[^\w\- ]", "", result["name"].lower()).replace(" ", "-")


def known_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results that are kept, by name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def kept(path: str, name: str, folder: Path = RESULTS) -> Path:
    """Writes a result from the records of a run that was measured; no path of this machine is in it.

    Raises SystemExit: the run has no measure.json. DaybreakError: it is no run.
    """
    run = Run.open(path)
    if not run.measure_file.exists():
        raise SystemExit(f"nothing was measured in {path}; `daybreak measure {path}` first")
    found = json.loads(run.measure_file.read_text(encoding="utf-8"))
    corpus, machine = run.corpus(), found.pop("machine")
    found.pop("run")
    files = [Path(source).name for source in corpus.sources]
    versions = {"daybreak": __version__, **machine.pop("versions")}
    result = {
        "schema": 1,
        "name": name,
        "text": {
            "name": files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more",
            "bytes": corpus.bytes,
            "heldout_bytes": corpus.heldout_bytes,
            "documents": corpus.documents,
            "digest": corpus.digest,
        },
        "budget_seconds": run.plan().budget.seconds,
        "machine": machine,
        "versions": versions,
        "measured": found,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", result)
    return folder / f"{name}.json"


# The page


def written(page: str, results: list[dict[str, Any]]) -> str:
    """The page with its marked parts written anew. Raises ValueError: a part has no place in it."""
    parts = {
        "overview": overview(),
        "settings": settings(),
        "sources": sources(results),
        "measured": measured(results),
    }
    for part, text in parts.items():
        begin, end = BEGIN.format(part=part), END.format(part=part)
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{PAGE.name} has no place for {part}: {begin} ... {end}")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page would change")
    parser.add_argument("--keep", metavar="RUN", help="first make a result of what was measured in this run")
    parser.add_argument("--name", help="of the result to keep, such as novel-20m")
    asked = parser.parse_args()
    if bool(asked.keep) != bool(asked.name) or (asked.name and not re.fullmatch(r"[\w.-]+", asked.name)):
        parser.error("--keep RUN and --name NAME go together; a name is of letters, digits, '-', '.' and '_'")
    if asked.keep:
        print(kept(asked.keep, asked.name))
    before = PAGE.read_text(encoding="utf-8")
    after = written(before, known_results())
    if asked.check:
        if after != before:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not up to date: {COMMAND}")
    elif after != before:
        PAGE.write_text(after, encoding="utf-8")
        print(PAGE)


if __name__ == "__main__":
    main()
