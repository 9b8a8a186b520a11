"""Compare: the bootstrap by closed forms, tokenizers aligned byte by byte, verdicts, errors, the page in a browser."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from daybreak.core.errors import DataError, ResourceError, UsageError
from daybreak.core.metrics import BITS_PER_BYTE
from daybreak.core.records import Event, Log, Measurement, Step, Validation
from daybreak.core.run import Run, write_json
from daybreak.core.shapes import NgramShape
from daybreak.core.types import Plan, Request, TechniqueChoice, TokenizerChoice
from daybreak.data.tokenizers import byte_tokenizer, train_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.evaluation import bootstrap
from daybreak.evaluation.score_table import CELL_BYTES, Scores, common, of_heldout, on_text
from daybreak.models.ngram import files
from daybreak.models.ngram.kneser_ney import KneserNey
from daybreak.stages.compare.text import compare
from daybreak.stages.evaluate.text import evaluate
from daybreak.views import comparison

HOSTILE = "<img src=x onerror=alert(1)>"
TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 40
DOCUMENTS = [f"{i} {TEXT}"[: 700 + 13 * i] + "é" for i in range(30)]


def stream_of(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    parts = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in documents]
    return np.array([token for part in parts for token in part], dtype=np.uint16)


def common_cells(scores: list[Scores]) -> int:
    return len(common(scores)[0].sizes)


def scored(tokenizer: Tokenizer, documents: list[str], rate: float = 1.0, **changes: Any) -> Scores:
    """Every byte costs `rate` nats, and an end of text costs 9, which must not count."""
    stream = stream_of(tokenizer, documents)
    sizes = tokenizer.token_bytes[stream]
    return Scores.of(stream, tokenizer, np.where(sizes > 0, rate * sizes, 9.0), None, **({"whole": True} | changes))


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return train_tokenizer(DOCUMENTS, 400)


# The bootstrap


def test_equal_documents_have_an_interval_without_width() -> None:
    nats = np.array([np.full(30, 3.0), np.full(30, 2.0)])
    (found,) = bootstrap.paired(nats, np.full(30, 4), [(0, 1)], resamples=500)
    expected = 1 / (4 * math.log(2))
    assert (found.difference, found.low, found.high) == pytest.approx((expected, expected, expected))
    assert found.p == pytest.approx(2 / 501)


def test_equal_models_differ_by_exactly_nothing() -> None:
    nats = np.random.default_rng(0).random(40)
    (found,) = bootstrap.paired(np.array([nats, nats]), np.arange(1, 41), [(0, 1)], resamples=500)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_two_documents_by_hand() -> None:
    # Drawn are both of the first (1/4), one of each (1/2), both of the second (1/4): 1, 1/2 and 0 nats a byte.
    (found,) = bootstrap.paired(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([2, 2]), [(0, 1)], confidence=0.4)
    assert found.difference * math.log(2) == pytest.approx(0.5)
    assert (found.low * math.log(2), found.high * math.log(2)) == pytest.approx((0.5, 0.5))
    assert found.p == pytest.approx(0.5, abs=0.03)


def test_a_ratio_weighs_documents_by_their_bytes() -> None:
    (found,) = bootstrap.paired(np.array([[8.0, 1.0], [0.0, 0.0]]), np.array([4, 5]), [(0, 1)], resamples=10)
    assert found.difference == pytest.approx(9 / 9 / math.log(2))


def test_the_interval_has_the_width_of_the_normal_approximation() -> None:
    difference = np.random.default_rng(1).normal(0.1, 1.0, 400)
    (found,) = bootstrap.paired(np.array([difference, np.zeros(400)]), np.ones(400), [(0, 1)])
    half = 1.96 * difference.std() / math.sqrt(400) / math.log(2)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator, held, trials = np.random.default_rng(2), 0, 400
    for trial in range(trials):
        sizes = generator.integers(200, 2000, 60)
        # A difference of 0.05 nats a byte, noise by document, and the same hardness of a document for both models.
        hardness = generator.normal(1.5, 0.3, 60)
        nats = np.array([sizes * (hardness + generator.normal(0.05, 0.1, 60)), sizes * hardness])
        (found,) = bootstrap.paired(nats, sizes, [(0, 1)], resamples=400, seed=trial)
        held += found.low <= 0.05 / math.log(2) <= found.high
    assert 0.90 <= held / trials <= 0.98  # 0.95 minus what percentile intervals fall short of, and noise of 0.011


def test_pairs_share_their_resamples_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nats, sizes = np.random.default_rng(3).random((3, 50)), np.full(50, 2)
    pairs = [(0, 1), (1, 2), (0, 2)]
    whole = bootstrap.paired(nats, sizes, pairs, resamples=300)
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 700)
    assert bootstrap.paired(nats, sizes, pairs, resamples=300) == whole
    assert bootstrap.paired(nats, sizes, [(0, 2)], resamples=300) == whole[2:]


def test_holm_by_hand() -> None:
    assert bootstrap.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert bootstrap.holm([0.5, 0.9]) == [1.0, 1.0]


# What is drawn


def test_enough_documents_are_drawn_whole() -> None:
    found = bootstrap.units(np.repeat(np.arange(25), 2), np.tile([512, 100], 25))
    assert (found.kind, found.count, found.of_cell.tolist()) == ("documents", 25, np.repeat(np.arange(25), 2).tolist())


def test_few_documents_are_cut_into_blocks_of_consecutive_text() -> None:
    sizes = np.full(200, 512)
    found = bootstrap.units(np.repeat([0, 7], 100), sizes)
    assert (found.kind, found.documents, found.count) == ("blocks", 2, 100)
    assert (np.diff(found.of_cell) >= 0).all() and found.of_cell[99] != found.of_cell[100]
    assert np.bincount(found.of_cell, weights=sizes).tolist() == [1024.0] * 100


def test_a_book_beside_many_letters_is_cut() -> None:
    documents, sizes = np.concatenate([np.arange(30), np.full(400, 30)]), np.full(430, 512)
    found = bootstrap.units(documents, sizes)
    assert found.kind == "blocks"
    assert len(np.unique(found.of_cell[:30])) == 30
    assert 80 <= found.count - 30 <= 100


def test_very_many_documents_are_drawn_in_groups_of_neighbours() -> None:
    found = bootstrap.units(np.arange(10_000), np.ones(10_000))
    assert (found.kind, found.count, found.documents) == ("groups", bootstrap.MOST_UNITS, 10_000)
    assert np.bincount(found.of_cell).min() == 2


def test_a_book_beside_very_many_letters_is_cut_too() -> None:
    documents = np.concatenate([np.arange(5000), np.full(18_000, 5000)])
    found = bootstrap.units(documents, np.full(23_000, 512))
    assert found.kind == "blocks"
    assert found.count > 5050


# Scores


def test_different_tokenizers_are_aligned_byte_by_byte(words: Tokenizer) -> None:
    one, other = scored(byte_tokenizer(), DOCUMENTS), scored(words, DOCUMENTS)
    sizes = [len(text.encode()) for text in DOCUMENTS]
    assert common_cells([one, other]) == len(one.sizes) == sum(math.ceil(size / CELL_BYTES) for size in sizes)
    assert np.bincount(other.documents, weights=other.sizes).tolist() == sizes
    assert one.losses == pytest.approx(one.sizes, rel=1e-12)
    assert other.losses == pytest.approx(other.sizes, rel=1e-12)
    assert other.mean_loss(other.losses) == pytest.approx(1 / math.log(2))


def test_a_token_on_an_edge_is_split_by_its_bytes() -> None:
    tokenizer = train_tokenizer(["abcd" * 50], 260)
    four = tokenizer.encode("abcd")
    assert len(four) == 1
    stream = np.array([tokenizer.end_of_text, *tokenizer.encode("x"), *four * 200], dtype=np.uint16)
    nats = np.concatenate([[5.0, 1.0], np.arange(200.0)])
    found = Scores.of(stream, tokenizer, nats, nats + 1, whole=True)
    # 1 byte, 127 tokens of 4, and 3 of the 4 bytes of the next one.
    assert found.sizes.tolist() == [512, 289]
    assert found.losses[0] == pytest.approx(1 + sum(range(127)) + 0.75 * 127)
    assert found.losses.sum() == pytest.approx(nats[1:].sum())
    assert found.mixed is not None and found.mixed.sum() == pytest.approx(nats[1:].sum() + 201)


def test_the_beginning_that_both_have_scored_is_common(words: Tokenizer) -> None:
    whole, stream = scored(byte_tokenizer(), DOCUMENTS), stream_of(words, DOCUMENTS)
    for cut in (100, 333, len(stream) // 2, len(stream) - 1):
        part = Scores.of(stream[:cut], words, words.token_bytes[stream[:cut]].astype(float), None, whole=False)
        assert common_cells([whole, part]) == len(part.sizes)
        assert (part.sizes == whole.sizes[: len(part.sizes)]).all()
        assert part.losses == pytest.approx(part.sizes)


def test_runs_that_scored_parts_are_judged_on_the_text_that_both_have(finished: Callable[..., Run]) -> None:
    runs = [finished("one"), finished("two", worse=0.5)]
    for run, left in zip(runs, (slice(0, None, 3), slice(0, None, 2)), strict=True):
        scores = Scores.read(run.scores_file)
        kept = np.setdiff1d(np.arange(len(scores.sizes)), np.arange(len(scores.sizes))[left])
        scores.cells(kept).save(run.scores_file)
    facts = compare([str(run.path) for run in runs], resamples=200)
    every = Scores.read(runs[0].scores_file), Scores.read(runs[1].scores_file)
    shared = np.intersect1d(every[0].keys(), every[1].keys())
    assert 0 < len(shared) < len(every[1].keys())
    assert facts["text"]["bytes"] == every[0].cells(np.searchsorted(every[0].keys(), shared)).size
    assert not facts["text"]["whole"]
    said = comparison.page_words("en")
    assert said["part"] in comparison.remarks(facts, said)


def test_another_text_has_nothing_in_common(words: Tokenizer) -> None:
    one = scored(words, DOCUMENTS)
    assert common_cells([one, scored(words, [*DOCUMENTS[:-1], "else"])]) == 0
    assert common_cells([one, scored(words, DOCUMENTS[:-1])]) == 0
    assert common_cells([one, scored(words, ["".join(DOCUMENTS)])]) == 0
    assert common_cells([one, scored(words, DOCUMENTS[:-1], whole=False)]) > 0


def test_scores_are_kept_and_read_back(words: Tokenizer, tmp_path: Path) -> None:
    one, path = scored(words, DOCUMENTS), tmp_path / "heldout.npz"
    one.save(path)
    back = Scores.read(path)
    assert (
        (back.losses == one.losses).all() and (back.digests == one.digests).all() and back.whole and back.mixed is None
    )
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResourceError, match="cannot be read"):
        Scores.read(path)


# Runs


@pytest.fixture
def finished(tmp_path: Path, plan: Callable[..., Plan], words: Tokenizer) -> Callable[..., Run]:
    """A run's folder as its end leaves it; the bits per byte vary by document around 1 + worse."""

    def made(
        name: str,
        *,
        worse: float = 0.0,
        noise: float = 0.05,
        documents: list[str] = DOCUMENTS,
        end: bool = True,
        **changes: Any,
    ) -> Run:
        run = Run(tmp_path / name)
        run.make()
        tokenizer = byte_tokenizer() if changes.pop("by_bytes", False) else words
        request = Request(sources=("a.txt",), seconds=60.0)
        write_json(run.request_file, request.to_json())
        write_json(run.plan_file, plan(request=request, **changes).to_json())
        scores = scored(tokenizer, documents, math.log(2))
        hardness = np.random.default_rng(len(name)).normal(1 + worse, noise, len(documents))[scores.documents]
        nats = scores.losses * hardness
        dataclasses.replace(scores, sums={**scores.sums, "nats": nats}).save(run.scores_file)
        log = Log(run.log_file)
        for number in range(1, 41):
            log.append(
                Step(
                    step=number, progress=number / 40, micro_batch=8, accumulation=1, skipped=False,
                    nats=1 + 4 / number, gradient_norm=1.0, learning_rate_factor=1.0, tokens=128 * number,
                    seconds=1.0, used_seconds=10.0 + number,
                )
            )  # fmt: skip
        log.append(
            Validation(step=20, progress=0.5, used_seconds=30.0, tokens=2560, figure=2.0, perplexity=9.0, bytes=99)
        )
        figure = scores.mean_loss(nats)
        log.append(Measurement(name="bits_per_byte", value=figure, unit="bits/byte", bytes=scores.size))
        if end:
            log.append(Event(name="finished", used_seconds=55.0, detail={"bits_per_byte": figure}))
        log.close()
        return run

    return made


