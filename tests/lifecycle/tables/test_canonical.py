import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.tables.canonical import canonical_batch, canonical_schema, canonical_table

MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)  # noqa: DTZ001 - as a warehouse stores UTC
SAME_KIND = {
    "integer": ([7, None, -7], pa.int64(), [pa.int8(), pa.int32(), pa.decimal128(38, 0), pa.decimal128(9, 0)]),
    "unsigned": ([7, None, 0], pa.int64(), [pa.uint8(), pa.uint64()]),
    "decimal": (
        [Decimal("1.50"), None, Decimal("-0.01")],
        pa.decimal128(38, 2),
        [pa.decimal128(12, 2), pa.decimal128(4, 2), pa.decimal256(50, 2)],
    ),
    "float": ([0.5, None, -2.0], pa.float64(), [pa.float32(), pa.float64()]),
    "text": (["a", None, "ü"], pa.string(), [pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
    "timestamp": ([MOMENT, None], pa.timestamp("us"), [pa.timestamp("ns"), pa.timestamp("us", "UTC")]),
    "date": ([MOMENT.date(), None], pa.date32(), [pa.date64(), pa.date32()]),
    "boolean": ([True, None], pa.bool_(), [pa.bool_()]),
}


@pytest.mark.parametrize("kind", SAME_KIND)
def test_whatever_a_warehouse_sends_becomes_the_one_type_of_its_kind(kind: str) -> None:
    values, wanted, sent = SAME_KIND[kind]
    for type_ in sent:
        table = canonical_table(pa.table({"x": pa.array(values, type_)}))
        assert table.schema.field("x").type == wanted
        assert table.column("x").to_pylist() == values


def test_batches_of_other_widths_have_one_schema() -> None:
    narrow = pa.record_batch({"x": pa.array([1, 2], pa.int8())})
    wide = pa.record_batch({"x": pa.array([2**40], pa.int64())})
    schema = canonical_schema(narrow.schema)
    assert [canonical_batch(batch, schema).schema for batch in (narrow, wide)] == [schema, schema]


def test_a_table_without_rows_keeps_its_columns() -> None:
    assert canonical_table(pa.table({"x": pa.array([], pa.int32())})).schema == pa.schema([("x", pa.int64())])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"y": pa.array([1])}, r"Expected the columns \['x'\], got \['y'\]"),
        ({"x": pa.array([1.0])}, "Expected `int64`, got `double` - at column 'x'"),
        ({"x": pa.array([Decimal(2**63)], pa.decimal128(38, 0))}, "does not - at column 'x'"),
        ({"x": pa.array([None])}, "Expected numbers, text, .* got `null` - at column 'x'"),
        ({"x": pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin"))}, "timestamps in UTC, got .*Berlin"),
        ({"x": pa.array([b"secret"])}, "got `binary` - at column 'x'"),
    ],
)
def test_another_kind_or_a_value_too_large_is_refused_without_its_value(
    batch: dict[str, pa.Array], message: str
) -> None:
    with pytest.raises(LifecycleError, match=message) as caught:
        canonical_batch(pa.record_batch(batch), pa.schema([("x", pa.int64())]))
    assert "secret" not in str(caught.value)
    assert str(2**63) not in str(caught.value)


def test_a_moment_finer_than_a_microsecond_is_refused() -> None:
    with pytest.raises(LifecycleError, match=r"Expected values that fit into `timestamp\[us\]`"):
        canonical_table(pa.table({"x": pa.array([1], pa.timestamp("ns"))}))


def test_a_name_that_is_there_twice_is_refused() -> None:
    with pytest.raises(LifecycleError, match="Expected each column once"):
        canonical_schema(pa.schema([("x", pa.int64()), ("x", pa.int64())]))
