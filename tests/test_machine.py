"""The machine: what is measured of it takes a moment, whatever it lacks."""

from pathlib import Path

import pytest
import torch

from daybreak.core.clock import Contention
from daybreak.engine import machine


@pytest.mark.parametrize(("rate", "sizes"), [(1e6, [256]), (1e11, [256, 2048])])
def test_a_dtype_that_is_emulated_is_measured_by_a_small_product(
    monkeypatch: pytest.MonkeyPatch, rate: float, sizes: list[int]
) -> None:
    asked = []
    monkeypatch.setattr(machine, "_rate_at", lambda size, device, dtype: asked.append(size) or rate)
    assert machine._matmul_rate(torch.device("cpu"), torch.float16) == rate
    assert asked == sizes


def test_a_product_that_a_device_does_not_have_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*about: object) -> float:
        raise RuntimeError("not implemented")

    monkeypatch.setattr(machine, "_rate_at", lacking)
    assert machine._matmul_rate(torch.device("cpu"), torch.float16) == 0.0


@pytest.mark.parametrize(("factor", "measurements"), [(1.0, 1), (3.0, 2)], ids=["idle", "busy"])
def test_what_is_measured_beside_other_work_is_soon_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, factor: float, measurements: int
) -> None:
    """Rates of a busy machine that are kept for a month tell an arithmetic utilisation of several hundred percent."""
    monkeypatch.setenv("DAYBREAK_CACHE", str(tmp_path))
    machine.cache._writable.cache_clear()
    rates: list[int] = []
    monkeypatch.setattr(machine, "_rate_at", lambda size, device, dtype: rates.append(size) or 1e11)
    monkeypatch.setattr(Contention, "factor", lambda self: factor)
    cpu, now = torch.device("cpu"), machine.time.time()
    machine.measured(cpu)
    taken = len(rates)
    monkeypatch.setattr(machine.time, "time", lambda: now + machine.BUSY_STALE_SECONDS + 60)
    machine.measured(cpu)
    assert len(rates) == measurements * taken


def test_a_rate_is_that_of_the_turn_that_was_disturbed_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_turns", lambda work, device, times: [0.9, 0.1, 0.5, 0.8, 0.7][:times])
    assert machine._rate_at(100, torch.device("cpu"), torch.float32) == pytest.approx(2e6 / 0.1)
