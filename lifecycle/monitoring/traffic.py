"""Live traffic of a window in the bins of the champion's training traffic; `monitoring.drift` compares the two."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import SCORE, ColumnCounts, Reference, count
from lifecycle.modelling.training import predict
from lifecycle.monitoring.drift import DriftVerdict, judge_drift
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Deciding

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ChampionInForce:
    """The champion of a date, with everything that live traffic is compared with.

    `trained_until` is the end (exclusive) of the days it was fitted on, `promised_recall` its recall at capacity on the
    holdout, `reference` its training traffic in bins.
    """

    bundle_digest: str
    trained_until: dt.date
    promised_recall: Interval
    reference: Reference
    deciding: Deciding
    model_text: bytes


def traffic_window(spec: RiskModelSpec, as_of: dt.date) -> tuple[dt.date, dt.date]:
    """Days ``[start, end)`` of `occurred_at` that are compared as of a date: the last whole weeks."""
    return as_of - dt.timedelta(days=spec.drift.window_days), as_of


def traffic_verdict(
    spec: RiskModelSpec,
    decisions: "pa.Table",
    champion: ChampionInForce,
    as_of: dt.date,
) -> DriftVerdict:
    """PSI of the decisions of `traffic_window`, a canary's included, against the champion's training traffic.

    Parameters
    ----------
    decisions
        Columns occurred_at, bundle_digest, features, score; with those of the window before, if a day has none.
    """
    daily = _daily_counts(spec, decisions, champion)
    digest = champion.bundle_digest
    return judge_drift(champion.reference, daily, as_of, spec.drift, bundle_digest=digest)


def feature_columns(decisions: "pa.Table", spec: RiskModelSpec) -> dict[str, FloatArray]:
    """The recorded feature rows by feature: float64, ``NaN`` for null, a category as its index.

    A category that the specification no longer has is infinite, so that it is outside every reference.

    Parameters
    ----------
    decisions
        With the column `features`: each row's values in the schema's order, as a JSON list.
    """
    decoder = msgspec.json.Decoder(list[float | str | None])
    rows = [decoder.decode(text) for text in decisions.column("features").to_pylist()]
    columns = {}
    for position, feature in enumerate(spec.features):
        codes = {category: float(code) for code, category in enumerate(feature.categories or ())}
        columns[feature.name] = np.array([_number(row[position], codes) for row in rows], dtype=np.float64)
    return columns


def _number(value: float | str | None, codes: Mapping[str, float]) -> float:
    if value is None:
        return float("nan")
    return codes.get(value, float("inf")) if isinstance(value, str) else float(value)


def _daily_counts(
    spec: RiskModelSpec, decisions: "pa.Table", champion: ChampionInForce
) -> dict[dt.date, Mapping[str, ColumnCounts]]:
    """Rows in each of the reference's bins, and outside its support, by day."""
    if not decisions.num_rows:
        return {}
    columns = feature_columns(decisions, spec)
    columns[SCORE] = _champion_scores(decisions, champion, columns)
    dates = decisions.column("occurred_at").to_numpy().astype("datetime64[D]")
    counts: dict[dt.date, Mapping[str, ColumnCounts]] = {}
    for date in np.unique(dates):
        rows = dates == date
        counts[date.item()] = count(champion.reference, {name: values[rows] for name, values in columns.items()})
    return counts


def _champion_scores(decisions: "pa.Table", champion: ChampionInForce, columns: Mapping[str, FloatArray]) -> FloatArray:
    """Scores of the champion: as recorded, or computed from the recorded rows if another model decided any of them."""
    if set(decisions.column("bundle_digest").to_pylist()) == {champion.bundle_digest}:
        recorded: FloatArray = decisions.column("score").to_numpy()
        return recorded
    rows = np.column_stack([columns[feature.name] for feature in champion.deciding.features])
    return predict(champion.model_text, champion.deciding.calibration, rows).scores
