"""Every Arrow type, unit and zone, as pyarrow and pandas write it: loaded right, or refused by a clear message.

A table below names the types that each kind of column takes; every other type that Parquet can hold must be refused.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.duckdb.warehouse import DuckDBSession, open_file
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.loading.mapping import recognise
from lifecycle.warehouse.loading.quarantine import Quarantine
from lifecycle.warehouse.loading.source_files import find_files, open_source
from lifecycle.warehouse.loading.staging import STAGED, LoadRefusedError, refuse_columns, stage
from lifecycle.warehouse.raw_tables import declarations

MOMENT = dt.datetime(2026, 9, 1, 10, 30, tzinfo=dt.UTC)
NAIVE = MOMENT.replace(tzinfo=None)
ZONES = (None, "UTC", "+02:00", "Europe/Berlin", "America/St_Johns", "Etc/UTC")

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float32(), pa.float64()]
DECIMALS = [pa.decimal128(9, 2), pa.decimal128(18, 2), pa.decimal128(38, 10), pa.decimal32(9, 2), pa.decimal64(18, 2)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
TIMESTAMPS = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ZONES]
OTHERS = [
    pa.null(),
    pa.bool_(),
    pa.float16(),
    pa.date32(),
    pa.date64(),
    pa.time32("ms"),
    pa.time64("us"),
    pa.duration("us"),
    pa.binary(),
    pa.large_binary(),
    pa.binary(3),
    pa.list_(pa.int64()),
    pa.large_list(pa.int64()),
    pa.list_(pa.int64(), 1),
    pa.struct([("x", pa.int64())]),
    pa.map_(pa.string(), pa.int64()),
    pa.uuid(),
    pa.decimal256(40, 2),
]
ALL = [*INTEGERS, *FLOATS, *DECIMALS, *TEXTS, *TIMESTAMPS, *OTHERS]


def example(kind: pa.DataType) -> pa.Array:
    """One value of a type: 12 or 12.5 for numbers, `MOMENT` for timestamps."""
    values: list[tuple[Callable[[pa.DataType], bool], Any]] = [
        (pa.types.is_boolean, True),
        (pa.types.is_integer, 12),
        (pa.types.is_float16, 12.5),
        (pa.types.is_floating, 12.34),
        (pa.types.is_decimal, Decimal("12.34")),
        (lambda other: other in TEXTS, "12"),
        (pa.types.is_timestamp, MOMENT if getattr(kind, "tz", None) else NAIVE),
        (pa.types.is_date, NAIVE.date()),
        (pa.types.is_time, dt.time(10, 30)),
        (pa.types.is_duration, dt.timedelta(1)),
        (lambda other: other == pa.uuid(), uuid.UUID(int=12).bytes),
        (lambda other: pa.types.is_binary(other) or pa.types.is_large_binary(other), b"12"),
        (pa.types.is_fixed_size_binary, b"123"),
        (pa.types.is_struct, {"x": 12}),
        (pa.types.is_map, [("x", 12)]),
        (pa.types.is_nested, [12]),
        (pa.types.is_null, None),
    ]
    value = next(value for is_kind, value in values if is_kind(kind))
    if kind == pa.uuid():
        return pa.ExtensionArray.from_storage(kind, pa.array([value], pa.binary(16)))
    return pa.array([value], kind)


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A file with one valid transaction in which one column is replaced."""

    def written(**replaced: pa.Array) -> Path:
        path = tmp_path_factory.mktemp("types") / "rows.parquet"
        columns = {
            "transaction_id": pa.array([1], pa.int64()),
            "occurred_at": pa.array([NAIVE], pa.timestamp("us")),
            "customer_id": pa.array([7], pa.int64()),
            "terminal_id": pa.array([70], pa.int64()),
            "amount": pa.array([1.0], pa.float64()),
        }
        pq.write_table(pa.table({**columns, **replaced}), path)
        return path

    return written


@pytest.fixture
def warehouse(settings: Any) -> Warehouse:
    """DuckDB reads the files of both warehouses."""
    return open_warehouse(settings)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBSession]:
    """The connection of one load after the other, without a warehouse: a load takes much longer than its reading."""
    opened = open_file(tmp_path_factory.mktemp("session") / "files.duckdb", "1GB", 1)
    yield opened
    opened.connection.close()


def staged(session: DuckDBSession, file: Path, column: str) -> list[Any]:
    """Values of a column as a load of the file would insert them."""
    session.execute(f"drop table if exists {STAGED}")
    sources = [open_source(session, found) for found in find_files(file)]
    mapping = recognise("card_transactions", sources[0].columns, declarations())
    refuse_columns(sources, mapping)
    stage(session, sources, mapping, lambda *_: None, Quarantine())
    return session.query(f"select {column} from {STAGED}").column(0).to_pylist()  # type: ignore[no-any-return]


