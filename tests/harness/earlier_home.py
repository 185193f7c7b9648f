"""A home as the version before derived features, declared raw tables and the credit model wrote it."""

import hashlib
import json
import os
from pathlib import Path

from lifecycle.artefacts.evidence import EvidenceStore, GateEvidence
from lifecycle.gates.candidate_gates import GATES
from lifecycle.local.installation import prepare
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions
from serving.contract.documents import Verdict
from tests.harness.features_generated import RawRows, insert

CANDIDATE = "c" * 64
NEW_GATES = (
    "above_floor",
    "no_leaking_feature",
    "not_worse_by_slice",
    "not_costlier",
    "fair_by_group",
    "calibrated",
    "robust",
    "explained",
    "consistent",
    "servable",
)
MART = "marts.card_transaction_features"
WINDOWS = "intermediate.int_customer_windows"
_PERFORMANCE = {
    "window_start": "2026-01-01", "window_end": "2026-01-08", "frauds": 31, "has_verdict": True, "is_alarm": False,
    "recall": 0.5, "promised": 0.6, "required": 0.4, "reason": "",
}  # fmt: skip
_IDS = "transaction_id bigint, customer_id bigint, terminal_id bigint, occurred_at timestamp, amount decimal(12, 2)"
_CUSTOMER = ", ".join(f"customer_tx_count_{days}d bigint, customer_mean_amount_{days}d double" for days in (1, 7, 30))
_TERMINAL = ", ".join(f"terminal_tx_count_{days}d bigint, terminal_fraud_share_{days}d double" for days in (1, 7, 30))
_RATIOS = "customer_amount_ratio_30d double, customer_max_amount_ratio_7d double"
_LAST = "terminal_hours_since_genuine double, is_terminal_last_fraud integer, terminal_plain_fraud_count_30d bigint"
_TABLES = {
    MART: f"{_IDS}, is_weekend integer, is_night integer, {_CUSTOMER}, {_TERMINAL}, {_RATIOS}, {_LAST}",
    WINDOWS: f"transaction_id bigint, occurred_at timestamp, {_CUSTOMER}, {_RATIOS}",
}


def write_earlier_home(settings: Settings, rows: RawRows) -> None:
    """Write raw rows, tables of features with the earlier columns, one first day, and earlier evidence."""
    previous = os.umask(0o077)
    try:
        prepare(settings)
        insert(settings, rows)
        warehouse = open_warehouse(settings)
        with warehouse.session("an earlier version") as session:
            for definition in raw_definitions(warehouse.dialect):
                if "credit" in definition.name:
                    session.execute(f"drop table {definition.name}")
            for relation, columns in _TABLES.items():
                session.execute(f"create schema if not exists {relation.partition('.')[0]}")
                session.execute(f"create table {relation} ({columns})")
                session.execute(
                    f"insert into {relation} (transaction_id, occurred_at) "
                    "select transaction_id, occurred_at from raw.card_transactions"
                )
        first = warehouse.query("select min(occurred_at)::date as day from raw.card_transactions").to_pylist()[0]["day"]
        (settings.root / "first_day.json").write_text(json.dumps({"first_day": first.isoformat()}))
        _write_evidence(settings)
    finally:
        os.umask(previous)


def _write_evidence(settings: Settings) -> None:
    verdicts = tuple(Verdict(gate=gate, is_passed=True, summary="") for gate in GATES if gate not in NEW_GATES)
    store = EvidenceStore(settings.evidence_dir, "card_fraud")
    store.write_gates(GateEvidence("card_fraud", CANDIDATE, "d" * 64, "2026-01-08", verdicts))
    path = settings.evidence_dir / "card_fraud" / "live_performance" / "2026-01-15.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(_PERFORMANCE))


def files_of(home: Path) -> dict[str, str]:
    """Digest of every file below a home by its path, without locks."""
    paths = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def rows_of(settings: Settings) -> dict[str, str]:
    """Row count and content of each raw table and of the decisions."""
    warehouse = open_warehouse(settings)
    names = [
        definition.name
        for definition in raw_definitions(warehouse.dialect)
        if "." in definition.name and "credit" not in definition.name
    ]
    return {
        name: warehouse.query(
            f"select count(*) || ' ' || coalesce(sum(hash(rows)::hugeint), 0) as content from {name} as rows"
        ).to_pylist()[0]["content"]
        for name in names
    }
