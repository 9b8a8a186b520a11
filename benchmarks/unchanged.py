"""Unchanged: do two versions of the code plan alike, and train the same weights to the last bit?

    python benchmarks/unchanged.py --write before.json     # with one version
    python benchmarks/unchanged.py --check before.json     # with the other, on the same machine

Plans are made of requests and measurements that are written here, with all the decisions kept. Weights are those of a
reproducible run of each family, and of a timed run whose log is repeated. Ends with code 1 where anything differs.
"""

import argparse
import hashlib
import importlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daybreak.core.errors import DaybreakError
from daybreak.core.types import Corpus, Machine, Probe, Request, Timing
from daybreak.models import ladder

PLANNERS = ("daybreak.planning.planner", "daybreak.stages.plan")  # where plans are made, now and before
FAMILIES = ("gpt", "bert", "t5", "lstm", "ngram")
SMALL = {
    "gpt": ("layers=2", "width=64", "context_length=64", "tokens=200000"),
    "bert": ("layers=2", "width=64", "context_length=64", "tokens=200000"),
    "t5": ("layers=1", "width=64", "context_length=64", "tokens=200000"),
    "lstm": ("layers=1", "width=64", "context_length=64", "tokens=200000"),
    "ngram": (),
}


# Plans


def corpora() -> dict[str, Corpus]:
    english = Corpus(
        sources=("text.txt",),
        heldout="",
        threshold=0.02,
        digest="00",
        files=1,
        documents=2500,
        bytes=10_000_000,
        heldout_documents=50,
        heldout_bytes=200_000,
        replaced_bytes=0,
        languages={"latin": 1.0},
        bytes_per_token={"257": 1.0, "1024": 2.5, "4096": 3.4},
        tokens_per_second=2e6,
        bytes_per_second=5e7,
        xz_bits_per_byte=2.4,
        ngram_bits_per_byte=2.0,
        ngram_unit="byte",
        ngram_order=7,
        ngram_bytes=2_000_000,
        ngram_fall=0.13,
    )
    chinese = english.replace(
        languages={"cjk": 0.9, "latin": 0.1},
        ngram_unit="character",
        ngram_order=3,
        bytes_per_token={"257": 1.0, "1024": 2.2, "4096": 3.1, "8192": 3.5},
        bytes=3_000_000,
    )
    return {
        "english": english,
        "chinese": chinese,
        "small": english.replace(bytes=60_000, heldout_bytes=20_000, documents=20, ngram_bytes=60_000),
        "large": english.replace(bytes=10**9, heldout_bytes=5_000_000, documents=10**6),
    }


def machines() -> dict[str, Machine]:
    made = Machine(
        kind="cpu",
        name="a processor",
        cores=8,
        devices=1,
        memory_bytes=32_000_000_000,
        matmul_flops={"float32": 4e11, "bfloat16": 3e11},
        bandwidth_bytes_per_second=2e10,
        disk_bytes_per_second=1e9,
        compiler="gcc",
        fast_dtypes=("float32",),
        versions={"torch": "2"},
    )
    gpu = made.replace(
        kind="cuda",
        name="a card",
        memory_bytes=80_000_000_000,
        matmul_flops={"float32": 5e13, "bfloat16": 5e14},
        fast_dtypes=("float32", "bfloat16"),
        bandwidth_bytes_per_second=2e12,
    )
    return {"cpu": made, "gpu": gpu}


def probes() -> dict[str, Probe]:
    nothing = Probe(timings=(), earlier=(), compile_cold_seconds=0.0, compile_warm_seconds=0.0, used_seconds=5.0)
    shape = ladder.gpt(2, 192, vocabulary=1024, context_length=256)
    timing = Timing(
        shape=shape,
        dtype="float32",
        mode="kernels",
        micro_batch=8,
        step_seconds=0.08,
        forward_seconds=0.03,
        memory_bytes=10**9,
        compile_seconds=0.0,
        cold=False,
    )
    return {"nothing": nothing, "timed": nothing.replace(timings=(timing,), used_seconds=7.0)}


def requests() -> dict[str, Request]:
    plain = Request(sources=("text.txt",), seconds=600.0)
    return {
        "ten minutes": plain,
        "a minute": plain.replace(seconds=60.0),
        "a day": plain.replace(seconds=86400.0),
        "exact": plain.replace(reproducible=True),
        "layers": plain.replace(settings={"layers": "4", "width": "256"}),
        "without": plain.replace(exclude=("averaging", "kernels", "compiled")),
        **{family: plain.replace(family=family) for family in FAMILIES if family != "gpt"},
    }


def plans() -> Iterator[tuple[str, Any]]:
    sides = (corpora(), machines(), probes(), requests())
    for names in itertools.product(*sides):
        corpus, machine, probe, request = (side[name] for side, name in zip(sides, names, strict=True))
        try:
            yield ", ".join(names), planned(corpus, machine, probe, request).to_json()
        except DaybreakError as error:
            yield ", ".join(names), [error.what, error.received, error.attempt]


def planned(corpus: Corpus, machine: Machine, probe: Probe, request: Request) -> Any:
    module = next(filter(None, map(_imported, PLANNERS)))
    if hasattr(module, "planned"):
        return module.planned(corpus, machine, probe, request)
    if request.family == "ngram":
        return importlib.import_module("daybreak.planning.counting").counting_plan(corpus, request)
    return module.write_plan(module.choose(corpus, machine, probe, request))


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


# Weights


def daybreak(*words: str) -> None:
    subprocess.run([sys.executable, "-P", "-m", "daybreak", *words], check=True, stdout=subprocess.DEVNULL, cwd="/")


def digest(run: Path) -> str:
    whole = hashlib.sha256()
    for file in sorted((run / "model").glob("*.safetensors")):
        whole.update(file.read_bytes())
    return whole.hexdigest()


def weights(folder: Path) -> Iterator[tuple[str, str]]:
    """folder: has the timed run that is repeated, which is made where it is not there."""
    from pydoc_data import topics

    text, timed = folder / "topics.txt", folder / "timed"
    if not timed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text.write_text("\n\n".join(topics.topics[name] for name in sorted(topics.topics))[:300_000])
        daybreak("run", str(text), "--for", "20s", "--out", str(timed), "--set", "layers=1")
    yield "timed", digest(timed)
    with tempfile.TemporaryDirectory() as place:
        for family in FAMILIES:
            out = Path(place) / family
            sets = [word for setting in SMALL[family] for word in ("--set", setting)]
            daybreak("run", str(text), "--for", "10m", "--reproducible", "--family", family, "--out", str(out), *sets)
            yield family, digest(out)
            shutil.rmtree(out)
        daybreak("train", str(timed), "--replay", "--out", str(Path(place) / "again"))
        yield "repeated", digest(Path(place) / "again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "daybreak-unchanged")
    parser.add_argument("--plans-only", action="store_true")
    asked = parser.parse_args()
    found = {"plans": dict(plans()), "weights": {} if asked.plans_only else dict(weights(asked.folder))}
    found = json.loads(json.dumps(found))
    print(f"{len(found['plans'])} plans, {len(found['weights'])} weights")
    if asked.write:
        asked.write.write_text(json.dumps(found, indent=1) + "\n")
    if asked.check:
        before = json.loads(asked.check.read_text())
        pairs = [(kind, name) for kind in found for name in found[kind]]
        differing = [f"{kind}: {name}" for kind, name in pairs if before[kind].get(name) != found[kind][name]]
        print("\n".join(differing) or "all the same")
        sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
