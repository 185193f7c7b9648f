"""The warehouse and the server give the same bits for every expression."""

import datetime as dt
import random
from typing import Any

import msgspec
import pytest

from serving.contract.documents import Feature
from serving.contract.row_compiler import RowError
from tests.harness import random_expressions
from tests.harness.derived_evaluators import bits, derived, offline, online, random_features, table_of
from tests.harness.random_expressions import FIELDS

ROWS = 250
EXPRESSIONS = 400
utc = dt.datetime.fromisoformat


def test_random_expressions_give_the_same_bits_in_the_warehouse_and_in_the_server() -> None:
    draw = random.Random(20180401)
    features = random_features(draw, EXPRESSIONS)
    rows = [random_expressions.row(draw) for _ in range(ROWS)]
    table = table_of(FIELDS, rows)
    compared = valued = 0
    for start in range(0, EXPRESSIONS, 50):
        some = features[start : start + 50]
        for ours, theirs in zip(online(some, FIELDS, rows), offline(some, FIELDS, table), strict=True):
            for feature, one, two in zip(some, ours, theirs, strict=True):
                assert bits(one) == bits(two), feature.derivation
                compared, valued = compared + 1, valued + (one is not None)
    assert compared == ROWS * EXPRESSIONS
    assert valued > compared / 3


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("amount / visits", {"amount": 1.0, "visits": 0}, None),
        ("amount / visits", {"amount": 1.0, "visits": 3}, 1 / 3),
        ("visits / 2", {"visits": 3}, 1.5),
        ("amount * 1e308 * 10", {"amount": 1e10}, None),
        ("1 / (amount * 1e308 * 10)", {"amount": 1e10}, None),
        ("coalesce(amount * 1e308 * 10, 7)", {"amount": 1e10}, 7.0),
        ("least(amount * 1e308 * 10, 7)", {"amount": 1e10}, None),
        ("case when amount * 1e308 * 10 > 1 then 1 else 2 end", {"amount": 1e10}, 2.0),
        ("sqrt(amount)", {"amount": -1.0}, None),
        ("least(balance, 5)", {"balance": None}, None),
        ("greatest(balance, 5)", {"balance": None}, None),
        ("balance + 1", {"balance": None}, None),
        ("case when balance > 1 then 1 when not balance > 1 then 2 else 3 end", {"balance": None}, 3.0),
        ("case when balance > 1 or amount > 1 then 1 else 0 end", {"balance": None, "amount": 2.0}, 1.0),
        ("case when balance > 1 and amount > 1 then 1 else 0 end", {"balance": None, "amount": 2.0}, 0.0),
        ("case when not (balance > 1 and amount > 1) then 1 else 0 end", {"balance": None, "amount": 0.0}, 1.0),
        ("0 * amount", {"amount": -1.0}, 0.0),
        ("ceil(amount)", {"amount": -0.5}, 0.0),
        ("visits + 1", {"visits": 2**53}, 2.0**53),
        ("case when kind = 'other' then 1 else 0 end", {"kind": "unseen"}, 1.0),
        ("extract(isodow from occurred_at)", {"occurred_at": utc("2026-11-29T00:00:00")}, 7.0),
        ("extract(isodow from occurred_at)", {"occurred_at": utc("0001-01-01T00:00:00")}, 1.0),
        ("extract(hour from occurred_at)", {"occurred_at": utc("2026-03-29T02:30:00")}, 2.0),
        ("extract(day from occurred_at)", {"occurred_at": utc("2024-02-29T23:59:59.999999")}, 29.0),
    ],
)
def test_null_is_the_result_of_an_operation_without_a_finite_one(sql: str, row: dict[str, Any], expected: Any) -> None:
    given = {"amount": 0.0, "balance": 0.0, "visits": 0, "months": 0, "kind": "shop", "segment": "gold"}
    given["occurred_at"] = utc("2026-01-01T00:00:00")
    rows = [tuple((given | row).values())]
    for found in (online([derived(sql)], FIELDS, rows), offline([derived(sql)], FIELDS, table_of(FIELDS, rows))):
        assert bits(found[0][0]) == bits(expected)


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("visits / 2", {"visits": 3}, None),
        ("visits / 2", {"visits": 4}, 2),
        ("amount", {"amount": 2.0**53}, 2**53),
        ("amount", {"amount": 2.0**54}, None),
        ("case when visits > 1 then 1 when visits < 0 then null else 0 end", {"visits": 3}, 1),
        ("case when visits > 1 then 1 when visits < 0 then null else 0 end", {"visits": -3}, None),
    ],
)
def test_an_int_is_whole_or_null(sql: str, row: dict[str, Any], expected: Any) -> None:
    given = {"amount": 0.0, "balance": 0.0, "visits": 0, "months": 0, "kind": "shop", "segment": "gold"}
    rows = [(*(given | row).values(), utc("2026-01-01T00:00:00"))]
    feature = derived(sql, "int")
    for found in (online([feature], FIELDS, rows), offline([feature], FIELDS, table_of(FIELDS, rows))):
        assert (type(found[0][0]), found[0][0]) == (type(expected), expected)


@pytest.mark.parametrize(
    ("feature", "fault"),
    [
        (derived("1 / amount", is_nullable=False), "null"),
        (derived("amount - 1", minimum=0), "range"),
        (derived("amount + 2", maximum=1), "range"),
        (derived("visits / 2 + 0.25", "int", is_nullable=False), "null"),
        (derived("kind", "category", categories=("gold",)), "category"),
    ],
)
def test_a_value_that_the_schema_forbids_is_refused(feature: Feature, fault: str) -> None:
    row = (0.0, None, 1, None, "shop", None, utc("2026-01-01T00:00:00"))
    with pytest.raises(RowError) as refused:
        online([feature], FIELDS, [row])
    assert (refused.value.feature.name, refused.value.fault) == ("x", fault)


def test_a_tree_survives_its_document() -> None:
    draw = random.Random(1)
    for feature in random_features(draw, 50):
        assert msgspec.json.decode(msgspec.json.encode(feature), type=Feature) == feature
