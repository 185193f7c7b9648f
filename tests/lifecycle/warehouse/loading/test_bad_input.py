"""Every kind of bad file: refused as a whole, with counts and row numbers, and never a value."""

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.loading.staging import LoadRefusedError

HEADER = "transaction_id,occurred_at,customer_id,terminal_id,amount"
ROW = "1,2026-01-01 10:00:00,7,70,12.50"


@pytest.fixture(autouse=True)
def _nothing_is_ever_kept(warehouse: Warehouse) -> Any:
    """After each test of this file the warehouse is as it was before the refused load."""
    yield
    tables = ("raw.card_transactions", "raw.loads", "raw.fraud_reports", "protected.customers")
    counts = ", ".join(f"(select count(*) from {table})" for table in tables)
    held = [column[0].as_py() for column in warehouse.query(f"select {counts}").columns]
    # Reports need their transactions: those tests load six of them first, from one file.
    assert held in ([0, 0, 0, 0], [6, 1, 0, 0])


@pytest.mark.parametrize(
    ("replaced", "violation"),
    [
        pytest.param(
            {"amount": [1.0, -77.77, 2.0, -88.88, 0.0, 3.0]},
            "Expected amounts of at least 0 in column amount, got 2 negative - in rows.parquet, for example row 2, 4",
            id="negative amounts",
        ),
        pytest.param(
            {"amount": [1.0, None, 2.0, 3.0, 0.0, 3.0]},
            "Expected a value in column amount, got 1 null - in rows.parquet, for example row 2",
            id="null amount",
        ),
        pytest.param(
            {"amount": [1.0, 77.777, 2.0, 3.0, 0.0, 3.0]},
            "Expected amounts of at most 2 decimals in column amount, got 1 further decimals",
            id="further decimals",
        ),
        pytest.param(
            {"amount": [1.0, float("nan"), float("inf"), 3.0, 0.0, 3.0]},
            "Expected a number in column amount, got 2 another kind of value - in rows.parquet, for example row 2, 3",
            id="not finite",
        ),
        pytest.param(
            {"amount": [1.0, 77_777_777_777.0, 2.0, 3.0, 0.0, 3.0]},
            "Expected amounts below 10,000,000,000 in column amount, got 1 larger",
            id="too large",
        ),
        pytest.param(
            {"transaction_id": [1, 2, 3, 3, 5, 2]},
            "Expected each transaction_id once, got 2 of them more than once - in rows.parquet, "
            "for example row 2, 3, 4, 6",
            id="duplicate ids",
        ),
        pytest.param(
            {"customer_id": ["7", "7777x", "1.5", "0x1F", "1_000", "9"]},
            "Expected a whole number in column customer_id, got 4 another kind of value",
            id="text that is no id",
        ),
        pytest.param(
            {"customer_id": [1.0, 77.5, 3.0, 4.0, 5.0, 6.0]},
            "Expected a whole number in column customer_id, got 1 another kind of value",
            id="fractional id",
        ),
        pytest.param(
            {"occurred_at": ["2026-01-01 10:00:00", "2026-01-01", "77.01.2026", "2026-13-01 10:00:00", "epoch", ""]},
            "Expected a date with a time of day (UTC, or with an offset; at most microseconds) "
            "in column occurred_at, got 5 another kind of value - in rows.parquet, for example row 2, 3, 4, 5, 6",
            id="text that is no moment",
        ),
        pytest.param(
            {"occurred_at": pa.array([1_777_777_777_000_000_001] * 6, pa.timestamp("ns"))},
            "got 6 another kind of value",
            id="nanoseconds",
        ),
        pytest.param(
            {"occurred_at": [dt.date(2026, 1, 1)] * 6},
            "in column occurred_at, got a column of type DATE - in rows.parquet",
            id="column of another type",
        ),
        pytest.param(
            {"amount": [True] * 6},
            "Expected a number in column amount, got a column of type BOOLEAN - in rows.parquet",
            id="booleans for amounts",
        ),
    ],
)
def test_bad_values_are_counted_and_located(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, replaced: dict[str, Any], violation: str
) -> None:
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "card_transactions", write_parquet(transactions, **replaced))
    message = str(refused.value)
    assert violation in message
    assert "Nothing was loaded." in message
    assert "77" not in message.replace(str(refused.value.problems[0].rows), "")


