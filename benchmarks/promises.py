"""The promises, and how often each was kept: every test that is marked as one, long ones too, and the real runs.

    python benchmarks/promises.py --write docs/reliability.md

Tests say what they promise and how often they try it (`@pytest.mark.promise`); a test that fails has kept nothing. The
real runs are those of on_time.py. Takes one to two hours, most of them the real runs and the kills; with --short, what
`make test` does of the tests, and no real runs. Nothing else should run on the machine.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import on_time

BEGIN, END = "<!-- promises: begin -->", "<!-- promises: end -->"


@dataclass
class Promise:
    tried: int = 0
    kept: int = 0
    seconds: list[float] = field(default_factory=list)  # that a test has measured of itself


def counted(report: Path) -> dict[str, Promise]:
    """What pytest's XML tells of each promise."""
    found: dict[str, Promise] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        properties = [(one.get("name", ""), one.get("value", "")) for one in case.iter("property")]
        names = [value for name, value in properties if name == "promise"]
        if not names or case.find("skipped") is not None:
            continue
        tried = sum(int(value) for name, value in properties if name == "tried") or 1
        broken = case.find("failure") is not None or case.find("error") is not None
        for name in names:
            promise = found.setdefault(name, Promise())
            promise.tried += tried
            promise.kept += 0 if broken else tried
            promise.seconds += [float(value) for key, value in properties if key == "seconds"]
    return found


def tested(*, short: bool, only: str) -> dict[str, Promise]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "promises.xml"
        words = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        words += ["-o", "junit_family=xunit1"]
        words += ["-m", "promise and not long" if short else "promise", *(["-k", only] if only else [])]
        subprocess.run(words, check=False, stdout=sys.stderr)
        return counted(report)


def table(found: dict[str, Promise]) -> Iterable[str]:
    yield "| what | tried | kept |"
    yield "| --- | --- | --- |"
    for name, promise in sorted(found.items(), key=lambda item: -item[1].tried):
        worst = f" (at most {max(promise.seconds):.1f} s from the imports to the first step)" if promise.seconds else ""
        yield f"| {name}{worst} | {promise.tried:,} | {promise.kept:,} |"


def written(page: str, lines: Iterable[str]) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, "", *lines, "", END]) + after


def machine() -> str:
    from daybreak.engine.machine import described, pick_device

    told = described(pick_device())
    return f"{told.cores} cores of {told.name}, torch {told.versions['torch']}, {datetime.date.today():%Y-%m-%d}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="a page between whose two comments the tables go")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="", help="tests with this in their name (pytest's -k)")
    parser.add_argument("--lengths", nargs="*", default=on_time.LENGTHS, help="of the real runs, SECONDS:RUNS")
    parser.add_argument("--runs", type=Path, default=Path("runs/on_time"), help="where the real runs are kept")
    asked = parser.parse_args()
    os.chdir(Path(__file__).resolve().parents[1])
    found = tested(short=asked.short, only=asked.only)
    lines = [f"Measured on {machine()}.", "", *table(found)]
    if asked.lengths and not asked.short:
        lines += ["", *on_time.table(on_time.all_of(asked.lengths, asked.runs, []))]
    print("\n".join(lines))
    if asked.write:
        asked.write.write_text(written(asked.write.read_text(encoding="utf-8"), lines), encoding="utf-8")
    return 0 if all(promise.kept == promise.tried for promise in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
