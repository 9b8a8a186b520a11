"""Aims: the objective of a plan, made of the model's side of it and of random numbers that follow from the rows."""

import functools
from typing import Any

from daybreak.core.types import Decisions
from daybreak.data.augmentation import uniform_of
from daybreak.tasks.next_token import NextToken


def objective_of(plan: Decisions) -> Any:
    """What a module of the plan's family is trained for; see models/objectives.py."""
    choice = plan.tokenizer
    if plan.objective == "next_token":
        return NextToken()
    assert choice.specials is not None
    if plan.objective == "masked_tokens":
        from daybreak.tasks.masked_tokens import MaskedTokens

        return MaskedTokens(
            uniform_of,
            seed=plan.seed,
            specials=choice.specials,
            end_of_text=choice.end(),
            known_tokens=choice.vocabulary,
        )
    from daybreak.tasks.span_corruption import SpanCorruption

    drawn = functools.partial(uniform_of, seed=plan.seed, name="span_corruption")
    return SpanCorruption(choice.specials, end_of_text=choice.end(), drawn=drawn)