def judged(*runs: Run, **asked: Any) -> dict[str, Any]:
    return compare([str(run) for run in runs], resamples=2000, **asked)


def test_a_run_and_itself_cannot_be_told_apart(finished: Callable[..., Run]) -> None:
    run = finished("one")
    facts = judged(run, run)
    assert [one["label"] for one in facts["runs"]] == ["one", "one (2)"]
    (verdict,) = facts["verdicts"]
    assert (verdict["verdict"], verdict["difference"], verdict["low"], verdict["high"]) == ("cannot tell", 0, 0, 0)
    assert facts["differences"] == []
    assert "no byte was predicted differently" in comparison.sentence(verdict, facts, comparison.page_words("en"))


def test_a_model_without_a_finite_loss_is_not_judged(finished: Callable[..., Run]) -> None:
    good, broken = finished("good"), finished("broken", worse=math.nan)
    with pytest.raises(DataError, match="broken"):
        judged(good, broken)


def test_a_clearly_better_model_is_better_and_the_other_way_round_worse(finished: Callable[..., Run]) -> None:
    good, bad = finished("good", by_bytes=True), finished("bad-one", worse=0.3)
    facts = judged(bad, good)
    (verdict,) = facts["verdicts"]
    assert (verdict["run"], verdict["than"], verdict["verdict"]) == ("good", "bad-one", "better")
    assert verdict["low"] < verdict["difference"] < verdict["high"] < 0
    assert verdict["difference"] == pytest.approx(facts["runs"][1]["alone"] - facts["runs"][0]["alone"])
    assert facts["text"] | {"bytes": 0} == {
        "on": [], "skipped": [], "bytes": 0, "documents": 30, "units": 30, "kind": "documents", "whole": True
    }  # fmt: skip
    back = judged(good, bad)["verdicts"][0]
    assert (back["verdict"], back["low"]) == ("worse", pytest.approx(-verdict["high"]))
    said = comparison.sentence(back, facts, comparison.page_words("en"))
    interval = f"(95% interval {back['low']:.4f} to {back['high']:.4f})"
    assert said == f"bad-one is worse than good by {back['difference']:.4f} bits per byte {interval}"


