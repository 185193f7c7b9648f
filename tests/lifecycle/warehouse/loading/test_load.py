import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.loading.staging import LoadRefusedError
from lifecycle.warehouse.loading.stale_days import DayRange
from lifecycle.warehouse.raw_tables import declarations
from lifecycle.warehouse.reading.status import read_status

START = dt.date(2026, 1, 1)


def rows(warehouse: Warehouse, relation: str) -> list[dict[str, Any]]:
    return warehouse.query(f"select * from {declarations().table(relation).table} order by 1").to_pylist()  # type: ignore[no-any-return]


def everything(warehouse: Warehouse) -> dict[str, Any]:
    with warehouse.transaction("reading all of it") as session:
        return {
            table: session.query(f"select * from {table} order by 1").to_pylist()
            for table in ("raw.card_transactions", "raw.fraud_reports", "protected.customers", "raw.loads")
        }


def test_raw_names_load_without_a_mapping(warehouse: Warehouse, write_parquet: Any, transactions: Any) -> None:
    result = load(warehouse, "card_transactions", write_parquet({**transactions, "channel": ["x"] * 6}))
    assert (result.rows_read, result.rows_inserted, result.rows_known) == (6, 6, 0)
    assert result.mapping == "raw"
    assert result.columns_left_out == ("channel",)
    assert result.derived == ()
    assert result.touched == (DayRange(START, dt.date(2026, 1, 4)),)
    loaded = rows(warehouse, "card_transactions")
    assert [row["amount"] for row in loaded] == [
        Decimal(text) for text in ["12.34", "0.00", "99.99", "5.50", "1000.00", "61.87"]
    ]
    assert [row["occurred_at"] for row in loaded] == transactions["occurred_at"]


def test_the_handbooks_columns_fill_two_relations(warehouse: Warehouse, write_parquet: Any, handbook: Any) -> None:
    result = load(warehouse, "card_transactions", write_parquet(handbook))
    assert result.mapping == "card_fraud_handbook"
    assert result.columns_left_out == ("TX_TIME_SECONDS", "TX_TIME_DAYS")
    assert [(part.relation, part.rows_inserted) for part in result.derived] == [("fraud_reports", 2)]
    transactions = {row["transaction_id"]: row for row in rows(warehouse, "card_transactions")}
    assert transactions[13]["amount"] == Decimal("61.87")
    assert transactions[12]["occurred_at"] == dt.datetime.fromisoformat("2018-04-02T23:59:59")
    reports = rows(warehouse, "fraud_reports")
    assert [row["transaction_id"] for row in reports] == [11, 13]
    for report in reports:
        occurred_at = transactions[report["transaction_id"]]["occurred_at"]
        assert report["reported_at"] - occurred_at == dt.timedelta(days=7)


def test_ids_may_be_text_and_flags_booleans(warehouse: Warehouse, write_parquet: Any, handbook: Any) -> None:
    as_text = {
        "TRANSACTION_ID": handbook["TRANSACTION_ID"].cast(pa.string()),
        "CUSTOMER_ID": handbook["CUSTOMER_ID"].cast(pa.float64()),
        "TX_FRAUD": handbook["TX_FRAUD"].cast(pa.bool_()),
    }
    load(warehouse, "card_transactions", write_parquet({**handbook, **as_text}))
    assert [row["customer_id"] for row in rows(warehouse, "card_transactions")] == [596, 4961, 2, 4128]
    assert len(rows(warehouse, "fraud_reports")) == 2


def test_a_mapping_of_ones_own_overrides(
    warehouse: Warehouse, write_parquet: Any, handbook: Any, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "name: late\nrelation: card_transactions\n"
        "columns: {transaction_id: TRANSACTION_ID, occurred_at: TX_DATETIME, customer_id: CUSTOMER_ID,"
        " terminal_id: TERMINAL_ID, amount: TX_AMOUNT}\n"
        "derived: {fraud_reports: {flag: TX_FRAUD, delay_days: 9}}\n"
    )
    result = load(warehouse, "card_transactions", write_parquet(handbook), mapping)
    assert result.mapping == "late"
    assert rows(warehouse, "fraud_reports")[0]["reported_at"] == dt.datetime.fromisoformat("2018-04-10T09:05:00")


