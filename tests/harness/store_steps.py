"""Everything the stores write for one date and the load of a decision log, in a process that may be killed."""

import datetime as dt
import sys
from pathlib import Path

import msgspec
import pyarrow as pa

from lifecycle.artefacts.candidates import CandidateStore
from lifecycle.artefacts.evidence import EvidenceStore, GateEvidence
from lifecycle.artefacts.training_sets import ROWS_PER_GROUP, Selection, TrainingSetStore
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.reading.decisions import load_decisions
from serving.contract.documents import Bands, Calibration, Deciding, DecisionRecord, GoldenRow, Lineage, Verdict
from serving.log.segments import segment_name

MODEL, AS_OF, DIGEST = "card_fraud", "2018-08-29", "d" * 64
SELECTION = Selection(dt.date(2018, 8, 29), dt.date(2018, 8, 1), dt.date(2018, 8, 22))


def write_log(folder: Path) -> None:
    """A log of five decisions, the last one logged twice."""
    folder.mkdir(parents=True)
    moment = dt.datetime(2018, 8, 28, 12, tzinfo=dt.UTC)
    records = [
        DecisionRecord(
            schema_version=1, decision_id=f"d{number}", transaction_id=str(number), entity_key="e" * 64,
            occurred_at=moment, decided_at=moment, model=MODEL, slot="champion", bundle_digest=DIGEST,
            release_number=1, features=(1.0, None), margin=0.5, score=0.6, decision="approve", elapsed_us=10,
        )
        for number in (1, 2, 3, 4, 5, 5)
    ]  # fmt: skip
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    (folder / segment_name(1)).write_bytes(lines)


def examples() -> list[pa.RecordBatch]:
    """Two batches, each of a row group; a column stands for the features."""
    moments = pa.array(range(2 * ROWS_PER_GROUP), pa.timestamp("us"))
    rows = pa.record_batch(
        {
            "transaction_id": pa.array(range(2 * ROWS_PER_GROUP)),
            "occurred_at": moments,
            "amount": pa.array([1.5, None] * ROWS_PER_GROUP),
            "reported_at": pa.nulls(2 * ROWS_PER_GROUP, pa.timestamp("us")),
        }
    )
    return [rows.slice(0, ROWS_PER_GROUP), rows.slice(ROWS_PER_GROUP)]


def take(home: Path) -> None:
    """Freeze, keep, judge and load; the same again changes nothing."""
    settings = Settings(home=home)
    TrainingSetStore(settings.training_sets_dir, MODEL).write(examples(), read_model(MODEL), SELECTION)
    lineage = Lineage(
        as_of=AS_OF, training_set_digest=DIGEST, code_commit=None, parameters={}, seed=7, library_versions={}
    )
    bands = Bands(review_from=0.5)
    calibration = Calibration(slope=1.0, intercept=0.0)
    deciding = Deciding(schema_version=1, model=MODEL, features=(), calibration=calibration, bands=bands)
    golden = (GoldenRow(features={}, margin=0.5, score=0.6),)
    candidates = CandidateStore(settings.candidates_dir, MODEL)
    candidate = candidates.write(b"tree", deciding, golden, lineage, {"evaluation.json": b"{}"})
    verdicts = (Verdict(gate="enough_evidence", is_passed=True, summary=""),)
    EvidenceStore(settings.evidence_dir, MODEL).write_gates(
        GateEvidence(
            model=MODEL,
            candidate_digest=candidate.digest,
            training_set_digest=DIGEST,
            as_of=AS_OF,
            verdicts=verdicts,
        )
    )
    load_decisions(open_warehouse(settings), settings.decision_log_dir)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
