import io
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LifecycleError
from lifecycle.tables.content_digest import content_digest

Row = dict[str, Any]
SCHEMA = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("occurred_at", pa.timestamp("us")),
        ("count", pa.int64()),
        ("amount", pa.decimal128(38, 2)),
        ("share", pa.float64()),
        ("segment", pa.string()),
        ("day", pa.date32()),
        ("is_night", pa.bool_()),
        ("reported_at", pa.timestamp("us")),
    ]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "count": st.integers(-(2**63), 2**63 - 1),
    "amount": st.decimals(-(10**9), 10**9, places=2),
    "share": st.floats(width=64),
    "segment": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "day": st.dates(),
    "is_night": st.booleans(),
    "reported_at": st.datetimes(),
}


@st.composite
def sorted_rows(draw: st.DrawFn) -> list[Row]:
    """Rows in order of time and id; several of one moment among them."""
    keys = draw(st.sets(st.tuples(st.integers(0, 9), st.integers(-50, 50)), min_size=1, max_size=12))
    values = st.fixed_dictionaries({name: st.none() | strategy for name, strategy in VALUES.items()})
    return [{"occurred_at": time, "transaction_id": key, **draw(values)} for time, key in sorted(keys)]


def batch_of(rows: list[Row], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def cut(batch: pa.RecordBatch, places: list[int]) -> list[pa.RecordBatch]:
    """The rows of `batch` in several, empty ones among them; each a slice with an offset into the same buffers."""
    bounds = [0, *sorted(place % (batch.num_rows + 1) for place in places), batch.num_rows]
    return [batch.slice(start, end - start) for start, end in pairwise(bounds)]


@settings(max_examples=50)
@given(sorted_rows(), st.lists(st.integers(0, 1000), max_size=6))
def test_where_the_batches_end_does_not_matter(rows: list[Row], places: list[int]) -> None:
    batch = batch_of(rows)
    assert content_digest(cut(batch, places)) == content_digest([batch])


@settings(max_examples=50)
@given(sorted_rows(), st.data())
def test_any_other_value_or_null_is_another_digest(rows: list[Row], data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(rows))
    name = data.draw(st.sampled_from(sorted(VALUES)))
    old = row[name]
    new = data.draw(st.none() | VALUES[name])
    is_same = old == new or (name == "share" and None not in {old, new} and bool(np.isnan([old, new]).all()))
    changed = [{**other, name: new} if other is row else other for other in rows]
    assert (content_digest([batch_of(changed)]) == content_digest([batch_of(rows)])) is is_same


@settings(max_examples=50)
@given(sorted_rows(), st.data())
def test_a_row_less_is_another_digest(rows: list[Row], data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(rows) - 1))
    rest = rows[:gone] + rows[gone + 1 :]
    assert content_digest([batch_of(rest)]) != content_digest([batch_of(rows)])


