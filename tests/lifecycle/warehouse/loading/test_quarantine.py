"""Rows that violate a rule are left out only into a file that a person named, counted, and never more than agreed."""

import csv
import datetime as dt
import signal
from pathlib import Path
from typing import Any

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.loading.quarantine import FILE, REASON, ROW
from lifecycle.warehouse.loading.staging import LoadRefusedError

CASES = Path(__file__).parent / "cases"


def rejects(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ids(warehouse: Warehouse, relation: str = "card_transactions") -> list[int]:
    return warehouse.query(f"select transaction_id from raw.{relation} order by 1").column(0).to_pylist()  # type: ignore[no-any-return]


def test_a_refund_is_reported_and_the_good_row_loaded(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "rejected.csv"
    result = load(warehouse, "card_transactions", CASES / "25_refund.csv", reject_to=file, max_rejects=1)
    assert (result.rows_read, result.rows_inserted, result.rows_rejected) == (1, 1, 1)
    assert ids(warehouse) == [1]
    assert file.stat().st_mode & 0o777 == 0o600
    (row,) = rejects(file)
    assert (row[FILE], row[ROW], row["transaction_id"], row["amount"]) == ("25_refund.csv", "2", "2", "-12.50")
    assert row[REASON] == "expected amounts of at least 0 in column amount, got negative"
    counted = warehouse.query("select source_name, rows_rejected from raw.load_rejects").to_pylist()
    assert counted == [{"source_name": "25_refund.csv", "rows_rejected": 1}]
    again = load(warehouse, "card_transactions", CASES / "25_refund.csv")
    assert (again.rows_known, again.rows_rejected) == (1, 1)


def test_more_bad_rows_than_agreed_refuse_the_load(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    bad = write_parquet(transactions, amount=[1.0, -1.0, 2.0, None, 0.0, 3.001])
    with pytest.raises(LoadRefusedError, match=r"3 rows would be rejected, more than --max-rejects 2"):
        load(warehouse, "card_transactions", bad, reject_to=tmp_path / "rejected.csv", max_rejects=2)
    assert ids(warehouse) == []
    assert not (tmp_path / "rejected.csv").exists()


def test_every_kind_of_bad_row_is_left_out_and_the_others_loaded(
    warehouse: Warehouse, write_parquet: Any, handbook: Any, tmp_path: Path
) -> None:
    first = {name: values[:2] for name, values in handbook.items()}
    load(warehouse, "card_transactions", write_parquet(first, "first.parquet"))
    columns = {name: [*values.to_pylist(), values[3].as_py(), values[2].as_py()] for name, values in handbook.items()}
    columns["CUSTOMER_ID"][1] = 1  # the known fraud 11 with another customer: neither the row nor its report counts
    columns["TX_AMOUNT"][5], columns["TRANSACTION_ID"][5] = -1.0, 14
    rejected = tmp_path / "rejected.csv"
    result = load(
        warehouse, "card_transactions", write_parquet(columns, "bad.parquet"), reject_to=rejected, max_rejects=4
    )
    assert [(row[ROW], row["TRANSACTION_ID"]) for row in rejects(rejected)] == [
        ("2", "11"), ("4", "13"), ("5", "13"), ("6", "14"),
    ]  # fmt: skip
    assert (result.rows_read, result.rows_inserted, result.rows_known, result.rows_rejected) == (2, 1, 1, 4)
    assert (ids(warehouse), ids(warehouse, "fraud_reports")) == ([10, 11, 12], [11])


def test_corrected_rejects_load_from_their_own_file(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    rejected = tmp_path / "rejected.csv"
    bad = write_parquet(transactions, amount=[1.0, -1.25, 2.0, 3.0, 0.0, 3.0])
    load(warehouse, "card_transactions", bad, reject_to=rejected, max_rejects=9)
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(rejected.read_text().replace("-1.25", "1.25"))
    result = load(warehouse, "card_transactions", corrected)
    assert (result.rows_inserted, result.columns_left_out) == (1, (FILE, ROW, REASON))
    assert ids(warehouse) == [1, 2, 3, 4, 5, 6]


def test_reports_of_unknown_transactions_are_left_out(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    load(warehouse, "card_transactions", write_parquet(transactions))
    reports = {"transaction_id": [1, 777], "reported_at": [dt.datetime.fromisoformat("2026-01-09T00:00:00")] * 2}
    file = write_parquet(reports, "reports.parquet")
    result = load(warehouse, "fraud_reports", file, reject_to=tmp_path / "rejected.csv", max_rejects=1)
    assert (result.rows_inserted, result.rows_rejected) == (1, 1)
    assert [row["transaction_id"] for row in rejects(tmp_path / "rejected.csv")] == ["777"]


def test_earlier_rejects_are_never_overwritten(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "rejected.csv"
    file.write_text("the only copy")
    with pytest.raises(LifecycleError, match="Expected a new file for rejected rows"):
        load(warehouse, "card_transactions", CASES / "25_refund.csv", reject_to=file, max_rejects=1)
    assert (ids(warehouse), file.read_text()) == ([], "the only copy")


@pytest.mark.parametrize("options", [{"max_rejects": 1}, {"reject_to": Path("rejected.csv")}])
def test_both_options_are_needed(settings: Settings, options: dict[str, Any]) -> None:
    with pytest.raises(LifecycleError, match="Expected --reject-to FILE and --max-rejects N"):
        load(open_warehouse(settings), "card_transactions", CASES / "25_refund.csv", **options)


@pytest.mark.long
@pytest.mark.parametrize("point", ["load.rejects.written", "load.rejects.linked", "load.committed"])
def test_a_load_with_rejects_killed_and_run_again_ends_the_same(killable: Any, tmp_path: Path, point: str) -> None:
    process, rejected = killable(), tmp_path / "rejected.csv"
    options = ["--reject-to", str(rejected), "--max-rejects", "1"]
    arguments = ["load", "card_transactions", str(CASES / "25_refund.csv"), *options]
    assert process.crash(arguments, point).returncode == -signal.SIGKILL
    completed = process.run(arguments)
    assert (completed.returncode, "1 rejected" in completed.stdout) == (0, True), completed.stderr
    assert "-12.50" not in completed.stdout + completed.stderr
    assert [row[ROW] for row in rejects(rejected)] == ["2"]
    warehouse = open_warehouse(Settings(home=process.home))
    assert ids(warehouse) == [1]
    assert warehouse.query("select rows_rejected from raw.load_rejects").column(0).to_pylist() == [1]