def test_a_small_difference_among_noise_cannot_be_told(finished: Callable[..., Run]) -> None:
    (verdict,) = judged(finished("one"), finished("other", worse=0.005, noise=0.2))["verdicts"]
    assert verdict["verdict"] == "cannot tell" and verdict["low"] < 0 < verdict["high"]


def test_every_pair_is_judged_and_their_number_is_allowed_for(finished: Callable[..., Run]) -> None:
    runs = [finished("a"), finished("bb", worse=0.1), finished("ccc", worse=0.4)]
    found = judged(*runs)["verdicts"]
    assert [(v["than"], v["run"]) for v in found] == [("a", "bb"), ("a", "ccc"), ("bb", "ccc")]
    assert all(v["adjusted_p"] == pytest.approx(min(1, 3 * v["p"])) for v in found if v["p"] == found[1]["p"])


def test_too_little_text_is_never_judged(finished: Callable[..., Run]) -> None:
    facts = judged(*(finished(name, worse=w, documents=DOCUMENTS[:3]) for name, w in (("a", 0), ("bb", 2.0))))
    assert facts["text"]["units"] < bootstrap.LEAST_UNITS
    assert facts["verdicts"][0]["verdict"] == "cannot tell"
    assert "too little text" in comparison.sentence(facts["verdicts"][0], facts, comparison.page_words("en"))


