"""The toy model in an installation: its warehouse, its stores, and runs of its assets."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import dagster as dg
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.artefacts.candidates import Candidate, CandidateStore, training_files
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.artefacts.training_sets import FrozenTrainingSet, Selection
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.gates.candidate_gates import GATES
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training import Trained
from lifecycle.releases.ledger.events import gates_judged, run_actor
from lifecycle.releases.mlflow_registry import MirroredSlot, RegisteredVersion
from lifecycle.releases.mlflow_runs import RunOutcome, RunPages
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.interface import Session
from serving.contract.documents import DecisionName, DecisionRecord, Lineage, Release, Verdict
from serving.log.segments import segment_name
from tests.harness.toy_model import AS_OF

PASSING = tuple(
    Verdict(gate=gate, is_passed=True, summary="", observed={} if gate == "fair_by_group" else {"measured": 1})
    for gate in GATES
)
REFUSING = (Verdict(gate=GATES[0], is_passed=False, summary="too few positives"), *PASSING[1:])


def without_reasons(trained: Trained) -> Trained:
    """A model that is not explained: a bundle with reasons compiles for seconds when it is verified."""
    return dataclasses.replace(
        trained,
        deciding=msgspec.structs.replace(trained.deciding, reason_texts=None),
        golden=tuple(msgspec.structs.replace(row, contributions=None) for row in trained.golden),
    )


def fill_warehouse(stores: Stores, spec: RiskModelSpec, raw: pa.Table, mart: pa.Table) -> None:
    """Raw transactions, the toy mart and its outcomes."""
    reported = mart.filter(pc.is_valid(mart["reported_at"]))
    transactions = raw.select(["transaction_id", "occurred_at", "customer_id", "amount"])
    with open_warehouse(stores.settings, Use("load")).session("the toy warehouse") as session:
        session.append(
            "raw.card_transactions",
            transactions.append_column("terminal_id", pa.array([1] * raw.num_rows, pa.int64())),
        )
        session.execute("create schema marts")
        _make(session, f"marts.{spec.mart}", mart.drop_columns(["reported_at"]))
        _make(
            session,
            f"marts.{spec.label.relation}",
            reported.select(["transaction_id", "occurred_at", "reported_at"]),
        )


def _make(session: Session, relation: str, rows: pa.Table) -> None:
    types = {"int64": "bigint", "int32": "integer", "double": "double", "string": "varchar"}
    types |= {"timestamp[us]": "timestamp", "decimal128(12, 2)": "decimal(12,2)"}
    columns = ", ".join(f"{field.name} {types[str(field.type)]}" for field in rows.schema)
    session.execute(f"create table {relation} ({columns})")
    session.append(relation, rows)


def freeze(stores: Stores, spec: RiskModelSpec, table: pa.Table) -> FrozenTrainingSet:
    """The training set of `AS_OF`, without a warehouse."""
    start, end = snapshot_days(AS_OF, spec.training, spec.label.maturity_days)
    days = table["occurred_at"].cast(pa.date32())
    rows = table.filter(pc.and_(pc.greater_equal(days, start), pc.less(days, end))).sort_by("occurred_at")
    names = ["transaction_id", "customer_id", "occurred_at", *spec.feature_names, "reported_at"]
    return stores.training_sets(spec.name).write(
        rows.select(names).to_batches(), spec, Selection(as_of=AS_OF, first_day=start, end_day=end)
    )


def keep(stores: Stores, trained: Trained, training_set: str = "d" * 64, as_of: dt.date = AS_OF) -> Candidate:
    """The trained model as the current candidate of a date."""
    lineage = Lineage(
        as_of=as_of.isoformat(),
        training_set_digest=training_set,
        code_commit=None,
        parameters=dict(trained.parameters),
        seed=trained.seed,
        library_versions={},
    )
    return written(stores.candidates("toy"), trained, lineage)


def written(store: CandidateStore, trained: Trained, lineage: Lineage) -> Candidate:
    """The trained model as a candidate of a store."""
    return store.write(trained.model_text, trained.deciding, trained.golden, lineage, training_files(trained))


def judge(stores: Stores, candidate: Candidate, verdicts: tuple[Verdict, ...] = PASSING) -> GateEvidence:
    """Verdicts on a candidate, recorded and written as the gates do."""
    evidence = evidence_of(candidate, verdicts)
    stores.ledger.append(gates_judged(evidence, run_actor(uuid4().hex), is_backtest=False))
    stores.evidence("toy").write_gates(evidence)
    return evidence


def evidence_of(candidate: Candidate, verdicts: tuple[Verdict, ...] = PASSING, model: str = "toy") -> GateEvidence:
    """Verdicts on a candidate, not written."""
    return GateEvidence(
        model=model,
        candidate_digest=candidate.digest,
        training_set_digest=candidate.lineage.training_set_digest,
        as_of=candidate.lineage.as_of,
        verdicts=verdicts,
    )


def promote(stores: Stores, spec: RiskModelSpec, candidate: Candidate) -> Release:
    """The candidate as champion."""
    bundle = seal(spec, stores, candidate, judge(stores, candidate))
    return stores.releases().publish(spec.name, bundle, by="test", reason="test")


def log_decisions(
    stores: Stores, spec: RiskModelSpec, rows: pa.Table, bundle: str | None, decision: DecisionName = "approve"
) -> None:
    """A segment of the decision log with a decision of the champion for each row."""
    folder = stores.settings.decision_log_dir
    folder.mkdir(parents=True)
    records = [
        DecisionRecord(
            schema_version=1,
            decision_id=f"d{row['transaction_id']}",
            transaction_id=str(row["transaction_id"]),
            entity_key=f"{row['customer_id']:064d}",
            occurred_at=row["occurred_at"].replace(tzinfo=dt.UTC),
            decided_at=row["occurred_at"].replace(tzinfo=dt.UTC),
            model=spec.name,
            slot="champion",
            bundle_digest=bundle,
            release_number=1,
            features=tuple(float(row[name]) if name == "amount" else row[name] for name in spec.feature_names),
            margin=0.1,
            score=0.2,
            decision=decision,
            elapsed_us=30,
        )
        for row in rows.to_pylist()
    ]
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    (folder / segment_name(1)).write_bytes(lines)


class FakeRegistry:
    """An MLflow registry in memory; while `fault` is set, it raises it."""

    def __init__(self) -> None:
        self.versions: dict[str, RegisteredVersion] = {}
        self.outcomes: list[tuple[str, RunOutcome]] = []
        self.slots: dict[str, MirroredSlot] = {}
        self.refreshed: list[tuple[str, RunPages]] = []
        self.fault: Exception | None = None

    def record(
        self, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence, outcome: RunOutcome, pages: RunPages
    ) -> str:
        self._answer()
        assert b"model card" in pages.card
        self.outcomes.append((candidate.digest, outcome))
        return "run"

    def register(
        self, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence, pages: RunPages
    ) -> RegisteredVersion:
        self._answer()
        assert {verdict.gate for verdict in evidence.refusals} == set(pages.waived)
        version = RegisteredVersion(spec.name, str(len(self.versions) + 1), "run")
        return self.versions.setdefault(candidate.digest, version)

    def refresh(self, model: str, candidate_digest: str, pages: RunPages) -> None:
        self._answer()
        self.refreshed.append((candidate_digest, pages))

    def find(self, model: str, candidate_digest: str) -> RegisteredVersion | None:
        self._answer()
        return self.versions.get(candidate_digest)

    def mirror(self, model: str, slots: Mapping[str, MirroredSlot]) -> None:
        self._answer()
        self.slots = dict(slots)

    def champion(self, model: str) -> str | None:
        self._answer()
        return self.slots["champion"].bundle_digest if "champion" in self.slots else None

    def _answer(self) -> None:
        if self.fault is not None:
            raise self.fault


def materialize(
    stores: Stores,
    assets: Sequence[Any],
    partition: dt.date,
    instance: dg.DagsterInstance | None = None,
    tags: dict[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run assets and checks of one partition."""
    return dg.materialize(
        assets,
        partition_key=partition.isoformat(),
        resources={"stores": stores},
        instance=instance,
        tags=tags,
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Plain metadata of the one materialisation of an asset."""
    [event] = result.asset_materializations_for_node(f"toy__{name}")
    return {key: value.value for key, value in event.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The errors of the failed steps."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return " ".join(error.to_string() for error in errors if error is not None)
