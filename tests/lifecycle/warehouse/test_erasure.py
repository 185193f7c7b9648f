"""A person's rows are removed from every store, never come back, and leave only keyed hashes."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from lifecycle.artefacts.training_sets import TOMBSTONES, Selection, TrainingSetStore
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.erasure import REMAINS, erase
from lifecycle.warehouse.loading.erased import key_hash_of
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.reading.decisions import DECISIONS, decision_definitions
from serving.storage.crash_points import CRASH_AT_VARIABLE

PERSON, OTHER = 4711077, 8
AS_OF = dt.date(2026, 1, 8)
REASON = "the person asked for it on paper"


@pytest.fixture
def columns(transactions: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Six transactions, the first three of the person."""
    return {**transactions, "customer_id": [PERSON] * 3 + [OTHER] * 3}


@pytest.fixture
def filled(write_parquet: Any, columns: Any) -> Callable[[Path], Settings]:
    """Fills an installation: raw tables, marts, decisions and a frozen training set."""

    def fill(home: Path) -> Settings:
        settings = Settings(home=home)
        warehouse = open_warehouse(settings)
        load(warehouse, "card_transactions", write_parquet(columns))
        load(warehouse, "card_transactions", write_parquet(columns, "later.parquet", amount=[1.0] * 6))
        reports = {"transaction_id": [1, 6], "reported_at": [dt.datetime.combine(AS_OF, dt.time())] * 2}
        load(warehouse, "fraud_reports", write_parquet(reports, "reports.parquet"))
        people = {"customer_id": [PERSON, OTHER], "segment": ["a"] * 2, "age_band": ["b"] * 2, "sex": ["F"] * 2}
        load(warehouse, "customers", write_parquet(people, "people.parquet"))
        fill_marts(settings)
        freeze(settings, columns)
        return settings

    return fill


def fill_marts(settings: Settings) -> None:
    warehouse, key_hash = open_warehouse(settings), key_hash_of(settings)
    warehouse.ensure(decision_definitions(warehouse.dialect))
    with warehouse.session("marts of the test") as session:
        session.execute("create schema marts")
        session.execute("create schema intermediate")
        names = ("marts.card_transaction_features", "intermediate.int_customer_windows")
        for name in names:
            session.execute(f"create table {name} as from raw.card_transactions")
        session.execute("create table marts.card_fraud_outcomes as from raw.fraud_reports")
        for number, customer in enumerate([PERSON] * 3 + [OTHER] * 3, start=1):
            values = f"'m', 'd{number}', 'champion', '{number}', '{key_hash(str(customer))}', now(), now(), 1"
            session.execute(
                f"insert into {DECISIONS} (model, decision_id, slot, transaction_id, entity_key, occurred_at, "
                f"decided_at, elapsed_us) values ({values})"
            )


def freeze(settings: Settings, columns: dict[str, list[Any]]) -> None:
    examples = pa.table({**columns, "reported_at": pa.array([None] * 6, pa.timestamp("us"))})
    store = TrainingSetStore(settings.training_sets_dir, "card_fraud")
    spec = read_model("card_fraud")
    store.write(examples.to_batches(), spec, Selection(AS_OF, dt.date(2026, 1, 1), dt.date(2026, 1, 4)))


def people_of(settings: Settings) -> dict[str, set[Any]]:
    """Customers, or their transactions, by table that holds any row."""
    warehouse = open_warehouse(settings)
    held: dict[str, set[Any]] = {}
    for name, column in (
        ("raw.card_transactions", "customer_id"),
        ("raw.card_transactions_versions", "customer_id"),
        ("protected.customers", "customer_id"),
        ("raw.fraud_reports", "transaction_id"),
        ("marts.card_transaction_features", "customer_id"),
        ("intermediate.int_customer_windows", "transaction_id"),
        ("marts.card_fraud_outcomes", "transaction_id"),
        (DECISIONS, "transaction_id"),
    ):
        held[name] = set(warehouse.query(f"select {column} from {name}").column(0).to_pylist())
    examples = TrainingSetStore(settings.training_sets_dir, "card_fraud").read(AS_OF.isoformat())
    held["training set"] = set(examples.column("customer_id").to_pylist())
    return held


ERASED_STATE = {
    "raw.card_transactions": {OTHER},
    "raw.card_transactions_versions": {OTHER},
    "protected.customers": {OTHER},
    "raw.fraud_reports": {6},
    "marts.card_transaction_features": {OTHER},
    "intermediate.int_customer_windows": {4, 5, 6},
    "marts.card_fraud_outcomes": {6},
    DECISIONS: {"4", "5", "6"},
    "training set": {OTHER},
}


def files_with(root: Path, text: bytes) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and text in path.read_bytes())


def test_a_person_is_removed_from_every_store_and_named_by_a_hash_only(
    filled: Any, settings: Settings, tmp_path: Path
) -> None:
    filled(settings.root)
    result = CliRunner().invoke(app, ["erase", "--customer", str(PERSON), "--reason", REASON, "--json"])
    assert result.exit_code == 0, result.output
    assert people_of(settings) == ERASED_STATE
    record = json.loads(result.stdout)
    assert record["customer_hash"] == key_hash_of(settings)(str(PERSON))
    assert (record["rows"]["raw.card_transactions"], record["rows"][DECISIONS], record["reason"]) == (3, 3, REASON)
    assert list(record["training_sets"].values()) == [3]
    assert record["remains"] == dict(REMAINS)
    (file,) = settings.erasures_dir.iterdir()
    assert json.loads(file.read_bytes()) == record
    assert file.stat().st_mode & 0o777 == 0o600
    (tombstone,) = settings.training_sets_dir.glob(f"card_fraud/*/{TOMBSTONES}/*")
    assert tombstone.stem == record["customer_hash"]
    assert str(PERSON) not in result.output
    assert not [path for path in files_with(settings.root, str(PERSON).encode()) if path != settings.warehouse_path]


