"""Memory: what plans foresee for the whole process, and what runs held at their peak.

    python benchmarks/memory.py --seconds 60 novel.txt code/ --with-options "--family ngram"

Each text is run plainly and once for each of the options. Results are printed as a table and with --out kept as JSON.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def measured(text: str, seconds: float, options: list[str]) -> dict[str, Any]:
    """Bytes planned and held at the peak by one run; its error where there is no model."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable,
            "-P",
            "-m",
            "daybreak",
            "run",
            text,
            "--for",
            f"{seconds:g}s",
            "--out",
            str(out),
            *options,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        told: dict[str, Any] = {"text": text, "options": options, "seconds": seconds}
        if done.returncode:
            return {**told, "error": done.stderr.strip()[-300:]}
        plan = json.loads((out / "plan.json").read_text())
        records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    peak = next(one["value"] for one in reversed(records) if one.get("name") == "peak_memory_bytes")
    planned = plan["predicted"]["memory_bytes"]
    return {**told, "planned": planned, "peak": peak, "ratio": peak / planned}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--with-options", action="append", default=[], help="options of a further run of each text")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    print(f"{'planned MB':>10} {'peak MB':>8} {'ratio':>6}  text and options")
    for text in asked.texts:
        for options in ([], *map(shlex.split, asked.with_options)):
            row = measured(text, asked.seconds, options)
            rows.append(row)
            figures = (
                f"{row['planned'] / 1e6:10.0f} {row['peak'] / 1e6:8.0f} {row['ratio']:6.2f}"
                if "peak" in row
                else " " * 26
            )
            print(f"{figures}  {text} {shlex.join(options)} {row.get('error', '')}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