ACCEPTED: dict[str, dict[pa.DataType, Any]] = {
    "customer_id": dict.fromkeys([*INTEGERS, *TEXTS], 12),
    "amount": {
        **{kind: Decimal(12) for kind in [*INTEGERS, *TEXTS]},
        **{kind: Decimal("12.34") for kind in [*FLOATS, *DECIMALS, pa.decimal256(40, 2)]},
    },
    "occurred_at": dict.fromkeys(TIMESTAMPS, NAIVE),
}
NULLS = [pa.null()]
REFUSED_BY_VALUE: dict[str, list[pa.DataType]] = {
    "customer_id": [*FLOATS, *DECIMALS, pa.decimal256(40, 2)],  # 12.34 is no id; 12.0 would be one
    "amount": [],
    "occurred_at": TEXTS,  # "12" is no time
}


@pytest.mark.parametrize("column", ACCEPTED)
@pytest.mark.parametrize("kind", ALL, ids=str)
def test_every_arrow_type_is_loaded_right_or_refused(
    session: DuckDBSession, write: Any, column: str, kind: pa.DataType
) -> None:
    file = write(**{column: example(kind)})
    if kind in ACCEPTED[column]:
        assert staged(session, file, column) == [ACCEPTED[column][kind]]
        return
    with pytest.raises(LoadRefusedError, match=f"column {column}, got") as refused:
        staged(session, file, column)
    is_refused_by_value = "another kind of value" in str(refused.value) or "null" in str(refused.value)
    assert is_refused_by_value == (kind in REFUSED_BY_VALUE[column])


@pytest.mark.parametrize("kind", [*FLOATS, *DECIMALS], ids=str)
def test_a_whole_number_of_any_type_is_an_id(session: DuckDBSession, write: Any, kind: pa.DataType) -> None:
    assert staged(session, write(customer_id=pa.array([Decimal(12)]).cast(kind)), "customer_id") == [12]


@pytest.mark.parametrize(("kind", "number"), [(pa.float32(), 2**24), (pa.float64(), 2**53)], ids=["float32", "float64"])
def test_an_id_that_shares_its_float_with_the_next_is_refused(
    session: DuckDBSession, write: Any, kind: pa.DataType, number: int
) -> None:
    file = write(customer_id=pa.array([float(number - 1)], kind))
    assert staged(session, file, "customer_id") == [number - 1]
    with pytest.raises(LoadRefusedError, match="a whole number in column customer_id"):
        staged(session, write(customer_id=pa.array([float(number)], kind)), "customer_id")


def test_a_float32_is_loaded_by_its_shortest_text_while_it_holds_cents(session: DuckDBSession, write: Any) -> None:
    cents = [*range(2000), *range(13_107_000, 13_107_200), 6_553_601, 9_999_999]
    file = write(
        transaction_id=pa.array(range(len(cents))),
        occurred_at=pa.array([NAIVE] * len(cents), pa.timestamp("us")),
        customer_id=pa.array([7] * len(cents)),
        terminal_id=pa.array([70] * len(cents)),
        amount=pa.array([cent / 100 for cent in cents], pa.float32()),
    )
    assert staged(session, file, "amount") == [Decimal(cent) / 100 for cent in cents]
    with pytest.raises(LoadRefusedError, match="amounts below 131,072 in the 32-bit floats of column amount"):
        staged(session, write(amount=pa.array([131_072.0], pa.float32())), "amount")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ZONES)
def test_pandas_timestamps_of_every_unit_and_zone_are_loaded(
    session: DuckDBSession, tmp_path: Path, unit: str, zone: str | None
) -> None:
    times = pd.Series([NAIVE], dtype=f"datetime64[{unit}]")
    frame = pd.DataFrame(
        {
            "transaction_id": pd.Series([1], dtype="Int64"),
            "occurred_at": times.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else times,
            "customer_id": pd.Series(["7"], dtype="category"),
            "terminal_id": pd.Series(["70"], dtype="string"),
            "amount": pd.Series([12.5], dtype="Float32"),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv")
    for name in ("rows.parquet", "rows.csv"):
        assert staged(session, tmp_path / name, "occurred_at") == [NAIVE]
        assert staged(session, tmp_path / name, "customer_id") == [7]


def test_a_parquet_file_with_a_name_twice_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array(["a"]), pa.array(["b"])], ["terminal_id", "kind", "Kind"]), file)
    with pytest.raises(LifecycleError, match=r"the columns \['Kind', 'kind'\] more than once"):
        load(warehouse, "terminals", file)
