import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.training_set import Examples, examples_from_table, labels
from lifecycle.spec.risk_model import RiskModelSpec


def replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def test_examples_stand_in_order_of_time_whatever_the_table_is(table: pa.Table, spec: RiskModelSpec) -> None:
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    straight, mixed = examples_from_table(table, spec), examples_from_table(shuffled, spec)
    assert (np.diff(straight.occurred_at.astype(np.int64)) >= 0).all()
    assert straight.id.tolist() == mixed.id.tolist()
    np.testing.assert_array_equal(straight.features, mixed.features)
    assert straight.features.flags["C_CONTIGUOUS"]
    assert straight.features.dtype == np.float64


def test_features_follow_the_schema_nulls_are_nan_and_categories_their_index(
    table: pa.Table, examples: Examples
) -> None:
    assert examples.feature_names == ("amount", "is_weekend", "segment", "risk")
    segments = ["basic", "gold", "never"]
    assert examples.features[:50, 2].tolist() == [segments.index(name) for name in table["segment"].to_pylist()[:50]]
    assert np.isnan(examples.features[:, 3]).sum() == table["risk"].null_count > 0


def test_money_becomes_the_nearest_double_as_a_request_would_carry_it(spec: RiskModelSpec, table: pa.Table) -> None:
    cents = np.arange(table.num_rows) * 7919 % 10_000_000
    exact = pa.array([Decimal(int(value)) / 100 for value in cents], pa.decimal128(12, 2))
    examples = examples_from_table(replaced(table, "amount", exact), spec)
    np.testing.assert_array_equal(
        examples.features[:, 0], [float(f"{int(v) // 100}.{int(v) % 100:02d}") for v in cents]
    )
    np.testing.assert_array_equal(examples.amount, examples.features[:, 0])


def test_a_timestamp_in_utc_is_the_same_instant_and_another_zone_is_refused(
    table: pa.Table, spec: RiskModelSpec, examples: Examples
) -> None:
    utc = table["occurred_at"].cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC"))
    np.testing.assert_array_equal(
        examples_from_table(replaced(table, "occurred_at", utc), spec).occurred_at, examples.occurred_at
    )
    berlin = table["occurred_at"].cast(pa.timestamp("us", "Europe/Berlin"))
    with pytest.raises(LifecycleError, match=r"Expected a timestamp in UTC, got .*Berlin.* at column 'occurred_at'"):
        examples_from_table(replaced(table, "occurred_at", berlin), spec)


FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "missing column": (lambda t: t.drop_columns(["risk"]), r"missing \['risk'\]"),
    "null where not nullable": (
        lambda t: replaced(t, "is_weekend", pa.array([None] + [0] * (t.num_rows - 1), pa.int32())),
        r"Expected no null, got 1, first at rows \[0\] - at column 'is_weekend'",
    ),
    "float for int": (
        lambda t: replaced(t, "is_weekend", pa.array(np.zeros(t.num_rows))),
        "Expected an integer column, got `double` - at column 'is_weekend'",
    ),
    "text for float": (
        lambda t: replaced(t, "risk", pa.array(["x"] * t.num_rows)),
        "Expected a decimal, floating or integer column, got `string` - at column 'risk'",
    ),
    "number for category": (
        lambda t: replaced(t, "segment", pa.array(np.zeros(t.num_rows))),
        "Expected a text column, got `double` - at column 'segment'",
    ),
    "unknown category": (
        lambda t: replaced(t, "segment", pa.array(["basic", "secret"] + ["gold"] * (t.num_rows - 2))),
        r"got 1 rows with another, first at rows \[1\]; list it, or declare `other` - at column 'segment'",
    ),
    "out of range": (
        lambda t: replaced(t, "is_weekend", pa.array([2, 3] + [0] * (t.num_rows - 2), pa.int32())),
        r"Expected values in \[0.0, 1.0\], got 2 outside, first at rows \[0, 1\]",
    ),
    "not finite": (
        lambda t: replaced(t, "risk", pa.array([float("inf")] * t.num_rows)),
        r"Expected finite numbers, got 6000 that are not, first at rows \[0, 1, 2, 3, 4\]",
    ),
    "text for time": (
        lambda t: replaced(t, "reported_at", pa.array(["x"] * t.num_rows)),
        "Expected a timestamp in UTC, got `string` - at column 'reported_at'",
    ),
    "no whole id": (
        lambda t: replaced(t, "transaction_id", pa.array(np.arange(t.num_rows) + 0.5)),
        "Expected an integer column, got `double` - at column 'transaction_id'",
    ),
    "column twice": (
        lambda t: t.append_column("risk", t["risk"]),
        "Expected one column 'risk', got 2",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_is_not_the_schema_is_refused_without_naming_a_value(
    fault: str, table: pa.Table, spec: RiskModelSpec
) -> None:
    spoil, message = FAULTS[fault]
    with pytest.raises(LifecycleError, match=message) as caught:
        examples_from_table(spoil(table), spec)
    assert "secret" not in str(caught.value)


def test_a_label_is_what_was_reported_before_as_of_and_matures_after_its_waiting_time() -> None:
    occurred = np.array(["2024-01-01T00", "2024-01-03T23", "2024-01-04T00", "2024-01-01T00"], "datetime64[us]")
    reported = np.array(["2024-01-05T23", "2024-01-06T00", "NaT", "NaT"], "datetime64[us]")
    rows = Examples(
        np.arange(4), np.arange(4), occurred, reported, np.ones(4), np.ones((4, 1)), feature_names=("amount",)
    )
    is_positive, is_mature = labels(rows, dt.date(2024, 1, 6), 2)
    assert is_positive.tolist() == [True, False, False, False]
    assert is_mature.tolist() == [True, True, False, True]