def test_an_erased_person_never_comes_back_by_a_load(
    filled: Any, settings: Settings, write_parquet: Any, columns: Any
) -> None:
    filled(settings.root)
    erase(settings, str(PERSON), by="test", reason=REASON)
    warehouse, key_hash = open_warehouse(settings), key_hash_of(settings)
    again = write_parquet({**columns, "note": ["x"] * 6}, "again.parquet")
    with pytest.raises(LifecycleError, match="Expected the hash of erased customers"):
        load(warehouse, "card_transactions", again)
    result = load(warehouse, "card_transactions", again, key_hash=key_hash)
    assert (result.rows_read, result.rows_known, result.rows_erased) == (3, 3, 3)
    reports = {"transaction_id": [2, 5], "reported_at": [dt.datetime.combine(AS_OF, dt.time())] * 2}
    result = load(warehouse, "fraud_reports", write_parquet(reports, "more.parquet"), key_hash=key_hash)
    assert (result.rows_inserted, result.rows_erased) == (1, 1)
    with warehouse.session("undoing the test's report") as session:
        session.execute("delete from raw.fraud_reports where transaction_id = 5")
    assert people_of(settings) == ERASED_STATE


def test_a_second_erasure_changes_nothing(filled: Any, settings: Settings) -> None:
    filled(settings.root)
    first = erase(settings, str(PERSON), by="test", reason=REASON)
    second = erase(settings, str(PERSON), by="test", reason=REASON)
    assert set(second.rows.values()) == {0}
    assert second.training_sets == first.training_sets
    assert len(list(settings.erasures_dir.iterdir())) == 1
    tombstones = open_warehouse(settings).query("select kind from raw.erased_keys order by kind")
    assert tombstones.column(0).to_pylist() == ["customer", *["transaction"] * 3]


def test_an_erasure_after_a_restored_backup_is_recorded_again(filled: Any, settings: Settings) -> None:
    filled(settings.root)
    erase(settings, str(PERSON), by="test", reason=REASON)
    warehouse = open_warehouse(settings)
    with warehouse.session("restoring a backup") as session:
        session.append("protected.customers", pa.table({
            "customer_id": [PERSON], "segment": ["a"], "age_band": ["b"], "sex": ["F"],
        }))  # fmt: skip
    erase(settings, str(PERSON), by="test", reason=REASON)
    assert people_of(settings) == ERASED_STATE
    records = [json.loads(file.read_bytes()) for file in sorted(settings.erasures_dir.iterdir())]
    assert [record["rows"]["protected.customers"] for record in records] == [1, 1]


@pytest.mark.parametrize(
    ("customer", "reason", "message"),
    [
        ("47x11", REASON, "Expected a whole number"),
        (str(PERSON), " ", "Expected a reason"),
        (str(PERSON), f"customer {PERSON} wrote", "without the customer's id"),
    ],
)
def test_a_bad_order_is_refused_without_a_value(settings: Settings, customer: str, reason: str, message: str) -> None:
    with pytest.raises(LifecycleError, match=message) as refused:
        erase(settings, customer, by="test", reason=reason)
    assert customer not in str(refused.value)


def test_an_installation_without_marts_or_the_person_takes_an_erasure(settings: Settings) -> None:
    record = erase(settings, str(PERSON), by="test", reason=REASON)
    assert not any(record.rows.values())
    assert len(list(settings.erasures_dir.iterdir())) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "point",
    [
        "erasure.tombstones",
        "erasure.counted",
        "erasure.marts",
        "training_set.tombstone.linked",
        "training_set.erased",
        "erasure.raw",
        "erasure.record.linked",
    ],
)
def test_an_erasure_killed_at_any_point_and_run_again_is_whole(filled: Any, tmp_path: Path, point: str) -> None:
    settings = filled(tmp_path / "home")
    command = [sys.executable, "-c", "from lifecycle.cli import app; app()", "erase", "--customer", str(PERSON)]
    environment = {**os.environ, "LIFECYCLE_HOME": str(settings.root), CRASH_AT_VARIABLE: point}
    killed = subprocess.run([*command, "--reason", REASON], env=environment, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    record = erase(settings, str(PERSON), by="test", reason=REASON)
    assert people_of(settings) == ERASED_STATE
    assert list(record.training_sets.values()) == [3]
    records = [json.loads(file.read_bytes()) for file in settings.erasures_dir.glob("*.json")]
    assert [found["rows"]["raw.card_transactions"] for found in records] == [3]


@pytest.mark.long
def test_a_person_is_erased_from_a_snowflake_account(
    snowflake_settings: Settings, write_parquet: Any, columns: Any
) -> None:
    warehouse = open_warehouse(snowflake_settings)
    load(warehouse, "card_transactions", write_parquet(columns))
    load(warehouse, "card_transactions", write_parquet(columns, "later.parquet", amount=[1.0] * 6))
    record = erase(snowflake_settings, str(PERSON), by="test", reason=REASON)
    assert record.rows["raw.card_transactions"] == 3
    for table in ("raw.card_transactions", "raw.card_transactions_versions"):
        assert set(warehouse.query(f"select customer_id from {table}").column(0).to_pylist()) == {OTHER}
    again = write_parquet({**columns, "note": ["x"] * 6}, "again.parquet")
    result = load(warehouse, "card_transactions", again, key_hash=key_hash_of(snowflake_settings))
    assert (result.rows_read, result.rows_erased) == (3, 3)
