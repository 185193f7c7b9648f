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
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lifecycle.artefacts.candidates import Candidate, CandidateStore
from lifecycle.artefacts.erased_examples import TOMBSTONES
from lifecycle.artefacts.training_sets import Selection, TrainingSetStore
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.erasure import REMAINS, erase
from lifecycle.warehouse.loading.erased import key_hash_of
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.reading.decisions import DECISIONS, decision_definitions
from serving.contract.documents import Bands, Calibration, Deciding, GoldenRow, Lineage
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

    def fill(home: Path | Settings) -> Settings:
        settings = Settings(home=home) if isinstance(home, Path) else home
        warehouse = open_warehouse(settings)
        load(warehouse, "card_transactions", write_parquet(columns))
        load(warehouse, "card_transactions", write_parquet(columns, "later.parquet", amount=[1.0] * 6))
        reports = {"transaction_id": [1, 6], "reported_at": [dt.datetime.combine(AS_OF, dt.time())] * 2}
        load(warehouse, "fraud_reports", write_parquet(reports, "reports.parquet"))
        withdrawals = {"transaction_id": [1, 6], "withdrawn_at": [dt.datetime.combine(AS_OF, dt.time(1))] * 2}
        load(warehouse, "report_withdrawals", write_parquet(withdrawals, "withdrawals.parquet"))
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
        session.execute("create schema if not exists marts")
        session.execute("create schema if not exists intermediate")
        names = ("marts.card_transaction_features", "intermediate.int_customer_windows")
        for name in names:
            session.execute(f"create table {name} as select * from raw.card_transactions")
        session.execute("create table marts.card_fraud_outcomes as select * from raw.fraud_reports")
        for number, customer in enumerate([PERSON] * 3 + [OTHER] * 3, start=1):
            values = f"'m', 'd{number}', 'champion', '{number}', '{key_hash(str(customer))}', '{AS_OF}', '{AS_OF}', 1"
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
        ("raw.report_withdrawals", "transaction_id"),
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
    "raw.report_withdrawals": {6},
    "marts.card_transaction_features": {OTHER},
    "intermediate.int_customer_windows": {4, 5, 6},
    "marts.card_fraud_outcomes": {6},
    DECISIONS: {"4", "5", "6"},
    "training set": {OTHER},
}


def files_with(root: Path, text: bytes) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and text in path.read_bytes())


@pytest.mark.long
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


def train(settings: Settings) -> Candidate:
    """A candidate whose lineage names the training set."""
    description = TrainingSetStore(settings.training_sets_dir, "card_fraud").describe(AS_OF.isoformat())
    lineage = Lineage(
        as_of=AS_OF.isoformat(), training_set_digest=description.digest, code_commit=None, parameters={}, seed=7,
        library_versions={},
    )  # fmt: skip
    deciding = Deciding(
        schema_version=1, model="card_fraud", features=(), calibration=Calibration(slope=1.0, intercept=0.0),
        bands=Bands(review_from=0.5),
    )  # fmt: skip
    golden = (GoldenRow(features={}, margin=0.5, score=0.6),)
    return CandidateStore(settings.candidates_dir, "card_fraud").write(b"tree", deciding, golden, lineage, {})