def test_every_broken_rule_is_told_at_once(warehouse: Warehouse, write_parquet: Any, transactions: Any) -> None:
    bad = {"amount": [1.0, -1.0, 2.0, 3.0, 0.0, 3.0], "customer_id": [None, 2, 3, 4, 5, 6]}
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "card_transactions", write_parquet(transactions, **bad))
    assert [(problem.got, problem.rows) for problem in refused.value.problems] == [
        ("1 null", (1,)),
        ("1 negative", (2,)),
    ]


def test_a_misnamed_column_is_told_with_the_nearest(
    warehouse: Warehouse, write_parquet: Any, transactions: Any
) -> None:
    transactions["Ammount"] = transactions.pop("amount")
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "card_transactions", write_parquet(transactions))
    assert (
        "Expected a column amount (mapping raw), got no such column (did you mean 'Ammount'?) - in rows.parquet"
        in str(refused.value)
    )
    assert "--mapping FILE" in str(refused.value)


def test_a_file_of_another_relation_is_refused(warehouse: Warehouse, write_parquet: Any) -> None:
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "customers", write_parquet({"terminal_id": [1], "kind": ["fuel"]}))
    assert len(refused.value.problems) == 4


def test_the_second_file_of_a_folder_must_have_the_same_columns(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    write_parquet(transactions, "days/0.parquet")
    transactions.pop("terminal_id")
    write_parquet(transactions, "days/1.parquet")
    with pytest.raises(LoadRefusedError, match=r"a column terminal_id .*got no such column - in 1\.parquet"):
        load(warehouse, "card_transactions", tmp_path / "files/days")


def test_an_id_twice_across_files_is_refused(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    write_parquet(transactions, "days/0.parquet")
    write_parquet({name: values[5:] for name, values in transactions.items()}, "days/1.parquet", amount=[1.0])
    with pytest.raises(LoadRefusedError, match="Expected each transaction_id once, got 1 of them more than once"):
        load(warehouse, "card_transactions", tmp_path / "files/days")


@pytest.mark.parametrize("flag", [[0, 1, 2, 0], [0, 1, None, 0]])
def test_a_fraud_flag_that_is_neither_yes_nor_no_is_refused(
    warehouse: Warehouse, write_parquet: Any, handbook: Any, flag: list[int | None]
) -> None:
    with pytest.raises(LoadRefusedError, match=r"in column TX_FRAUD, got 1 .*row 3"):
        load(warehouse, "card_transactions", write_parquet(handbook, TX_FRAUD=flag))


def test_blank_text_is_refused(warehouse: Warehouse, write_parquet: Any) -> None:
    customers = {"customer_id": [1, 2], "segment": ["student", " "], "age_band": ["18-24", "65+"], "sex": ["F", "M"]}
    with pytest.raises(LoadRefusedError, match="Expected text that is not blank in column segment, got 1"):
        load(warehouse, "customers", write_parquet(customers))


@pytest.mark.parametrize(
    ("reports", "violation"),
    [
        pytest.param(
            {"transaction_id": [1, 2], "reported_at": [dt.datetime.fromisoformat("2026-01-01T10:30:14")] * 2},
            "Expected fraud_reports from after their card_transactions, got 2 from before their card_transactions "
            "- in reports.parquet, for example row 1, 2",
            id="before its transaction",
        ),
        pytest.param(
            {"transaction_id": [1, 777], "reported_at": [dt.datetime.fromisoformat("2026-01-09T00:00:00")] * 2},
            "Expected fraud_reports of loaded card_transactions, got 1 of unknown card_transactions "
            "- in reports.parquet, for example row 2",
            id="of an unknown transaction",
        ),
        pytest.param(
            {"transaction_id": [1, 1], "reported_at": [dt.datetime.fromisoformat("2026-01-09T00:00:00")] * 2},
            "Expected each transaction_id with its reported_at once",
            id="twice",
        ),
    ],
)
def test_reports_that_cannot_be_are_refused(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, reports: dict[str, Any], violation: str
) -> None:
    load(warehouse, "card_transactions", write_parquet(transactions))
    with pytest.raises(LoadRefusedError) as refused:
        load(warehouse, "fraud_reports", write_parquet(reports, "reports.parquet"))
    assert violation in str(refused.value)
    assert "777" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "violation"),
    [
        pytest.param(f"{HEADER}\n{ROW}\n2,2026-01-01 10", "got 2 instead of 5 values in line 3", id="truncated"),
        pytest.param(f"{HEADER}\n{ROW},secret\n", "got 6 instead of 5 values in line 2", id="too many values"),
        pytest.param(f'{HEADER}\n{ROW}\n2,"secret\n', "an unterminated quote", id="open quote"),
        pytest.param("", "no header line", id="empty"),
        pytest.param(f"{HEADER},amount\n{ROW},1\n", r"the columns \['amount'\] more than once", id="repeated column"),
        pytest.param(f"{HEADER},\n{ROW},1\n", "a column without a name", id="unnamed column"),
        pytest.param(f"{HEADER}\n{ROW}\n2,2026-01-01 10:00:00,,70,1.00\n", r"got 1 null .*row 2", id="empty value"),
    ],
)
def test_a_csv_file_that_does_not_parse_is_refused(
    warehouse: Warehouse, tmp_path: Path, content: str, violation: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(content)
    with pytest.raises(LifecycleError, match=violation) as refused:
        load(warehouse, "card_transactions", file)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_csv_file_in_another_encoding_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(f"{HEADER}\n{ROW}\xe9\n".encode("latin-1"))
    with pytest.raises(LifecycleError, match=r"bytes that are not UTF-8 in line 2"):
        load(warehouse, "card_transactions", file)


def test_a_truncated_gzip_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv.gz"
    whole = gzip.compress(f"{HEADER}\n{ROW}\n".encode())
    file.write_bytes(whole[:-12])
    with pytest.raises(LifecycleError, match=r"Expected a complete, readable file.*rows\.csv\.gz"):
        load(warehouse, "card_transactions", file)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_parquet_file_is_refused(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, keep: int
) -> None:
    file = write_parquet(transactions)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(
        LifecycleError, match=r"Expected a complete, readable file, got no Parquet footer.*rows\.parquet"
    ):
        load(warehouse, "card_transactions", file)


def test_a_folder_without_files_and_a_path_without_anything_are_named(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LifecycleError, match="Expected Parquet or CSV files, found none"):
        load(warehouse, "card_transactions", tmp_path / "empty")
    with pytest.raises(LifecycleError, match="found nothing"):
        load(warehouse, "card_transactions", tmp_path / "nowhere")


def test_a_file_of_another_kind_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_text("")
    with pytest.raises(LifecycleError, match=r"Expected only .parquet, .csv, .csv.gz files.*rows\.xlsx"):
        load(warehouse, "card_transactions", tmp_path / "rows.xlsx")


def test_a_file_that_changes_meanwhile_is_refused(warehouse: Warehouse, write_parquet: Any, transactions: Any) -> None:
    file = write_parquet(transactions)

    def append_while_reading(_step: str, done: int, total: int) -> None:
        if done < total:
            with file.open("ab") as content:
                content.write(b"")
            file.touch()

    with pytest.raises(LifecycleError, match="Expected the file to stay unchanged"):
        load(warehouse, "card_transactions", file, progress=append_while_reading)


def test_a_mapping_of_another_relation_is_refused(
    warehouse: Warehouse, write_parquet: Any, transactions: Any, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("name: m\nrelation: terminals\ncolumns: {terminal_id: t, kind: k}\n")
    with pytest.raises(LifecycleError, match="Expected a mapping of card_transactions, got one of terminals"):
        load(warehouse, "card_transactions", write_parquet(transactions), mapping)
