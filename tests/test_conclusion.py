"""What a run says at its end: the verdict for every order of the figures, and how much of the text they are of."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daybreak.core.run import Run, write_json
from daybreak.core.shapes import NgramShape
from daybreak.core.types import Plan
from daybreak.evaluation.conclusion import verdict
from daybreak.views.terminal import finished_lines


def corpus(counting: float = 1.4, xz: float = 2.0, fitted: int = 500_000) -> Any:
    return SimpleNamespace(
        ngram_bits_per_byte=counting, xz_bits_per_byte=xz, ngram_bytes=fitted, bytes=1_000_000, heldout_bytes=244_000
    )


def said(plan: Plan, *, alone: float, mixed: float | None = None, own: float | None = None, **of: Any) -> str:
    figures: dict[str, Any] = {"bits_per_byte": alone}
    if mixed is not None:
        figures["mixture"] = {"bits_per_byte": mixed, "weight_of_counts": 0.5}
        if own is not None:
            figures["mixture"]["counts_bits_per_byte"] = own
    return verdict(plan, corpus(**of), figures)


def test_the_mixture_is_best(plan: Callable[..., Plan]) -> None:
    assert said(plan(), alone=1.87, mixed=1.19, own=1.3, xz=1.9) == (
        "Best result: the network with its n-gram counts, 1.19 bits per byte; n-gram model alone 1.30, network alone "
        "1.87. `generate` uses both by default. More time or text would help the network, which is still behind the "
        "n-gram model; --family ngram alone takes a fraction of the time."
    )
    assert said(plan(), alone=1.2, mixed=1.1, own=1.5) == (
        "Best result: the network with its n-gram counts, 1.10 bits per byte; network alone 1.20, n-gram model alone "
        "1.50. `generate` uses both by default."
    )


def test_the_network_is_best(plan: Callable[..., Plan]) -> None:
    assert said(plan(), alone=1.2) == (
        "Best result: the network, 1.20 bits per byte; n-gram model alone 1.40 (on a sample of 500 KB)."
    )
    assert said(plan(), alone=1.2, fitted=1_000_000).endswith("n-gram model alone 1.40.")
    assert "--without ngram_mix" in said(plan(), alone=1.2, mixed=1.21, own=1.4)


def test_counting_is_best(plan: Callable[..., Plan]) -> None:
    told = said(plan(), alone=1.87)
    assert told == (
        "An n-gram model alone is better than the run: 1.40 bits per byte (on a sample of 500 KB); network alone 1.87. "
        "--family ngram may be the better choice for this text and time; more time or text would help the network."
    )
    assert "about as good as the run" in said(plan(), alone=1.404)


def test_xz_is_best(plan: Callable[..., Plan]) -> None:
    told = said(plan(), alone=1.87, mixed=1.5, own=1.6, xz=1.2)
    assert told.startswith("xz, which only finds repetitions, is better than the run: 1.20 bits per byte; ")
    assert "uses the network with its n-gram counts" in told and "More time or text would help" in told


def test_whatever_the_order_the_best_is_named_first_and_no_figure_is_wrong(plan: Callable[..., Plan]) -> None:
    names = ("result: the network, ", "with its n-gram counts, ", "an n-gram model alone", "xz")
    for values in itertools.permutations((1.11, 1.22, 1.33, 1.44)):
        alone, mixed, own, xz = values
        told = said(plan(), alone=alone, mixed=mixed, own=own, xz=xz)
        best = names[values.index(1.11)]
        first = told.split("1.11")[0].lower()
        assert best in first, told
        assert all(f"{value:.2f}" in told for value in (alone, mixed, own)), told
        assert (f"{xz:.2f}" in told) == (xz < alone or xz == 1.11), told


def test_counts_of_the_family_ngram(plan: Callable[..., Plan]) -> None:
    counts = plan(shape=NgramShape(order=8, unit="byte", vocabulary=257))
    assert said(counts, alone=1.34).startswith("The n-gram model reaches 1.34 bits per byte, xz 2.00.")
    assert said(counts, alone=1.34, xz=1.2).startswith("xz is better than the n-gram model")


@pytest.mark.parametrize(
    ("objective", "name", "start"),
    [
        ("masked_tokens", "masked_accuracy", "41.2% of masked tokens guessed: "),
        ("span_corruption", "span_loss", "0.412"),
    ],
)
def test_models_that_fill_gaps_compare_with_nothing(
    plan: Callable[..., Plan], objective: str, name: str, start: str
) -> None:
    told = verdict(plan(objective=objective), corpus(), {name: 0.412})
    assert told.startswith(start)
    assert "n-gram" not in told.lower() and "xz" not in told.lower()


def test_a_run_from_a_checkpoint_is_not_told_of_a_family_that_it_cannot_have(plan: Callable[..., Plan]) -> None:
    told = said(plan(origin=SimpleNamespace(path="x")), alone=1.87)
    assert "--family ngram, without --from," in told


# How much of the text


def ended(folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, **figures: Any) -> list[str]:
    run = Run(folder)
    run.make()
    write_json(run.plan_file, plan.to_json())
    monkeypatch.setattr(Run, "corpus", lambda self: corpus())
    return finished_lines(SimpleNamespace(run=run, figures=figures))


def test_a_part_of_the_text_is_said_with_its_interval(
    tmp_path: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"bits_per_byte": 2.3855, "bits_per_byte_interval": [2.34, 2.43], "bytes": 104_000}
    part = ended(tmp_path, plan(), monkeypatch, **figures, heldout_share=0.43, verdict="It is good.")
    run = tmp_path
    assert part[1] == (
        f"2.3855 \u00b1 0.046 bits per byte on 104 KB of 244 KB of held-out text (43%); `daybreak evaluate {run}` "
        "scores all of it"
    )
    assert "It is good." in part
    assert "1.4000 Kneser-Ney, counted on a sample of 500 KB, 2.0000 xz, for comparison" in part
    figures["bytes"] = 244_000
    whole = ended(tmp_path, plan(), monkeypatch, **figures, heldout_share=1.0)
    assert whole[1] == "2.3855 \u00b1 0.046 bits per byte on all 244 KB of held-out text"
    older = ended(tmp_path, plan(), monkeypatch, bits_per_byte=2.3855, bytes=104_000)
    assert older[1] == "2.3855 bits per byte on 104 KB of held-out text"
    hidden = {"masked_accuracy": 0.412, "masked_accuracy_interval": [0.4, 0.42], "bytes": 9_000, "heldout_share": 0.5}
    assert ended(tmp_path, plan(objective="masked_tokens"), monkeypatch, **hidden)[1].startswith(
        "41.20% \u00b1 1.2% of masked tokens guessed on 50% of the held-out text; `daybreak evaluate"
    )
