"""The machine: what is measured of it takes a moment, whatever it lacks."""

import pytest
import torch

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