def test_only_the_decisions_that_differ_are_told(finished: Callable[..., Run]) -> None:
    on = (TechniqueChoice(name="ema", settings={"decay": 0.99}),)
    one, other = finished("a"), finished("bb", batch_tokens=2048, techniques=on, tokens=5)
    rows = {row["name"]: row["values"] for row in judged(one, other)["differences"]}
    assert rows == {
        "batch_tokens": {"a": 1024, "bb": 2048},
        "techniques.ema": {"a": None, "bb": True},
        "techniques.ema.decay": {"a": None, "bb": 0.99},
    }


def test_the_curve_runs_over_seconds_and_over_tokens(finished: Callable[..., Run]) -> None:
    curve = judged(finished("a"), finished("bb"))["runs"][0]["curve"]
    assert len(curve["seconds"]) == len(curve["tokens"]) == len(curve["values"]) == 40
    assert curve["tokens"][-1] == pytest.approx(128 * 40, rel=0.05)
    assert curve["validations"] == [{"seconds": 30.0, "tokens": 2560, "loss": 2.0}]
    assert curve["end"]["seconds"] == pytest.approx(55.0)


def test_runs_of_the_same_name_are_told_apart_by_their_folders(finished: Callable[..., Run]) -> None:
    facts = judged(finished("x/run"), finished("y/run"))
    assert [run["label"] for run in facts["runs"]] == ["x/run", "y/run"]


