"""Records: what is appended is read back, whatever a kill left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.core import records
from daybreak.core.records import Checksum, Event, Log, Measurement, Phase, Sample, Step, Touched, Validation


def step(number: int, *, nats: float = 1.0) -> Step:
    return Step(
        step=number,
        progress=number / 10,
        micro_batch=8,
        accumulation=1,
        skipped=False,
        nats=nats,
        gradient_norm=0.5,
        learning_rate_factor=1.0,
        tokens=number * 128,
        seconds=0.1,
        used_seconds=number * 0.1,
    )


EVERY = [
    step(1),
    Validation(
        step=1, progress=0.1, used_seconds=1.0, tokens=128, figure=2.5, perplexity=9.0, bytes=100, weights="ema"
    ),
    Phase(name="training", seconds=3.0, used_seconds=4.0),
    Touched(technique="bf16", seam="module", places=7),
    Sample(progress=0.5, used_seconds=2.0, prompt="春", text='"眠"\n\u2028'),
    Measurement(name="bits_per_byte", value=2.0, unit="bits/byte", bytes=10),
    Event(name="resumed", used_seconds=1.0, detail={"step": 3, "why": ["a", None]}),
    Checksum(step=1, weights="c0ffee"),
]


def test_every_kind_of_record_comes_back_as_it_was_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    for record in EVERY:
        log.append(record)
    log.sync()
    assert list(records.read(path)) == EVERY
    log.close()
    assert len(path.read_bytes().splitlines()) == len(EVERY)


def test_a_figure_to_the_last_bit(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    progress = step(1, nats=0.1 + 0.2)
    log.append(progress)
    log.append(step(2, nats=float("inf")))
    log.close()
    first, second = records.read(tmp_path / "log.jsonl")
    assert first == progress and second.nats == float("inf")  # type: ignore[union-attr]


def test_no_file_has_no_records(tmp_path: Path) -> None:
    assert list(records.read(tmp_path / "log.jsonl")) == [] == records.standing_steps(tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    "torn", ['{"record": "ste', '{"record": "step", "step": 3}', "{", '"step"', "[]", "null", "3", "\n"]
)
def test_a_torn_last_line_is_passed_over_and_the_next_one_stands_alone(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.append(step(1))
    log.close()
    with path.open("a") as file:
        file.write(torn)
    assert list(records.read(path)) == [step(1)]
    log = Log(path)
    log.append(step(2))
    log.close()
    assert list(records.read(path)) == [step(1), step(2)]


def test_a_line_torn_within_a_character_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sample = EVERY[4]
    log = Log(path)
    log.append(step(1))
    log.append(sample)
    log.close()
    whole = path.read_bytes().replace(b"\\u6625", "春".encode())
    path.write_bytes(whole[: whole.index("春".encode()) + 1])
    assert list(records.read(path)) == [step(1)]
    log = Log(path)
    log.append(step(2))
    log.close()
    assert list(records.read(path)) == [step(1), step(2)]


def test_kinds_and_fields_of_other_versions_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.append(step(1))
    log.close()
    with path.open("a") as file:
        file.write(json.dumps({"record": "horoscope", "sign": "lion"}) + "\n")
        file.write(json.dumps({"record": "phase", "name": "a", "seconds": 1.0, "used_seconds": 1.0, "new": 1}) + "\n")
        file.write(json.dumps({"no": "record"}) + "\n")
    log = Log(path)
    log.append(step(2))
    log.close()
    assert list(records.read(path)) == [step(1), step(2)]


def test_steps_repeated_after_a_resume_replace_what_they_repeat(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    for number in (1, 2, 3, 4, 5):
        log.append(step(number))
    log.append(Event(name="resumed", used_seconds=1.0))
    for number in (4, 5, 6):
        log.append(step(number, nats=2.0))
    log.append(step(6, nats=3.0))
    log.close()
    standing = records.standing_steps(path)
    assert [(one.step, one.nats) for one in standing] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 3.0)]


def log_of(path: Path, *written: records.Record) -> Path:
    log = Log(path)
    for record in written:
        log.append(record)
    log.close()
    return path


def test_two_logs_say_since_when_their_runs_differ(tmp_path: Path) -> None:
    def after(number: int, weights: str) -> Checksum:
        return Checksum(step=number, weights=weights)

    steps = [step(number) for number in range(1, 5)]
    usual = log_of(tmp_path / "usual", *steps[:2], after(2, "a"), *steps[2:], after(4, "b"))
    back = [step(3, nats=9.0), after(4, "x"), Event(name="resumed", used_seconds=1.0, detail={"step": 2})]
    went_back = log_of(tmp_path / "back", *steps[:2], after(2, "a"), *back, *steps[2:], after(4, "b"))
    weights = log_of(tmp_path / "weights", *steps[:2], after(2, "a"), *steps[2:], after(4, "c"))
    loss = log_of(tmp_path / "loss", *steps[:2], after(2, "a"), step(3, nats=1.5), steps[3], after(4, "c"))
    short = log_of(tmp_path / "short", *steps[:3])
    assert records.first_difference(usual, went_back) == ""
    assert records.first_difference(usual, weights) == (
        "step 4: the weights differ after that step; they were last equal after step 2"
    )
    assert records.first_difference(usual, loss) == "step 3: nats 1.0 and 1.5"
    assert records.first_difference(usual, short) == "step 4: one took 4 steps and the other 3"
