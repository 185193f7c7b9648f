"""The same file leaves either warehouse."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.features import export
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions

COLUMNS = ["amount", "is_night", "terminal_fraud_share_7d"]
SCHEMA = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("amount", pa.decimal128(38, 2)),
        ("is_night", pa.int64()),
        ("terminal_fraud_share_7d", pa.float64()),
    ]
)
ROWS = [
    {"transaction_id": 3 - row, "amount": Decimal(row) / 100, "is_night": row % 2, "terminal_fraud_share_7d": share}
    for row, share in enumerate([1 / 3, None, 0.0, 1e-300])
]


def at(endpoint: LocalSnowflake, home: Path, database: str) -> Settings:
    """An installation with a database of its own at the endpoint."""
    there = endpoint.settings(home)
    return there.model_copy(update={"snowflake": there.snowflake.model_copy(update={"database": database})})


def make_mart(settings: Settings) -> None:
    """A mart without rows."""
    warehouse = open_warehouse(settings, Use("transform"))
    warehouse.ensure(raw_definitions(warehouse.dialect))
    with warehouse.session("making a mart") as session:
        session.execute("create schema if not exists marts")
        session.execute(
            "create table marts.card_transaction_features "
            "(transaction_id bigint, is_night integer, amount decimal(12, 2), terminal_fraud_share_7d double)"
        )


def fill(settings: Settings) -> None:
    rows = [
        f"({row['transaction_id']}, {row['is_night']}, {row['amount']}, "
        f"{'null' if row['terminal_fraud_share_7d'] is None else repr(row['terminal_fraud_share_7d'])})"
        for row in ROWS
    ]
    with open_warehouse(settings, Use("transform")).session("filling a mart") as session:
        session.execute(f"insert into marts.card_transaction_features values {', '.join(rows)}")


@pytest.fixture(params=["duckdb", "snowflake"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An installation whose mart has no rows yet."""
    settings = Settings(home=tmp_path / "home")
    if request.param == "snowflake":
        settings = at(request.getfixturevalue("endpoint"), tmp_path / "home", f"EXPORT_{tmp_path.name}".upper())
    make_mart(settings)
    return settings


def test_either_warehouse_gives_the_same_file(empty: Settings, tmp_path: Path) -> None:
    fill(empty)
    written = export(empty, tmp_path / "features.parquet", columns=COLUMNS, model="card_fraud")
    table = pq.read_table(written.path)
    assert table.schema == SCHEMA
    assert table.to_pylist() == ROWS[::-1]
    assert written.rows == len(ROWS)


def test_a_mart_without_rows_gives_a_file_with_its_columns(empty: Settings, tmp_path: Path) -> None:
    written = export(empty, tmp_path / "features.parquet", columns=COLUMNS, model="card_fraud")
    assert (written.rows, pq.read_schema(written.path)) == (0, SCHEMA)


@pytest.mark.long
def test_an_export_whose_connection_is_lost_on_the_way_is_begun_again(endpoint: LocalSnowflake, tmp_path: Path) -> None:
    settings = at(endpoint, tmp_path / "home", "EXPORT_LOST")
    make_mart(settings)
    fill(settings)
    endpoint.fault("order by transaction_id", "end")
    before = len(endpoint.statements())
    try:
        written = export(settings, tmp_path / "out" / "features.parquet", columns=COLUMNS, model="card_fraud")
    finally:
        endpoint.clear_faults()
    asked = [statement["sql"] for statement in endpoint.statements()[before:]]
    assert sum("order by transaction_id" in sql for sql in asked) == 2
    assert pq.read_table(written.path).to_pylist() == ROWS[::-1]
    assert [path.name for path in written.path.parent.iterdir()] == ["features.parquet"]
