"""The five values: JSON both ways, errors that name the nearest field, frozen, and an identity."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core import shapes
from daybreak.core import types as parts
from daybreak.core.errors import UsageError
from daybreak.core.shapes import GptShape, NgramShape
from daybreak.core.types import Budget, Machine, Plan, Request, TechniqueChoice
from daybreak.core.values import SCHEMA, Tagged, Value
from daybreak.models.gpt import Gpt

KINDS = [
    kind
    for kind in {**vars(shapes), **vars(parts)}.values()
    if dataclasses.is_dataclass(kind) and issubclass(kind, Value)  # type: ignore[arg-type]
]

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=8)
LEAVES = {
    str: TEXTS,
    int: st.integers(-(10**18), 10**18),
    float: NUMBERS,
    bool: st.booleans(),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
        max_leaves=4,
    ),
}


def of_kind(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of the annotated kind."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in LEAVES:
        return LEAVES[kind]
    if origin is types.UnionType:
        return st.one_of([st.none() if member is types.NoneType else of_kind(member) for member in arguments])
    if origin is tuple:
        return st.lists(of_kind(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXTS, of_kind(arguments[1]), max_size=2)
    if not dataclasses.is_dataclass(kind):
        return st.one_of(
            [of_kind(member) for member in Tagged.KINDS.values() if member.__module__.startswith(shapes.__name__)]
        )
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: of_kind(hints[field.name]) for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_value_comes_back_from_its_json_as_it_was(kind: type[Value]) -> None:
    @settings(max_examples=15, deadline=None)
    @given(value=of_kind(kind))
    def comes_back(value: Value) -> None:
        data = json.loads(json.dumps(value.to_json()))
        assert kind.from_json(data) == value
        assert data["schema"] == SCHEMA

    comes_back()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_value_cannot_be_changed_in_place(kind: type[Value]) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in dataclasses.fields(kind))  # type: ignore[arg-type]


def test_a_list_stays_a_list_and_an_integer_may_stand_for_a_float() -> None:
    choice = TechniqueChoice.from_json({"name": "ema", "settings": {"memory": [1, {"a": None}]}})
    assert choice.settings == {"memory": [1, {"a": None}]}
    budget = Budget.from_json({"clock": "seconds", "seconds": 60})
    assert budget == Budget(clock="seconds", seconds=60.0) and type(budget.seconds) is float


def test_an_unknown_field_is_an_error_that_names_the_nearest(plan) -> None:
    data = plan().to_json()
    data["shape"]["layer"] = 3
    with pytest.raises(UsageError) as error:
        Plan.from_json(data, "plan.json")
    assert "'layer'" in error.value.what and "plan.json.shape" in error.value.what
    assert error.value.attempt == "did you mean 'layers'?"


def test_a_missing_field_is_an_error_that_names_it(plan) -> None:
    data = plan().to_json()
    del data["optimizer"]["momentum"]
    with pytest.raises(UsageError, match=r"'momentum' is missing in plan\.json\.optimizer"):
        Plan.from_json(data, "plan.json")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("seed", "0"),
        ("seed", 1.0),
        ("seed", True),
        ("seed", None),
        ("reproducible", 1),
        ("corpus", 7),
        ("techniques", "ema"),
        ("techniques", [{"name": 3}]),
        ("techniques", ["ema"]),
        ("refused", []),
        ("refused", {"bf16": 3}),
        ("shape", "gpt"),
        ("shape", {"family": "gtp"}),
        ("shape", {}),
        ("budget", None),
        ("request", {}),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error_with_its_place(plan, field: str, wrong: Any) -> None:
    with pytest.raises(UsageError) as error:
        Plan.from_json({**plan().to_json(), field: wrong}, "plan.json")
    assert f"plan.json.{field}" in error.value.what
    assert error.value.attempt


def test_an_unknown_family_names_the_nearest(plan) -> None:
    data = plan().to_json()
    data["shape"]["family"] = "gtp"
    with pytest.raises(UsageError, match="did you mean 'gpt'"):
        Plan.from_json(data)


def test_a_newer_schema_is_an_error_and_not_a_guess(plan) -> None:
    with pytest.raises(UsageError, match=f"schema {SCHEMA + 1} in plan.json"):
        Plan.from_json({**plan().to_json(), "schema": SCHEMA + 1}, "plan.json")


def test_reading_does_not_change_what_was_read(plan) -> None:
    data = plan().to_json()
    before = json.dumps(data)
    Plan.from_json(data)
    assert json.dumps(data) == before


def test_identity_is_unaffected_by_how_the_run_is_carried_out(plan) -> None:
    first = plan()
    for changes in (
        {"budget": Budget(clock="tokens", seconds=5.0)},
        {"micro_batch": 4},
        {"batch_tokens": 512},
        {"tokens": 1},
        {"reasons": {}},
        {"techniques": (TechniqueChoice(name="ema"),)},
    ):
        assert plan(**changes).identity() == first.identity(), changes


def test_identity_changes_with_what_the_weights_depend_on(plan, shape) -> None:
    changed = [
        plan(),
        plan(seed=1),
        plan(shape=shape(vocabulary=320, layers=2)),
        plan(shape=shape(vocabulary=320, tied=True)),
        plan(corpus="fedcba9876543210"),
        plan(tokenizer=parts.TokenizerChoice(kind="bpe", vocabulary=300)),
        plan(objective="masked"),
        plan(parent="runs/before"),
        plan(shape=NgramShape(order=3, unit="byte", vocabulary=257)),
    ]
    assert len({one.identity() for one in changed}) == len(changed)


def test_identity_survives_json(plan) -> None:
    whole = plan(shape=NgramShape(order=3, unit="byte", vocabulary=257))
    assert Plan.from_json(json.loads(json.dumps(whole.to_json()))).identity() == whole.identity()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": True},
        {"heads": 4, "key_value_heads": 2},
        {"heads": 4, "key_value_heads": 1, "tied": True, "layers": 2},
        {"head_dim": 64, "mlp_width": 192},
    ],
)
def test_parameters_are_those_of_the_module(shape, changes: dict[str, Any]) -> None:
    some = shape(**changes)
    module = Gpt(some)
    assert some.parameters() == sum(weight.numel() for weight in module.parameters())
    multiplied = sum(weight.numel() for weight in module.matrices()) + module.lm_head.weight.numel()
    assert some.matmul_parameters() == multiplied


def test_flops_per_token_by_hand() -> None:
    small = GptShape(
        vocabulary=100,
        layers=2,
        width=8,
        heads=2,
        key_value_heads=1,
        head_dim=4,
        mlp_width=16,
        context_length=10,
        tied=False,
    )
    # A layer: queries 8x8, keys and values 8x4 each, output 8x8, three matrices of 8x16; the head 100x8.
    weights = 2 * (64 + 32 + 32 + 64 + 3 * 128) + 800
    # Scores and sums: 2 products of 2 flops, forward and twice backward, for 2 layers, 2 heads of 4, 10 positions.
    assert small.flops_per_token() == 6 * weights + 12 * 2 * 2 * 4 * 10
    assert small.replace(tied=True).flops_per_token() == small.flops_per_token()


def test_keys_tell_shapes_apart(shape) -> None:
    changes = ({"layers": 2}, {"width": 128}, {"tied": True}, {"heads": 4}, {"context_length": 32}, {"mlp_width": 128})
    shapes = [shape(), *(shape(**change) for change in changes), shape(vocabulary=128)]
    assert len({some.key() for some in shapes}) == len(shapes)
    assert shape().key() == shape().key()


def test_the_key_of_a_machine_holds_what_measurements_depend_on(machine) -> None:
    first: Machine = machine()
    assert first.replace(memory_bytes=1, measured_at=5.0).key() == first.key()
    assert len({first.key(), machine(cores=4).key(), machine(versions={"torch": "3"}).key()}) == 3


def test_the_same_moment_of_the_day_continues_however_far_away_it_was() -> None:
    asked = Request(sources=("a.txt",), seconds=100.0, until="2030-01-31T07:00")
    assert asked.continues(asked.replace(seconds=50.0))
    assert not asked.continues(asked.replace(seconds=50.0, until="2030-01-31T08:00"))
    timed = Request(sources=("a.txt",), seconds=100.0)
    assert timed.continues(timed.replace()) and not timed.continues(timed.replace(seconds=50.0))
    assert not timed.continues(timed.replace(seed=1))


def test_technique_finds_the_choice_by_its_name(plan) -> None:
    ema = TechniqueChoice(name="ema", settings={"memory": 0.1})
    assert plan(techniques=(ema,)).technique("ema") == ema and plan().technique("ema") is None
