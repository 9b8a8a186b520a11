"""Prepare: what was done stays done, whenever it is stopped; what changed is done anew; steps are chosen by name."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from daybreak.core.errors import DataError, UsageError
from daybreak.core.request import Request, with_settings
from daybreak.core.run import Run
from daybreak.data import shards
from daybreak.planning import reading, text_facts
from daybreak.stages.prepare import prepare_only

IN_SMALL_PARTS = """
import sys
from daybreak.core.types import Request
from daybreak.data import shards
from daybreak.planning import reading
from daybreak.stages.prepare import prepare_only
reading.PART_BYTES = 1 << 14
prepare_only(Request(sources=(sys.argv[1],), seconds=0.0, settings={"vocabulary": "257"}), out=sys.argv[2])
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    draw = random.Random(0)
    common = "the of and to in a is that for it as was with be by on not he this are or his from at which but have an"
    words = common.split()
    for number in range(8):
        lines = (" ".join(draw.choices(words, k=12)) + "." for _ in range(300))
        (folder / f"{number}.txt").write_text("\n".join(lines))
    (folder / "copy.txt").write_text((folder / "0.txt").read_text())
    return folder


def asked(text: Path, *include: str, exclude: tuple[str, ...] = ()) -> Request:
    settings = {"vocabulary": "257"}
    return Request(sources=(str(text),), seconds=0.0, settings=settings, exclude=exclude, **with_settings(include))


def tokens_of(out: Path) -> dict[str, str]:
    """The digests of the files of tokens that the indices name."""
    folder, found = Run(out).corpus_folder, {}
    for name in ("train-257", "heldout-257"):
        index = json.loads((folder / f"{name}.json").read_text())
        for file in (*index["files"], f"{name}.starts.bin"):
            found[file] = hashlib.blake2b((folder / file).read_bytes()).hexdigest()
    return found


def stopped(text: Path, out: Path, times: int) -> None:
    """Starts so often and kills at a random moment, then lets it end."""
    words, draw = [sys.executable, "-c", IN_SMALL_PARTS, str(text), str(out)], random.Random(1)
    for _ in range(times):
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.4, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(words, check=True)


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_random_moments_it_gives_the_same_shards(text: Path, tmp_path: Path, times: int) -> None:
    stopped(text, tmp_path / "unbroken", 0)
    stopped(text, tmp_path / "broken", times)
    unbroken = tokens_of(tmp_path / "unbroken")
    assert len(unbroken) > 10 and tokens_of(tmp_path / "broken") == unbroken


def test_copies_are_gone_unless_they_are_asked_for(text: Path, tmp_path: Path) -> None:
    kinds = ("exact_duplicates", "near_duplicates")
    facts = prepare_only(asked(text), out=str(tmp_path / "once"))
    assert facts["removed"]["exact_duplicates"] > 0
    both = prepare_only(asked(text, exclude=kinds), out=str(tmp_path / "twice"))
    kept = facts["documents"] + facts["heldout"]["documents"]
    assert both["documents"] + both["heldout"]["documents"] == kept + facts["removed"]["exact_duplicates"]


def test_other_files_or_other_steps_are_prepared_anew_and_the_same_are_not(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, made = tmp_path / "text", []
    folder.mkdir()
    for file in text.iterdir():
        (folder / file.name).write_text(file.read_text())
    make = text_facts.store.make
    monkeypatch.setattr(text_facts.store, "make", lambda work, **how: made.append(work.key) or make(work, **how))
    out = str(tmp_path / "run")
    first = prepare_only(asked(folder), out=out)
    assert prepare_only(asked(folder), out=out) == first and len(made) == 1
    (folder / "copy.txt").write_text("Something else is here now, and it is not long.\n" * 3)
    assert prepare_only(asked(folder), out=out)["removed"]["exact_duplicates"] == 0 and len(made) == 2


def test_where_nothing_is_left_the_step_that_took_it_is_named(tmp_path: Path) -> None:
    draw = random.Random(0)
    noise = "\n".join("".join(draw.choices("bcdfghjklmnpqrstvwxz ", k=80)) for _ in range(2000))
    (tmp_path / "noise.txt").write_text(noise)
    with pytest.raises(DataError) as caught:
        prepare_only(asked(tmp_path / "noise.txt", "quality"), out=str(tmp_path / "run"))
    assert "quality removed" in caught.value.received and "letters at random" in caught.value.received
    assert not (tmp_path / "run").exists()


def test_a_step_has_its_settings_from_the_command(text: Path) -> None:
    request = asked(text, "personal_data:action=tag", "language_filter:languages=zh")
    assert request.technique_settings["language_filter"] == {"languages": "zh"}
    cleaning, steps = reading.cleaning_of(request)
    chosen = {choice.name: choice.settings for choice in steps}
    assert chosen["personal_data"] == {"action": "tag"} and chosen["language_filter"]["languages"] == "zh"
    assert [step.name for step in cleaning.steps] == [c.name for c in steps if not c.name.endswith("duplicates")]
    with pytest.raises(UsageError, match="no such setting"):
        reading.cleaning_of(asked(text, "personal_data:acton=tag"))
    with pytest.raises(UsageError, match="name and a value"):
        asked(text, "personal_data:tag")


def test_sources_are_mixed_by_their_weights(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"another line, number {number}, of other words" for number in range(4000)))
    names = (str(text), str(other))
    request = asked(text, exclude=("quality",)).replace(sources=names, weights={names[0]: 3.0, names[1]: 1.0})
    prepare_only(request, out=str(tmp_path / "run"))
    run = Run(tmp_path / "run")
    corpus = run.corpus()
    assert set(corpus.groups) == set(names) and sum(corpus.groups.values()) == corpus.bytes
    whole = shards.Tokens(run.corpus_folder, "train-257")
    parts = [shards.Tokens(run.corpus_folder, f"train-257-{number}") for number in range(2)]
    assert [part.bytes for part in parts] == list(corpus.groups.values())
    assert np.array_equal(np.concatenate([part.slice(0, len(part)) for part in parts]), whole.slice(0, len(whole)))


@pytest.mark.parametrize(
    ("weights", "what"),
    [
        ({"elsewhere": 1.0}, "not given"),
        ({"a": 1.0}, "missing for some"),
        ({"a": 1.0, "b": -1.0}, "positive"),
    ],
)
def test_weights_are_of_every_source_and_positive(weights: dict[str, float], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        text_facts.check_weights(Request(sources=("a", "b"), seconds=0.0, weights=weights))
