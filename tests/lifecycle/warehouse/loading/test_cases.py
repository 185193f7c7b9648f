"""Small files that once failed, or were loaded wrong: each is loaded right or refused with one clear message."""

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.loading.csv_files import NAMELESS
from lifecycle.warehouse.loading.load import load

CASES = Path(__file__).parent / "cases"
TEN = dt.datetime.fromisoformat("2026-09-01T10:00:00")
SIX = ["12.50", "19.99", "1234.56", "99.95", "250.10", "0.00"]


def hours(*offsets: int) -> list[dt.datetime]:
    return [TEN + dt.timedelta(hours=offset) for offset in offsets]


@pytest.fixture
def warehouse(settings: Any) -> Warehouse:
    """DuckDB reads the files of both warehouses."""
    return open_warehouse(settings)


def loaded(warehouse: Warehouse, column: str) -> list[Any]:
    rows = warehouse.query(f"select {column} from raw.card_transactions order by transaction_id")
    return rows.column(0).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "amounts", "times"),
    [
        ("01_bom.csv", ["12.50", "0.00"], hours(0, 1)),
        ("03_cr_only.csv", ["12.50", "0.00"], hours(0, 1)),
        ("08_quoted_newline.csv", ["12.50", "0.00"], hours(0, 1)),
        ("21_case.csv", ["12.50", "0.00"], hours(0, 1)),
        ("23_pandas_index.csv", ["1.50"], hours(0)),
        ("24_upper.CSV.GZ", ["12.50", "0.00"], hours(0, 1)),
        ("36_tz_bad_offset.csv", ["12.50"], hours(-2)),
        ("50_float32.parquet", SIX, [TEN] * 6),
        ("51_int96.parquet", SIX, [TEN] * 6),
        ("52_decimal38.parquet", SIX, [TEN] * 6),
        ("53_dict.parquet", SIX, [TEN] * 6),
        ("55_tz.parquet", SIX, [TEN] * 6),
        ("58_pandas_index.parquet", SIX, [TEN] * 6),
    ],
)
def test_a_file_of_another_program_is_loaded(
    warehouse: Warehouse, name: str, amounts: list[str], times: list[dt.datetime]
) -> None:
    result = load(warehouse, "card_transactions", CASES / name)
    assert result.mapping == "raw"
    assert loaded(warehouse, "amount") == [Decimal(amount) for amount in amounts]
    assert loaded(warehouse, "occurred_at") == times


def test_the_utc_timestamps_that_pandas_writes_are_loaded(warehouse: Warehouse) -> None:
    import pandas as pd

    expected = pd.read_parquet(CASES / "80_pandas_ns_utc.parquet").sort_values("transaction_id")
    load(warehouse, "card_transactions", CASES / "80_pandas_ns_utc.parquet")
    assert loaded(warehouse, "occurred_at") == [value.tz_localize(None) for value in expected["occurred_at"]]
    assert [float(amount) for amount in loaded(warehouse, "amount")] == list(expected["amount"])


def test_a_nameless_index_column_is_named_and_left_out(warehouse: Warehouse) -> None:
    assert load(warehouse, "card_transactions", CASES / "23_pandas_index.csv").columns_left_out == (NAMELESS,)


@pytest.mark.parametrize(
    ("name", "violation"),
    [
        ("10_point_thousands.csv", r"Expected the decimal separator of column amount in a mapping.* row 1, 2"),
        ("20_dup_case.csv", r"the columns \['Amount', 'amount'\] more than once"),
        ("25_refund.csv", r"amounts of at least 0 in column amount, got 1 negative .* row 2"),
        ("26_sentinel_9999.csv", r"times at most 1 day after the load in column occurred_at, got 1 later .* row 2"),
        ("28_year1.csv", r"times from 1990-01-01 on in column occurred_at, got 1 earlier .* row 2"),
    ],
)
def test_a_file_that_would_be_loaded_wrong_is_refused(warehouse: Warehouse, name: str, violation: str) -> None:
    with pytest.raises(LifecycleError, match="Nothing was loaded") as refused:
        load(warehouse, "card_transactions", CASES / name)
    assert re.search(violation, str(refused.value))
    assert not re.search(r"9999-12|0001-01|12\.50|1\.500", str(refused.value))
    assert loaded(warehouse, "amount") == []