def verified(settings: Settings) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `lifecycle verify`."""
    result = CliRunner().invoke(app, ["verify", "card_fraud", AS_OF.isoformat(), "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.long
def test_a_training_set_is_verified_after_an_erasure_but_for_the_erased_rows(filled: Any, settings: Settings) -> None:
    filled(settings.root)
    candidate, store = train(settings), TrainingSetStore(settings.training_sets_dir, "card_fraud")
    code, before = verified(settings)
    assert (code, before["rows"], before["rows_erased"], before["problem"]) == (0, 6, 0, None)
    erase(settings, str(PERSON), by="test", reason=REASON)
    code, after = verified(settings)
    assert (code, after["problem"], after["candidate_digest"]) == (0, None, candidate.digest)
    assert after == before | {"rows": 3, "rows_erased": 3, "erasure_records": [1]}
    shown = CliRunner().invoke(app, ["verify", "card_fraud", AS_OF.isoformat()]).output
    assert "erased rows: 3 (erasure record 1)\n  the other 3 rows are as they were frozen" in shown
    assert store.read(AS_OF.isoformat()).num_rows == 3
    with pytest.raises(LifecycleError, match="3 of them were erased; materialise card_fraud/training_set"):
        store.read_whole(AS_OF.isoformat())
    erase(settings, str(OTHER), by="test", reason=REASON)
    assert verified(settings) == (0, after | {"rows": 0, "rows_erased": 6, "erasure_records": [1, 2]})


@pytest.mark.long
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_rows_that_differ_are_found_whether_before_or_after_an_erasure(
    filled: Any, settings: Settings, is_before: bool
) -> None:
    filled(settings.root)
    if not is_before:
        erase(settings, str(PERSON), by="test", reason=REASON)
    (file,) = settings.training_sets_dir.glob("card_fraud/*/examples.parquet")
    rows = pq.read_table(file)
    changed = rows.set_column(rows.schema.get_field_index("amount"), "amount", pa.array([7.0] * rows.num_rows))
    pq.write_table(changed, file)
    code, found = verified(settings)
    assert (code, found["rows_erased"]) == (1, 0 if is_before else 3)
    assert found["problem"].startswith("Expected rows with the digest")
    if is_before:
        erase(settings, str(PERSON), by="test", reason=REASON)
        code, found = verified(settings)
        assert (code, found["rows_erased"]) == (1, 3)
        assert "cannot be verified" in found["problem"]
    file.write_bytes(file.read_bytes()[:-20])
    assert verified(settings)[0] == 1


@pytest.mark.long
def test_an_erased_person_never_comes_back_by_a_load(
    filled: Any, settings: Settings, write_parquet: Any, columns: Any
) -> None:
    filled(settings.root)
    erase(settings, str(PERSON), by="test", reason=REASON)
    warehouse, key_hash = open_warehouse(settings), key_hash_of(settings)
    again = write_parquet({**columns, "note": ["x"] * 6}, "again.parquet")
    with pytest.raises(LifecycleError, match="Expected the hash of erased persons"):
        load(warehouse, "card_transactions", again)
    result = load(warehouse, "card_transactions", again, key_hash=key_hash)
    assert (result.rows_read, result.rows_known, result.rows_erased) == (3, 3, 3)
    reports = {"transaction_id": [2, 5], "reported_at": [dt.datetime.combine(AS_OF, dt.time())] * 2}
    result = load(warehouse, "fraud_reports", write_parquet(reports, "more.parquet"), key_hash=key_hash)
    assert (result.rows_inserted, result.rows_erased) == (1, 1)
    with warehouse.session("undoing the test's report") as session:
        session.execute("delete from raw.fraud_reports where transaction_id = 5")
    assert people_of(settings) == ERASED_STATE


@pytest.mark.long
def test_a_second_erasure_changes_nothing(filled: Any, settings: Settings) -> None:
    filled(settings.root)
    first = erase(settings, str(PERSON), by="test", reason=REASON)
    second = erase(settings, str(PERSON), by="test", reason=REASON)
    assert set(second.rows.values()) == {0}
    assert second.training_sets == first.training_sets
    assert len(list(settings.erasures_dir.iterdir())) == 1
    tombstones = open_warehouse(settings).query("select kind from raw.erased_keys order by kind")
    assert tombstones.column(0).to_pylist() == ["customer", *["transaction"] * 3]


@pytest.mark.long
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
        erase(settings, customer, by="test", reason=reason, kind="customer")
    assert customer not in str(refused.value)


def test_an_installation_without_marts_or_the_person_takes_an_erasure(settings: Settings) -> None:
    with pytest.raises(LifecycleError, match="Expected the kind of entity, of client, customer, got none - at --kind"):
        erase(settings, str(PERSON), by="test", reason=REASON)
    record = erase(settings, str(PERSON), by="test", reason=REASON, kind="customer")
    assert not any(record.rows.values())
    assert len(list(settings.erasures_dir.iterdir())) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "point",
    [
        "erasure.tombstones",
        "erasure.counted",
        "erasure.marts",
        "training_set.tombstone",
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
    spec, store = read_model("card_fraud"), TrainingSetStore(settings.training_sets_dir, "card_fraud")
    unfinished = store.check(spec, AS_OF.isoformat())
    if point == "training_set.tombstone":
        assert "an erasure was interrupted" in str(unfinished.problem)
    else:
        assert unfinished.problem is None
    record = erase(settings, str(PERSON), by="test", reason=REASON)
    assert people_of(settings) == ERASED_STATE
    assert list(record.training_sets.values()) == [3]
    assert store.check(spec, AS_OF.isoformat()).problem is None
    records = [json.loads(file.read_bytes()) for file in settings.erasures_dir.glob("*.json")]
    assert [found["rows"]["raw.card_transactions"] for found in records] == [3]


@pytest.mark.long
def test_a_person_is_erased_from_a_snowflake_account(
    filled: Any, snowflake_settings: Settings, write_parquet: Any, columns: Any
) -> None:
    filled(snowflake_settings)
    record = erase(snowflake_settings, str(PERSON), by="test", reason=REASON)
    assert people_of(snowflake_settings) == ERASED_STATE
    assert {table: rows for table, rows in record.rows.items() if rows} == {
        "raw.card_transactions": 3,
        "raw.card_transactions_versions": 3,
        "raw.fraud_reports": 1,
        "raw.report_withdrawals": 1,
        "protected.customers": 1,
        "marts.card_transaction_features": 3,
        "intermediate.int_customer_windows": 3,
        "marts.card_fraud_outcomes": 1,
        DECISIONS: 3,
    }
    again = write_parquet({**columns, "note": ["x"] * 6}, "again.parquet")
    warehouse, key_hash = open_warehouse(snowflake_settings), key_hash_of(snowflake_settings)
    result = load(warehouse, "card_transactions", again, key_hash=key_hash)
    assert (result.rows_read, result.rows_erased) == (3, 3)
    second = erase(snowflake_settings, str(PERSON), by="test", reason=REASON)
    assert set(second.rows.values()) == {0}
