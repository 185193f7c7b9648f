"""Points of the plots that show a model: arrays only, thinned to what a picture can show."""

from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.evaluation import CALIBRATION_BINS, Predictions
from lifecycle.modelling.ranking import Outcomes, require_both_classes
from lifecycle.tables.arrays import FloatArray

POINTS = 400
HISTOGRAM_BINS = 50
HISTOGRAM_FLOOR = 1e-5


@dataclass(frozen=True)
class Curves:
    """Each plot as lists of equal length.

    `roc` holds false and true positive rates, `precision_recall` recall and precision, `calibration` for bins of
    equally many rows the mean score, the share of positives and the rows, `histogram` the bins' edges (scores, spaced
    logarithmically) and the counts of negative and positive rows (one fewer than edges).
    """

    roc: dict[str, list[float]]
    precision_recall: dict[str, list[float]]
    calibration: dict[str, list[float]]
    histogram: dict[str, list[float]]


def curves(outcomes: Outcomes, predictions: Predictions) -> Curves:
    """Plots of a model on a window.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    require_both_classes(outcomes, "the plots' window")
    order = np.argsort(-predictions.margins, kind="stable")
    margins, positive = predictions.margins[order], outcomes.is_positive[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(margins)), len(margins) - 1)
    caught = np.cumsum(positive)[ends]
    alerted = ends + 1.0
    true_rate = caught / caught[-1]
    false_rate = (alerted - caught) / (len(positive) - caught[-1])
    roc = thinned(np.append(0.0, false_rate), np.append(0.0, true_rate))
    recall, precision = thinned(true_rate, caught / alerted)
    return Curves(
        roc={"false_positive_rate": roc[0], "true_positive_rate": roc[1]},
        precision_recall={"recall": recall, "precision": precision},
        calibration=_calibration(predictions.scores[order], positive),
        histogram=_histogram(predictions.scores, outcomes.is_positive.astype(np.float64)),
    )


def thinned(x: FloatArray, y: FloatArray) -> tuple[list[float], list[float]]:
    """At most `POINTS` points of a monotone curve, evenly spread along both axes' ranks, ends kept."""
    along_x = np.searchsorted(np.linspace(x[0], x[-1], POINTS // 2), x)
    along_y = np.searchsorted(np.linspace(min(y[0], y[-1]), max(y[0], y[-1]), POINTS // 2), y)
    moved = np.append(True, (np.diff(along_x) != 0) | (np.diff(along_y) != 0))
    moved[-1] = True
    kept = np.flatnonzero(moved)
    if len(kept) > POINTS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, POINTS).astype(np.int64))]
    return x[kept].tolist(), y[kept].tolist()


def _calibration(scores: FloatArray, positive: FloatArray) -> dict[str, list[float]]:
    bins = [rows for rows in np.array_split(np.arange(len(scores)), CALIBRATION_BINS) if len(rows)]
    return {
        "mean_score": [float(scores[rows].mean()) for rows in bins],
        "positive_share": [float(positive[rows].mean()) for rows in bins],
        "rows": [float(len(rows)) for rows in bins],
    }


def _histogram(scores: FloatArray, positive: FloatArray) -> dict[str, list[float]]:
    edges = np.append(0.0, np.geomspace(HISTOGRAM_FLOOR, 1.0, HISTOGRAM_BINS))
    positives, _ = np.histogram(scores, bins=edges, weights=positive)
    everything, _ = np.histogram(scores, bins=edges)
    return {
        "edges": edges.tolist(),
        "negative": (everything - positives).tolist(),
        "positive": positives.tolist(),
    }
