"""Modules: an optimizer finds every weight of every family's module, each once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from daybreak.models import families
from daybreak.models.module import LanguageModel

MADE = [family for family in families.OURS if family.rung is not None]


@pytest.mark.parametrize("family", MADE, ids=lambda family: family.name)
@pytest.mark.parametrize("tied", [False, True])
def test_every_weight_of_a_family_is_stepped_once(family: Any, tied: bool) -> None:
    shape = family.rung(2, 64, vocabulary=320, context_length=16).replace(tied=tied)
    with torch.device("meta"):
        module = family.module(shape)
    assert isinstance(module, LanguageModel)
    assert module.shape == shape and module.lm_head.weight.shape == (shape.vocabulary, shape.width)
    every = {id(weight) for weight in module.parameters()}
    stepped = [id(weight) for weight in (*module.matrices(), *module.embeddings_and_norms())]
    assert sorted(stepped) == sorted(every), "an optimizer steps each weight once"
    assert {id(weight) for weight in module.rate_factors()} <= {id(weight) for weight in module.matrices()}
