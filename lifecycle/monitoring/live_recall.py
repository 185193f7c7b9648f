"""Live decisions as the arrays that evaluation and drift work on."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from lifecycle.modelling.evaluation import Predictions
from lifecycle.modelling.ranking import Outcomes
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa


def outcomes_and_predictions(decisions: "pa.Table") -> tuple[Outcomes, Predictions]:
    """What became of decisions, and what the model had said.

    Parameters
    ----------
    decisions
        Columns occurred_at, entity, amount, reported_at (null where nothing was reported), margin, score.
    """
    reported = decisions.column("reported_at")
    outcomes = Outcomes(
        occurred_at=decisions.column("occurred_at").to_numpy().astype("datetime64[us]"),
        entity=decisions.column("entity").to_numpy(),
        amount=np.asarray(decisions.column("amount").cast("float64").to_numpy(), dtype=np.float64),
        is_fraud=reported.is_valid().to_numpy(),
    )
    predictions = Predictions(
        margins=np.asarray(decisions.column("margin").to_numpy(), dtype=np.float64),
        scores=np.asarray(decisions.column("score").to_numpy(), dtype=np.float64),
    )
    return outcomes, predictions


def feature_columns(decisions: "pa.Table", spec: RiskModelSpec) -> dict[str, FloatArray]:
    """The recorded feature rows by feature: float64, ``NaN`` for null, a category as its index.

    Parameters
    ----------
    decisions
        With the column `features`: each row's values in the schema's order, as a JSON list.
    """
    decoder = msgspec.json.Decoder(list[float | str | None])
    rows = [decoder.decode(text) for text in decisions.column("features").to_pylist()]
    columns = {}
    for position, feature in enumerate(spec.features):
        index = {category: float(place) for place, category in enumerate(feature.categories or ())}
        columns[feature.name] = np.array([_number(row[position], index) for row in rows], dtype=np.float64)
    return columns


def _number(value: float | str | None, index: dict[str, float]) -> float:
    if value is None:
        return float("nan")
    return index[value] if isinstance(value, str) else float(value)
