"""Rows with sentinel times that an earlier version loaded can be shown and removed, and stop a build until then."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from lifecycle.cli.warehouse import app
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.out_of_range import bounds, expect_in_range
from tests.lifecycle.warehouse.conftest import Killable

UTC_TIMES = {
    11: dt.datetime(9999, 12, 31, 23, 59, 59),  # noqa: DTZ001 - UTC as the warehouse keeps it
    12: dt.datetime(1970, 1, 1),  # noqa: DTZ001
    13: dt.datetime(1, 1, 1),  # noqa: DTZ001
}
"""Transactions with sentinels."""
LATE_REPORT = 2
REMOVED = {
    "marts.card_transaction_features": 3,
    "raw.report_withdrawals": 1,
    "raw.fraud_reports": 2,
    "raw.card_transactions_versions": 1,
    "raw.card_transactions": 3,
}


@pytest.fixture(params=["duckdb", "snowflake"])
def installed(request: pytest.FixtureRequest) -> Settings:
    """Settings of an empty installation, once of each kind."""
    name = "snowflake_settings" if request.param == "snowflake" else "settings"
    settings: Settings = request.getfixturevalue(name)
    return settings


def fill(settings: Settings, good: Path) -> Warehouse:
    """Six good rows by a load, and rows of an earlier version that no load accepts."""
    warehouse = open_warehouse(settings)
    load(warehouse, "card_transactions", good)
    bad = {
        "transaction_id": pa.array(list(UTC_TIMES), pa.int64()),
        "occurred_at": pa.array(list(UTC_TIMES.values()), pa.timestamp("us")),
        "customer_id": pa.array([7] * 3, pa.int64()),
        "terminal_id": pa.array([70] * 3, pa.int64()),
        "amount": pa.array(["1.00"] * 3).cast(pa.decimal128(12, 2)),
    }
    # The report of 12 is in range, and belongs to a transaction that is not; that of 2 came in the year 2300.
    far = dt.datetime(2300, 1, 1)  # noqa: DTZ001
    reported = [dt.datetime(2026, 1, 5), far]  # noqa: DTZ001
    ids = pa.array([12, LATE_REPORT], pa.int64())
    with warehouse.session("rows of an earlier version") as session:
        session.append("raw.card_transactions", pa.table(bad))
        version = pa.table(bad).slice(0, 1).append_column("known_at", pa.array([reported[0]], pa.timestamp("us")))
        session.append("raw.card_transactions_versions", version)
        times = pa.array(reported, pa.timestamp("us"))
        session.append("raw.fraud_reports", pa.table({"transaction_id": ids, "reported_at": times}))
        session.append("raw.report_withdrawals", pa.table({"transaction_id": ids, "withdrawn_at": times}).slice(1))
        session.execute("create schema if not exists marts")
        session.execute("create table marts.card_transaction_features as select * from raw.card_transactions")
    return warehouse


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["remove-out-of-range", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def rows_of(warehouse: Warehouse) -> dict[str, int]:
    return {
        table: warehouse.query(f"select count(*) as row_count from {table}").column(0)[0].as_py() for table in REMOVED
    }


def test_rows_out_of_range_are_counted_then_removed_and_recorded(
    installed: Settings, write_parquet: Any, transactions: Any
) -> None:
    good = write_parquet(transactions)
    warehouse = fill(installed, good)
    before = rows_of(warehouse)
    with pytest.raises(LifecycleError, match=r"got 5 rows .* outside .* `lifecycle warehouse remove-out-of-range`"):
        expect_in_range(warehouse)
    shown = invoke()
    assert "3 rows of raw.card_transactions are outside" in shown
    assert "Nothing was removed. Repeat with --yes" in shown
    assert rows_of(warehouse) == before
    found = json.loads(invoke("--yes", "--json"))
    assert (found["rows"], found["is_removed"]) == (REMOVED, True)
    assert rows_of(warehouse) == {table: count - REMOVED[table] for table, count in before.items()}
    kept = warehouse.query("select transaction_id from raw.card_transactions order by 1").column(0).to_pylist()
    assert kept == transactions["transaction_id"]
    expect_in_range(warehouse)
    recorded = warehouse.query("select table_name, rows_removed, removed_by from raw.removed_rows").to_pylist()
    of_raw = {table: count for table, count in REMOVED.items() if table.startswith("raw.")}
    assert {row["table_name"]: row["rows_removed"] for row in recorded} == of_raw
    assert all(row["removed_by"] for row in recorded)
    assert "No row is outside." in invoke("--yes")
    assert warehouse.query("select * from raw.removed_rows").num_rows == len(of_raw)
    assert load(warehouse, "card_transactions", good).rows_known == 6


def test_rows_at_the_bounds_are_in_range(settings: Settings, write_parquet: Any, transactions: Any) -> None:
    earliest, latest = bounds()
    times = [earliest, latest, *transactions["occurred_at"][2:]]
    warehouse = open_warehouse(settings)
    load(warehouse, "card_transactions", write_parquet({**transactions, "occurred_at": times}))
    expect_in_range(warehouse)
    assert "No row is outside." in invoke()


@pytest.mark.long
def test_a_removal_killed_at_any_point_is_completed_by_the_next(
    killable: Any, write_parquet: Any, transactions: Any
) -> None:
    for point in ("out_of_range.built", "out_of_range.deleted"):
        process: Killable = killable()
        warehouse = fill(Settings(home=process.home), write_parquet(transactions))
        process.crash(["remove-out-of-range", "--yes"], point)
        assert process.run(["remove-out-of-range", "--yes"]).returncode == 0
        expect_in_range(warehouse)
        assert rows_of(warehouse)["marts.card_transaction_features"] == 6
        assert warehouse.query("select * from raw.removed_rows").num_rows == 4