# Models that are scored now


@pytest.fixture
def counted(finished: Callable[..., Run]) -> Callable[..., Run]:
    """A finished run of the family ngram with a model/ and without kept scores."""

    def made(name: str, tokenizer: Tokenizer, order: int) -> Run:
        shape = NgramShape(order=order, unit="token", vocabulary=tokenizer.vocabulary)
        run = finished(name, shape=shape, tokenizer=TokenizerChoice(kind="bpe", vocabulary=tokenizer.vocabulary))
        run.scores_file.unlink()
        tokenizer.save(run.tokenizer_file)
        stream = stream_of(tokenizer, DOCUMENTS)
        starts = np.flatnonzero(stream == tokenizer.end_of_text)
        model = KneserNey.fit(stream, order=order, vocabulary=tokenizer.vocabulary, starts=starts)
        files.save_ngram(run.model_folder, model, tokenizer_file=run.tokenizer_file)
        return run

    return made


def test_any_text_is_scored_now(counted: Callable[..., Run], words: Tokenizer, tmp_path: Path) -> None:
    text = tmp_path / "test.txt"
    text.write_text(TEXT * 5)
    runs = [counted("deep", byte_tokenizer(), 5), counted("flat", words, 1)]
    (tmp_path / "empty.txt").touch()
    told: list[str] = []
    facts = judged(*runs, on=[str(tmp_path / "*.txt")], told=told.append)
    left_out = "1 file skipped: empty or blank (empty.txt)"
    assert told == [*(f"scoring {run}" for run in runs), left_out]
    assert facts["text"]["skipped"] == [left_out] == evaluate(runs[0].path, (str(tmp_path / "*.txt"),))["skipped"]
    assert facts["text"]["bytes"] == len(TEXT) * 5 and facts["text"]["kind"] == "blocks"
    assert facts["verdicts"][0]["verdict"] == "worse"
    assert facts["runs"][0]["tokens_per_second"] is not None and facts["runs"][0]["parameters"] is None
    one = on_text(str(runs[0].path), (str(text),))
    assert facts["runs"][0]["compared"]["alone"] == pytest.approx(one.mean_loss(one.losses))
    assert not runs[0].scores_file.exists()