@pytest.mark.parametrize(
    ("stated", "amounts"),
    [
        ('{decimal: "."}', ["1.50", "2.00"]),
        ('{decimal: ",", thousands: "."}', ["1500.00", "2000.00"]),
    ],
)
def test_the_mapping_states_the_separators_of_amounts(
    warehouse: Warehouse, tmp_path: Path, stated: str, amounts: list[str]
) -> None:
    mapping = tmp_path / "mapping.yaml"
    names = ["transaction_id", "occurred_at", "customer_id", "terminal_id", "amount"]
    columns = "".join(f"  {name}: {name}\n" for name in names)
    mapping.write_text(f"name: own\nrelation: card_transactions\namounts: {stated}\ncolumns:\n{columns}")
    load(warehouse, "card_transactions", CASES / "10_point_thousands.csv", mapping)
    assert loaded(warehouse, "amount") == [Decimal(amount) for amount in amounts]


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        "2026-09-01 10:00:00",
        "2026-09-01T10:00:00Z",
        "2026-09-01T10:00:00.000000000Z",  # Java's Instant, NumPy
        "2026-09-01 10:00:00 UTC",  # BigQuery, Ruby
        "2026-09-01 10:00:00 Z",
        "2026-09-01 12:00:00.000 +0200",  # Snowflake
        "2026-09-01T12:00:00+0200",  # Python's %z, Java's XX
        "2026-09-01 12:00:00+02",  # PostgreSQL
        "2026-09-01 12:00:00.000000+02:00",  # Python's isoformat
        "2026-09-01T12:00+02:00[Europe/Berlin]",  # Java's ZonedDateTime
        "2026-09-01T10:00Z[UTC]",
        "2026-09-01 04:30:00 -0530",
    ],
)
def test_an_offset_is_applied_whichever_program_wrote_it(warehouse: Warehouse, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"transaction_id,occurred_at,customer_id,terminal_id,amount\n1,{text},7,70,12.50\n")
    load(warehouse, "card_transactions", file)
    assert loaded(warehouse, "occurred_at") == [TEN]


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-01 10:00:00+15:00",
        "2026-09-01 10:00:00+02:75",
        "2026-09-01 10:00:00 CET",
        "2026-09-01 10:00:00[Europe/Berlin]",
        "2026-09-01 10:00:00 +02 00",
        "1788256800",
    ],
)
def test_a_zone_that_is_no_offset_is_refused(warehouse: Warehouse, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"transaction_id,occurred_at,customer_id,terminal_id,amount\n1,{text},7,70,12.50\n")
    with pytest.raises(LifecycleError, match=r"got 1 another kind of value .* row 1"):
        load(warehouse, "card_transactions", file)


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
def test_every_line_end_gives_the_same_rows(warehouse: Warehouse, tmp_path: Path, ending: str) -> None:
    rows = [f"{row},2026-09-01 10:00:00,7,70,{row}.50" for row in range(30_000)]
    file = tmp_path / "rows.csv"
    file.write_bytes(ending.join(["transaction_id,occurred_at,customer_id,terminal_id,amount", *rows, ""]).encode())
    assert load(warehouse, "card_transactions", file).rows_inserted == 30_000
    assert loaded(warehouse, "amount")[-1] == Decimal("29999.50")


@pytest.mark.parametrize(
    "time", ["9999-12-31 23:59:59", "2300-01-01 00:00:00", "0001-01-01 00:00:00", "1970-01-01 00:00"]
)
def test_a_sentinel_is_refused_in_every_column_of_times(warehouse: Warehouse, tmp_path: Path, time: str) -> None:
    load(warehouse, "card_transactions", CASES / "01_bom.csv")
    reports = tmp_path / "reports.csv"
    reports.write_text(f"transaction_id,reported_at\n1,2026-09-03 00:00:00\n2,{time}\n")
    with pytest.raises(LifecycleError, match=r"column reported_at, got 1 (earlier|later) .* row 2"):
        load(warehouse, "fraud_reports", reports)


def test_times_up_to_a_day_ahead_are_loaded_and_later_ones_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    file = tmp_path / "rows.csv"
    for hours_ahead, is_refused in ((23, False), (25, True)):
        text = f"{now + dt.timedelta(hours=hours_ahead):%Y-%m-%d %H:%M:%S}"
        file.write_text(f"transaction_id,occurred_at,customer_id,terminal_id,amount\n{hours_ahead},{text},7,70,1\n")
        if is_refused:
            with pytest.raises(LifecycleError, match="got 1 later"):
                load(warehouse, "card_transactions", file)
        else:
            load(warehouse, "card_transactions", file)
    assert len(loaded(warehouse, "amount")) == 1