def test_the_same_file_again_changes_nothing_and_is_not_read(
    warehouse: Warehouse, write_parquet: Any, handbook: Any
) -> None:
    file = write_parquet(handbook)
    load(warehouse, "card_transactions", file)
    before = everything(warehouse)
    again = load(warehouse, "card_transactions", file)
    assert (again.files, again.files_known) == (1, 1)
    assert (again.rows_read, again.rows_inserted, again.rows_known) == (4, 0, 4)
    assert [(part.rows_read, part.rows_inserted) for part in again.derived] == [(2, 0)]
    assert again.touched == ()
    assert everything(warehouse) == before


def test_known_rows_in_another_file_are_passed_over(
    warehouse: Warehouse, write_parquet: Any, transactions: Any
) -> None:
    load(warehouse, "card_transactions", write_parquet({name: values[:4] for name, values in transactions.items()}))
    result = load(warehouse, "card_transactions", write_parquet(transactions, "all.parquet"))
    assert (result.rows_read, result.rows_inserted, result.rows_known) == (6, 2, 4)
    assert result.touched == (DayRange(dt.date(2026, 1, 3), dt.date(2026, 1, 4)),)
    assert [row["transaction_id"] for row in rows(warehouse, "card_transactions")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("column", ["occurred_at", "customer_id", "terminal_id"])
def test_a_known_id_with_other_content_is_refused(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, column: str
) -> None:
    load(warehouse, "card_transactions", write_parquet(transactions))
    before = everything(warehouse)
    changed = list(transactions[column])
    changed[1] += dt.timedelta(seconds=1) if column == "occurred_at" else 1
    with pytest.raises(LoadRefusedError, match=r"1 known transaction_id with different content.*row 2"):
        load(warehouse, "card_transactions", write_parquet(transactions, "changed.parquet", **{column: changed}))
    assert everything(warehouse) == before


def test_a_corrected_amount_is_a_later_version_and_the_first_one_stays(
    warehouse: Warehouse, write_parquet: Any, transactions: Any
) -> None:
    load(warehouse, "card_transactions", write_parquet(transactions))
    first = rows(warehouse, "card_transactions")
    started = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    amounts = [*transactions["amount"][:5], 61.0]
    corrected = write_parquet(transactions, "corrected.parquet", amount=amounts)
    result = load(warehouse, "card_transactions", corrected)
    assert (result.rows_read, result.rows_inserted, result.rows_corrected, result.rows_known) == (6, 0, 1, 5)
    assert rows(warehouse, "card_transactions") == first
    versions = warehouse.query("select * from raw.card_transactions_versions").to_pylist()
    assert [(row["transaction_id"], row["amount"]) for row in versions] == [(6, Decimal("61.00"))]
    assert versions[0]["known_at"] >= started
    # Neither the corrected rows nor the first ones in another file add a version.
    for name, values in (("a.parquet", amounts), ("b.parquet", transactions["amount"])):
        again = load(warehouse, "card_transactions", write_parquet({**transactions, "x": [1] * 6}, name, amount=values))
        assert (again.rows_corrected, again.rows_known) == (0, 6)
    assert len(warehouse.query("select * from raw.card_transactions_versions").to_pylist()) == 1


def test_a_changed_age_band_is_a_later_version(warehouse: Warehouse, write_parquet: Any) -> None:
    customers: dict[str, list[Any]] = {
        "customer_id": [1, 2],
        "segment": ["student", "premium"],
        "age_band": ["18-24", "65+"],
        "sex": ["F", "M"],
    }
    load(warehouse, "customers", write_parquet(customers))
    moved = {name: values[:1] for name, values in customers.items()} | {"age_band": ["25-34"]}
    assert load(warehouse, "customers", write_parquet(moved, "moved.parquet")).rows_corrected == 1
    assert [row["age_band"] for row in rows(warehouse, "customers")] == ["18-24", "65+"]
    versions = warehouse.query("select customer_id, age_band from protected.customers_versions").to_pylist()
    assert versions == [{"customer_id": 1, "age_band": "25-34"}]


def test_a_second_report_is_kept_and_a_known_one_passed_over(
    warehouse: Warehouse, write_parquet: Any, handbook: Any
) -> None:
    load(warehouse, "card_transactions", write_parquet(handbook))
    known = rows(warehouse, "fraud_reports")
    earlier = {
        "transaction_id": [11, 11],
        "reported_at": [known[0]["reported_at"] - dt.timedelta(days=3), known[0]["reported_at"]],
    }
    result = load(warehouse, "fraud_reports", write_parquet(earlier, "reports.parquet"))
    assert (result.rows_read, result.rows_inserted, result.rows_known) == (2, 1, 1)
    assert len(rows(warehouse, "fraud_reports")) == 3
    assert result.touched == ()  # the last day with transactions is earlier than the day of the report


def test_a_withdrawal_needs_an_earlier_report(warehouse: Warehouse, write_parquet: Any, handbook: Any) -> None:
    load(warehouse, "card_transactions", write_parquet(handbook))
    reported_at = rows(warehouse, "fraud_reports")[0]["reported_at"]
    early = {"transaction_id": [11], "withdrawn_at": [reported_at - dt.timedelta(seconds=1)]}
    with pytest.raises(LoadRefusedError, match=r"report_withdrawals from after their fraud_reports, got 1 .* row 1"):
        load(warehouse, "report_withdrawals", write_parquet(early, "early.parquet"))
    withdrawals = {"transaction_id": [11], "withdrawn_at": [reported_at + dt.timedelta(days=1)]}
    result = load(warehouse, "report_withdrawals", write_parquet(withdrawals, "withdrawals.parquet"))
    assert (result.rows_inserted, result.touched) == (1, ())  # there is no transaction on a later day yet
    again = load(warehouse, "report_withdrawals", write_parquet({**withdrawals, "x": [1]}, "again.parquet"))
    assert (again.rows_inserted, again.rows_known) == (0, 1)
    both = {"transaction_id": [11, 11], "withdrawn_at": [reported_at + dt.timedelta(days=2), *early["withdrawn_at"]]}
    with pytest.raises(LoadRefusedError, match="report_withdrawals from after their fraud_reports"):
        load(warehouse, "report_withdrawals", write_parquet(both, "both.parquet"))


def test_a_withdrawal_names_the_days_whose_features_it_changes(
    warehouse: Warehouse, write_parquet: Any, transactions: Any
) -> None:
    times = [dt.datetime(2025, 1, day) for day in (1, 2, 3, 8, 10, 20)]  # noqa: DTZ001 - UTC as the warehouse keeps it
    load(warehouse, "card_transactions", write_parquet({**transactions, "occurred_at": times}))
    reports = {"transaction_id": [1], "reported_at": [times[1]]}
    load(warehouse, "fraud_reports", write_parquet(reports, "reports.parquet"))
    withdrawals = {"transaction_id": [1], "withdrawn_at": [times[4]]}
    result = load(warehouse, "report_withdrawals", write_parquet(withdrawals, "withdrawals.parquet"))
    assert result.touched == (DayRange(dt.date(2025, 1, 10), dt.date(2025, 1, 21)),)


def test_a_folder_loads_as_one_and_only_its_new_files_are_read_later(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    for day in range(2):
        part = {name: values[2 * day : 2 * day + 2] for name, values in transactions.items()}
        write_parquet(part, f"days/{day}.parquet")
    (tmp_path / "files/days/_SUCCESS").touch()
    (tmp_path / "files/days/.2.parquet.unfinished").touch()
    folder = tmp_path / "files/days"
    first = load(warehouse, "card_transactions", folder)
    assert (first.files, first.rows_inserted) == (2, 4)
    write_parquet({name: values[4:] for name, values in transactions.items()}, "days/2.parquet")
    second = load(warehouse, "card_transactions", folder)
    assert (second.files, second.files_known, second.rows_inserted, second.rows_known) == (3, 2, 2, 4)
    assert len(warehouse.query("select * from raw.loads order by 1").to_pylist()) == 3


def test_one_bad_file_of_a_folder_keeps_all_of_it_out(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    write_parquet({name: values[:2] for name, values in transactions.items()}, "days/0.parquet")
    bad = {name: values[2:4] for name, values in transactions.items()}
    write_parquet(bad, "days/1.parquet", amount=[1.0, -1.0])
    with pytest.raises(LoadRefusedError, match=r"1\.parquet, for example row 2"):
        load(warehouse, "card_transactions", tmp_path / "files/days")
    assert all(not found for found in everything(warehouse).values())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv_loads_like_parquet(warehouse: Warehouse, tmp_path: Path, delimiter: str, ending: str) -> None:
    lines = [
        ["transaction_id", "occurred_at", "customer_id", "terminal_id", "amount", "note"],
        ["1", "2026-01-01 10:30:15", "7", "70", "12.34", '"a ""quoted"" note"'],
        ["2", "2026-01-01T10:30:15+02:00", "7", "70", "61.870000000000005", ""],
        ["3", "2026-01-02T00:00:00.000Z", "8", "71", "1e2", f'"with {delimiter} in it"'],
    ]
    file = tmp_path / "rows.csv"
    file.write_bytes(b"\xef\xbb\xbf" + ending.join(delimiter.join(line) for line in lines).encode())
    result = load(warehouse, "card_transactions", file)
    assert (result.rows_inserted, result.columns_left_out) == (3, ("note",))
    loaded = rows(warehouse, "card_transactions")
    assert [row["amount"] for row in loaded] == [Decimal("12.34"), Decimal("61.87"), Decimal("100.00")]
    assert loaded[1]["occurred_at"] == dt.datetime.fromisoformat("2026-01-01T08:30:15")


def test_customers_and_terminals_load_and_touch_no_day(warehouse: Warehouse, write_parquet: Any) -> None:
    customers = {
        "customer_id": [1, 2],
        "segment": ["student", "premium"],
        "age_band": ["18-24", "65+"],
        "sex": ["F", "M"],
    }
    assert load(warehouse, "customers", write_parquet(customers)).touched == ()
    load(warehouse, "terminals", write_parquet({"terminal_id": [5], "kind": ["fuel"]}, "terminals.parquet"))
    assert rows(warehouse, "customers")[1]["segment"] == "premium"
    assert rows(warehouse, "terminals") == [{"terminal_id": 5, "kind": "fuel"}]


def test_reports_touch_the_days_from_when_they_count(
    warehouse: Warehouse, write_parquet: Any, transactions: Any
) -> None:
    ids = list(range(100, 160))
    moments = [dt.datetime.fromisoformat("2026-01-01T12:00:00") + dt.timedelta(days=day) for day in range(60)]
    many = {
        "transaction_id": ids,
        "occurred_at": moments,
        "customer_id": [1] * 60,
        "terminal_id": [1] * 60,
        "amount": [1.0] * 60,
    }
    load(warehouse, "card_transactions", write_parquet(many))
    reports = {"transaction_id": [100, 140], "reported_at": [moments[10], moments[55]]}
    result = load(warehouse, "fraud_reports", write_parquet(reports, "reports.parquet"))
    assert result.touched == (
        DayRange(START + dt.timedelta(days=10), START + dt.timedelta(days=38)),
        DayRange(START + dt.timedelta(days=55), START + dt.timedelta(days=60)),
    )


def test_an_empty_file_loads_nothing(warehouse: Warehouse, write_parquet: Any) -> None:
    empty = {"transaction_id": pa.array([], pa.int64()), "reported_at": pa.array([], pa.timestamp("us"))}
    result = load(warehouse, "fraud_reports", write_parquet(empty))
    assert (result.rows_read, result.touched) == (0, ())


def test_a_path_with_pattern_characters_is_taken_as_it_is(
    warehouse: Warehouse, write_parquet: Any, transactions: Any
) -> None:
    assert load(warehouse, "card_transactions", write_parquet(transactions, "it's [a] *.parquet")).rows_inserted == 6


def test_the_answer_is_plain_json(warehouse: Warehouse, write_parquet: Any, handbook: Any) -> None:
    import json

    document = json.loads(json.dumps(load(warehouse, "card_transactions", write_parquet(handbook)).as_document()))
    assert document["touched"] == [{"start_date": "2018-04-01", "end_date": "2018-04-04"}]
    assert document["derived"] == [
        {"relation": "fraud_reports", "rows_read": 2, "rows_inserted": 2, "rows_known": 0, "rows_corrected": 0}
    ]


def test_status_counts_what_is_loaded(warehouse: Warehouse, write_parquet: Any, handbook: Any) -> None:
    load(warehouse, "card_transactions", write_parquet(handbook))
    status = read_status(warehouse)
    found = {row.relation: row for row in status.relations}
    assert found["card_transactions"].rows == 4
    assert found["card_transactions"].last_day == dt.date(2018, 4, 3)
    assert found["fraud_reports"].first_day == dt.date(2018, 4, 8)
    assert (found["customers"].rows, found["customers"].loaded_at) == (0, None)
    location = warehouse.location()
    assert (status.location, status.size_bytes) == (location.name, location.size_bytes)