def test_held_out_text_without_kept_scores_is_scored_once(
    counted: Callable[..., Run], words: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = counted("flat", words, 1)
    monkeypatch.setattr("daybreak.evaluation.streams.heldout_stream", lambda run, plan: stream_of(words, DOCUMENTS))
    first = of_heldout(run.path)
    assert run.scores_file.exists()
    monkeypatch.setattr("daybreak.evaluation.loaded.load", lambda path: pytest.fail("it was scored again"))
    assert (of_heldout(run.path).losses == first.losses).all()


# What cannot be compared


def refused(kind: type, *runs: Run, **asked: Any) -> Any:
    with pytest.raises(kind) as raised:
        judged(*runs, **asked)
    assert raised.value.received and raised.value.attempt
    return raised.value


def test_what_cannot_be_compared_is_refused(
    finished: Callable[..., Run], counted: Callable[..., Run], words: Tokenizer, tmp_path: Path
) -> None:
    one = finished("a")
    assert "nothing to compare" in refused(UsageError, one).what
    assert "not finished" in refused(UsageError, one, finished("bb", end=False)).what
    assert "the run does not exist" in refused(UsageError, one, Run(tmp_path / "nowhere")).what
    different = refused(DataError, one, finished("ccc", documents=DOCUMENTS[5:]))
    assert "different text" in different.what and "--on" in different.attempt and "ccc: " in different.received
    without = counted("dddd", words, 1)
    shutil.rmtree(without.model_folder)
    assert "no model" in refused(UsageError, one, without).what
    refused(DataError, one, finished("eeeee"), on=[str(tmp_path / "nothing.txt")])


def test_a_page_has_a_language_and_a_name(finished: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        comparison.page_words("fr")
    facts = judged(finished("a"), finished("bb"))
    for out, kind in (("page.txt", UsageError), (str(tmp_path / "no" / "page.html"), UsageError)):
        with pytest.raises(kind):
            comparison.write_page(facts, out)


@pytest.mark.parametrize(("width", "columns"), [(80, 5), (60, 4), (40, 2)])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_terminal_of_any_width_shows_whole_figures(
    finished: Callable[..., Run], width: int, columns: int, language: str
) -> None:
    cleaning = ("html_text", "unicode_repair", "control_characters", "normalization", "personal_data", "kernels")
    network = finished("a-network", techniques=tuple(TechniqueChoice(name=name) for name in cleaning))
    counts = NgramShape(order=8, unit="byte", vocabulary=257)
    facts = judged(network, finished("some-counts", worse=0.2, shape=counts, micro_batch=4))
    assert len(facts["differences"]) > 2 * comparison.MOST_ROWS
    said, written = comparison.page_words(language), io.StringIO()
    comparison.show(facts, said, Console(width=width, file=written, force_terminal=True, color_system=None))
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)
    figures = [line for line in lines if line.lstrip().startswith(("a-network ", "some-counts "))][:2]
    for run, line in zip(facts["runs"], figures, strict=True):
        cells = line.split()
        assert cells[:2] == [run["label"], f"{run['alone']:.4f}"], "a figure is whole, and on the line of its run"
        assert len(cells) > columns
    shown = lines[next(i for i, line in enumerate(lines) if said["differences"] in line) + 2 :]
    assert shown.index("") <= comparison.MOST_ROWS * (1 if width > 40 else 3), "between families, the first few"
    assert " ".join(lines).count("html_text") == 1, "and the techniques in one sentence"


def test_the_page_folds_what_only_one_family_decides(finished: Callable[..., Run]) -> None:
    counts = NgramShape(order=8, unit="byte", vocabulary=257)
    both = judged(finished("network"), finished("counts", shape=counts))
    shared, apart = comparison._by_family(both)
    assert [row["name"] for row in shared] == ["shape.family", "shape.vocabulary"]
    assert "shape.layers" in [row["name"] for row in apart] and len(shared) + len(apart) == len(both["differences"])
    alike = judged(finished("a"), finished("bb", batch_tokens=2048))
    assert comparison._by_family(alike) == (alike["differences"], [])
    html = comparison.page(both)
    assert '"rows_apart": [["shape.layers", ' in html


def test_large_counts_have_three_digits_on_a_terminal() -> None:
    told = {9_999: "9,999", 10_000: "10.0K", 33_158: "33.2K", 902_016: "902K", 999_960: "1.00M", 1_007_616: "1.01M"}
    assert {value: comparison._count(value) for value in told} == told


def test_both_languages_have_every_word() -> None:
    lines = json.loads((Path(comparison.__file__).parents[1] / "web" / "compare.json").read_text("utf-8"))
    assert all(line.keys() == {"en", "zh"} and all(line.values()) for line in lines.values())
    places = {key: [sorted(part.split("}")[0] for part in text.split("{")[1:]) for text in line.values()]
              for key, line in lines.items()}  # fmt: skip
    assert all(one == other for one, other in places.values())


# The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_the_page_shows_it_all(browser: Any, finished: Callable[..., Run], tmp_path: Path) -> None:
    facts = judged(finished("good"), finished(HOSTILE.replace("/", ""), worse=0.3, batch_tokens=2048))
    path = comparison.write_page(facts, str(tmp_path / "compare.html"))
    page = browser.new_page(viewport={"width": 390, "height": 800})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.goto(path.as_uri())
    assert page.locator(".verdict").inner_text().startswith("worse")
    assert HOSTILE in page.locator(".verdict").inner_text()
    assert "batch_tokens" in page.locator("table").nth(1).inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    inside = """[...document.querySelectorAll('.verdicts > li')].map((card) => {
        const [outer, inner] = [card, card.querySelector('.interval')].map((e) => e.getBoundingClientRect());
        return inner.height > 0 && outer.top <= inner.top && inner.bottom <= outer.bottom;
    })"""
    assert set(page.evaluate(inside)) == {True}, "every interval is drawn on the card of its verdict"
    page.locator("#curves").scroll_into_view_if_needed()
    page.wait_for_selector("#curves .chart > svg")
    assert "seconds of the budget" in page.text_content("#curves .chart > svg")
    page.get_by_role("button", name="over tokens").click()
    assert "tokens trained on" in page.text_content("#curves .chart > svg")
    assert page.locator("#curves .chart > svg path").count() == 2, "a line for each run"
    assert page.locator("#curves .chart > svg polygon").count() == 2, "a star for each run"
    assert page.locator("#curves .chart > svg circle").count() > 0, "validations"
    assert page.locator("img").count() == 0
    assert told == []
    page.close()


# Files of scores


def test_sums_are_named_and_come_back_from_the_file(tmp_path: Path) -> None:
    """Two documents of 600 bytes, a token a byte, each of half a nat: 512 of them are a cell."""
    stream = np.concatenate([np.append(256, np.full(600, 65)) for _ in range(2)]).astype(np.uint16)
    scores = Scores.of(stream, byte_tokenizer(), np.full(len(stream), 0.5), None, whole=True)
    scores.save(tmp_path / "heldout.npz")
    back = Scores.read(tmp_path / "heldout.npz")
    assert back.metric == BITS_PER_BYTE and set(back.sums) == {"nats", "bytes", "tokens"}
    assert back.sums["bytes"].tolist() == [512, 88] * 2 and back.sums["tokens"] == pytest.approx([512, 88] * 2)
    assert back.sums["nats"] == pytest.approx([256, 44] * 2)
    assert back.mean_loss(back.losses) == pytest.approx(0.5 / math.log(2))


def first_version(path: Path, **columns: Any) -> Path:
    """As daybreak wrote it before files had a version."""
    told = {"documents": np.arange(3, dtype=np.int32), "places": np.zeros(3, np.int32), "whole": np.array(True)}
    sizes = np.array([10, 10, 20], np.int32)
    digests = np.arange(3, dtype=np.uint64)
    np.savez(path, sizes=sizes, digests=digests, cell_bytes=np.array(CELL_BYTES), **told, **columns)
    return path


@pytest.mark.parametrize(
    ("headline", "nats", "numerator", "losses"),
    [
        ("bits_per_byte", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        # "nats" were ln 2 times the targets that were missed, or times their nats.
        ("masked_accuracy", [4 * math.log(2), 0.0, 20 * math.log(2)], [6.0, 10.0, 0.0], [4.0, 0.0, 20.0]),
        ("span_loss", [5 * math.log(2), 0.0, 7 * math.log(2)], [5.0, 0.0, 7.0], [5.0, 0.0, 7.0]),
    ],
)
def test_files_without_a_version_are_still_read(
    tmp_path: Path, headline: str, nats: list[float], numerator: list[float], losses: list[float]
) -> None:
    path = first_version(tmp_path / "heldout.npz", nats=np.array(nats), headline=np.array(headline))
    scores = Scores.read(path)
    assert scores.metric.name == headline and scores.sizes.tolist() == [10, 10, 20] and scores.whole
    assert scores.sums[scores.metric.numerator] == pytest.approx(numerator) and scores.losses == pytest.approx(losses)
    assert scores.mean_loss(scores.losses) == pytest.approx(sum(nats) / 40 / math.log(2))


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = first_version(tmp_path / "heldout.npz", nats=np.zeros(3), version=np.array(3))
    with pytest.raises(ResourceError, match="cannot be read") as refused:
        Scores.read(path)
    assert "version 3" in refused.value.received
