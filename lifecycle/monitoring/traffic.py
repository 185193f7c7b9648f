"""What live traffic of a window looks like to the champion: read here, judged in `lifecycle.monitoring.drift`."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from lifecycle.artefacts.candidates import REFERENCE_FILE, Candidate
from lifecycle.modelling.evaluation import Interval, evaluate
from lifecycle.modelling.reference import SCORE, Reference, count
from lifecycle.modelling.training import predict
from lifecycle.monitoring.drift import DriftVerdict, PerformanceVerdict, judge_drift, judge_performance
from lifecycle.monitoring.live_recall import feature_columns, outcomes_and_predictions
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.decisions import read_decisions
from serving.contract.documents import MODEL_FILE, SlotRelease

if TYPE_CHECKING:
    import pyarrow as pa

RECALL = "recall_at_capacity"


@dataclass(frozen=True)
class ChampionInForce:
    """A champion and the candidate it was sealed from."""

    champion: SlotRelease
    candidate: Candidate

    @property
    def reference(self) -> Reference:
        """The frozen picture of its training traffic."""
        return msgspec.json.decode(self.candidate.read(REFERENCE_FILE), type=Reference)

    @property
    def promised_recall(self) -> Interval:
        """Recall at capacity on its holdout."""
        return msgspec.convert(self.candidate.evaluation["holdout"]["metrics"][RECALL], Interval)


def live_performance_of(
    spec: RiskModelSpec, warehouse: Warehouse, standing: ChampionInForce, as_of: dt.date
) -> PerformanceVerdict:
    """Recall at capacity over the last whole weeks whose outcomes are mature, of what the champion answered."""
    end = as_of - dt.timedelta(days=spec.label.maturity_days)
    start = end - dt.timedelta(days=spec.drift.window_days)
    table, capacity = champion_rows_and_capacity(
        read_decisions(warehouse, spec, start, end, as_of), spec.decision.review_cards_per_day
    )
    outcomes, predictions = outcomes_and_predictions(table)
    frauds = int(outcomes.is_fraud.sum())
    caught = 0
    if 0 < frauds < len(outcomes):
        evaluation = evaluate(outcomes, predictions, capacity, draws=0)
        caught = round(evaluation.metrics[RECALL].value * frauds)
    minimum_frauds = spec.gates.minimum_frauds
    return judge_performance(caught, frauds, standing.promised_recall, (start, end), minimum_frauds, spec.drift)


def champion_rows_and_capacity(answered: "pa.Table", capacity: int) -> tuple["pa.Table", int]:
    """The rows that the champion answered, and the part of the daily capacity that falls to them.

    A canary answers a random share of the entities. Its rows are another model's performance; without them the whole
    capacity would look at fewer cards, and recall would be higher than on all of them.
    """
    rows = answered.filter(np.equal(answered.column("slot").to_numpy(), "champion"))
    return rows, max(1, round(capacity * rows.num_rows / max(answered.num_rows, 1)))


def traffic_of(
    spec: RiskModelSpec, warehouse: Warehouse, standing: ChampionInForce, as_of: dt.date, previous: DriftVerdict | None
) -> DriftVerdict:
    """PSI of the last whole weeks of decisions, whoever answered, against the champion's own training set.

    `previous` is the verdict of the day before, if there is one.
    """
    start = as_of - dt.timedelta(days=spec.drift.window_days)
    table = read_decisions(warehouse, spec, start, as_of)
    reference = standing.reference
    daily = _daily_counts(spec, table, standing, reference)
    digest = standing.champion.bundle_digest
    return judge_drift(reference, daily, as_of, spec.drift, bundle_digest=digest, previous=previous)


def _daily_counts(
    spec: RiskModelSpec, table: "pa.Table", standing: ChampionInForce, reference: Reference
) -> dict[dt.date, Mapping[str, Sequence[int]]]:
    """Rows in each of the reference's bins by day."""
    if not table.num_rows:
        return {}
    columns = feature_columns(table, spec)
    columns[SCORE] = _champion_scores(table, standing, columns)
    dates = table.column("occurred_at").to_numpy().astype("datetime64[D]")
    counts: dict[dt.date, Mapping[str, Sequence[int]]] = {}
    for date in np.unique(dates):
        rows = dates == date
        counts[date.item()] = count(reference, {name: values[rows] for name, values in columns.items()})
    return counts


def _champion_scores(table: "pa.Table", standing: ChampionInForce, columns: Mapping[str, FloatArray]) -> FloatArray:
    """Scores of the champion: as recorded, or computed from the recorded rows where another model decided."""
    deciders = set(table.column("bundle_digest").to_pylist())
    if deciders == {standing.champion.bundle_digest}:
        recorded: FloatArray = table.column("score").to_numpy()
        return recorded
    deciding = standing.candidate.deciding
    rows = np.column_stack([columns[feature.name] for feature in deciding.features])
    return predict(standing.candidate.read(MODEL_FILE), deciding.calibration, rows).scores
