"""Live traffic of a window in the bins of the champion's training traffic; `monitoring.drift` compares the two."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import SCORE, ColumnCounts, Reference, count
from lifecycle.modelling.windows import predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import AnyArray, FloatArray
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


def count_traffic(
    spec: RiskModelSpec, champion: ChampionInForce, batches: Iterable["pa.RecordBatch"]
) -> dict[str, ColumnCounts] | None:
    """Rows in each of the reference's bins, and outside its support, by column; ``None`` without rows.

    A canary's decisions count, too, with the score that the champion would have given. Only one batch is in memory at a
    time.

    Parameters
    ----------
    batches
        Columns bundle_digest, features, score.
    """
    counts: dict[str, ColumnCounts] | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        columns = feature_columns(batch, spec)
        columns[SCORE] = champion_scores(batch, champion, columns)
        added = count(champion.reference, columns)
        counts = {name: counts[name] + added[name] for name in added} if counts else added
    return counts


def feature_columns(decisions: "pa.Table | pa.RecordBatch", spec: RiskModelSpec) -> dict[str, FloatArray]:
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


def champion_scores(
    decisions: "pa.Table | pa.RecordBatch", champion: ChampionInForce, columns: Mapping[str, FloatArray]
) -> FloatArray:
    """Scores of the champion: as recorded, or computed from the recorded rows that another model decided."""
    scores: FloatArray = np.array(_values(decisions, "score"), dtype=np.float64)
    is_others = np.not_equal(_values(decisions, "bundle_digest"), champion.bundle_digest)
    if is_others.any():
        rows = np.column_stack([columns[feature.name][is_others] for feature in champion.deciding.features])
        scores[is_others] = predict(champion.model_text, champion.deciding.calibration, rows).scores
    return scores


def _values(decisions: "pa.Table | pa.RecordBatch", name: str) -> AnyArray:
    return np.array(decisions.column(name).to_pylist())