@settings(max_examples=50)
@given(sorted_rows(), st.data())
def test_rows_in_another_order_have_no_digest(rows: list[Row], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    if shuffled == rows:
        assert content_digest([batch_of(shuffled)]) == content_digest([batch_of(rows)])
        return
    with pytest.raises(LifecycleError, match="Expected rows in order of occurred_at and transaction_id"):
        content_digest(cut(batch_of(shuffled), [data.draw(st.integers(0, 12))]))


@settings(max_examples=50)
@given(sorted_rows(), st.data())
def test_a_repeated_row_has_no_digest_also_across_batches(rows: list[Row], data: st.DataObject) -> None:
    again = data.draw(st.integers(0, len(rows) - 1))
    first, second = rows[: again + 1], rows[again:]
    with pytest.raises(LifecycleError, match=rf"got 1 that do not come after .* first at rows \[{again + 1}\]"):
        content_digest([batch_of(first), batch_of(second)])


def as_parquet(table: pa.Table, **options: int) -> pa.Table:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    buffer.seek(0)
    return pq.read_table(buffer)


def replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def digest(table: pa.Table) -> str:
    return content_digest(table.to_batches())


STORED: dict[str, Callable[[pa.Table], pa.Table]] = {
    "Parquet": lambda t: as_parquet(t, row_group_size=700),
    "chunks": lambda t: pa.concat_tables([t.slice(0, 1001), t.slice(1001)]),
    "large text": lambda t: replaced(t, "segment", t["segment"].cast(pa.large_string())),
    "a dictionary": lambda t: replaced(t, "segment", t["segment"].dictionary_encode()),
    "nanoseconds": lambda t: replaced(t, "occurred_at", t["occurred_at"].cast(pa.timestamp("ns"))),
    "UTC": lambda t: replaced(t, "occurred_at", t["occurred_at"].cast(pa.timestamp("us", "UTC"))),
    "narrow integers": lambda t: replaced(t, "is_weekend", t["is_weekend"].cast(pa.int8())),
    "NUMBER(38, 0)": lambda t: replaced(t, "is_weekend", t["is_weekend"].cast(pa.decimal128(38, 0))),
    "NUMBER(38, 2)": lambda t: replaced(t, "amount", t["amount"].cast(pa.decimal128(38, 2))),
}


@pytest.mark.parametrize("way", STORED)
def test_the_digest_does_not_depend_on_how_the_content_is_stored(way: str, table: pa.Table) -> None:
    assert digest(STORED[way](table)) == digest(table)


CHANGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a value": lambda t: replaced(t, "is_weekend", pa.array([9, *t["is_weekend"].to_pylist()[1:]], pa.int32())),
    "a null instead of zero": lambda t: replaced(
        t, "is_weekend", pa.array([None, *t["is_weekend"].to_pylist()[1:]], pa.int32())
    ),
    "the last cent": lambda t: replaced(
        t, "amount", pa.array([Decimal("0.01"), *t["amount"].to_pylist()[1:]], pa.decimal128(12, 2))
    ),
    "text moved to the next row": lambda t: replaced(
        t, "segment", pa.array(["basicg", "old", *t["segment"].to_pylist()[2:]])
    ),
    "a kind": lambda t: replaced(t, "is_weekend", t["is_weekend"].cast(pa.float64())),
    "places of a decimal": lambda t: replaced(t, "amount", t["amount"].cast(pa.decimal128(38, 3))),
    "a name": lambda t: t.rename_columns([name.replace("risk", "risque") for name in t.column_names]),
    "the order of columns": lambda t: t.select(t.column_names[::-1]),
    "a column less": lambda t: t.drop_columns(["risk"]),
    "a row less": lambda t: t.slice(1),
    "a report": lambda t: replaced(t, "reported_at", pa.nulls(t.num_rows, pa.timestamp("us"))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_changes_with_the_content(change: str, table: pa.Table) -> None:
    assert digest(CHANGES[change](table)) != digest(table)


def test_the_digest_is_what_it_was() -> None:
    """A change of the format would rename every frozen training set: it must be meant, and its number raised."""
    rows: list[Row] = [
        {"transaction_id": 1, "occurred_at": 5, "count": 3, "amount": Decimal("1.50"), "share": 0.25,
         "segment": "gold", "day": None, "is_night": True, "reported_at": None},
        {"transaction_id": 2, "occurred_at": 5, "count": None, "amount": None, "share": None,
         "segment": None, "day": 1, "is_night": None, "reported_at": 7},
    ]  # fmt: skip
    assert content_digest([batch_of(rows)]) == "3a599adb07c7b3651fc500b52ebe062f0cc04600f317742d4bf7c66b9adbcf84"


def test_minus_zero_is_zero_and_every_nan_the_same() -> None:
    def one(value: float) -> str:
        columns = {"transaction_id": [1], "occurred_at": pa.array([0], pa.timestamp("us")), "x": pa.array([value])}
        return digest(pa.table(columns))

    assert one(-0.0) == one(0.0)
    assert one(float("nan")) == one(float(np.array([0xFFF8000000000001], np.uint64).view(np.float64)[0]))
    assert one(float("nan")) != one(0.0)


def test_text_keys_are_held_in_the_order_that_a_warehouse_sorts_them_by() -> None:
    names = ["B", "Z", "a", "ä", "ﬀ", "😀", ""]
    shuffled = pa.table({"transaction_id": names, "occurred_at": pa.array([0] * len(names), pa.timestamp("us"))})
    with duckdb.connect() as connection:
        connection.register("shuffled", shuffled)
        table = connection.sql("select * from shuffled order by occurred_at, transaction_id").to_arrow_table()
    assert len(digest(table)) == 64


@pytest.mark.parametrize("key", ["occurred_at", "transaction_id"])
def test_a_table_without_its_keys_or_with_a_null_in_them_has_no_digest(key: str, table: pa.Table) -> None:
    with pytest.raises(LifecycleError, match=rf"missing \['{key}'\]"):
        digest(table.drop_columns([key]))
    nulls = pa.nulls(table.num_rows, table.schema.field(key).type)
    with pytest.raises(LifecycleError, match=f"Expected no null, got {table.num_rows} - at column '{key}'"):
        digest(replaced(table, key, nulls))


def test_no_batch_has_no_digest_and_a_batch_of_other_columns_ends_it(table: pa.Table) -> None:
    with pytest.raises(LifecycleError, match="Expected rows to digest, got no batch"):
        content_digest([])
    with pytest.raises(LifecycleError, match="Expected the columns"):
        content_digest([*table.slice(0, 9).to_batches(), *table.slice(9).drop_columns(["risk"]).to_batches()])
