"""How far a model's probabilities are from what happened: slope, events through expected events, calibration error."""

from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.clusters import Clustering, clustered_interval, clusterings
from lifecycle.modelling.evaluation import CALIBRATION_BINS, Interval
from lifecycle.modelling.logistic import fit_logistic, linear
from lifecycle.modelling.ranking import Outcomes, require_both_classes
from lifecycle.tables.arrays import FloatArray


@dataclass(frozen=True)
class CalibrationFit:
    """A window's calibration.

    `slope` is that of the logistic regression of the outcomes on the scores' log-odds, and `intercept` its intercept:
    1 and 0 are ideal, a slope below 1 is overconfident (Cox, Two Further Applications of a Model for Binary Regression,
    1958). `ratio` is events through expected events, calibration in the large. `error` is the expected calibration
    error over bins of equally many rows (Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using
    Bayesian Binning, 2015), in units of the base rate.
    """

    rows: int
    events: int
    slope: Interval
    intercept: Interval
    ratio: Interval
    error: float


def fit_of_calibration(
    outcomes: Outcomes, log_odds: FloatArray, scores: FloatArray, confidence: float
) -> CalibrationFit:
    """Calibration of a window's scores, with intervals that know its clusters.

    Parameters
    ----------
    log_odds, scores
        Of each row, shape ``(n,)``; the scores are the log-odds as probabilities.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    require_both_classes(outcomes, "the window whose calibration is measured")
    happened = outcomes.is_positive.astype(np.float64)
    clusters = clusterings(outcomes.ways)
    events, expected = float(happened.sum()), float(scores.sum())
    slope, intercept = _regression(happened, log_odds, clusters, confidence)
    on_log = clustered_interval(
        float(np.log(events / expected)), happened / events - scores / expected, clusters, confidence
    )
    order = np.argsort(scores, kind="stable")
    gaps = [
        abs(float(scores[rows].sum()) - float(happened[rows].sum()))
        for rows in np.array_split(order, CALIBRATION_BINS)
        if len(rows)
    ]
    return CalibrationFit(
        rows=len(outcomes),
        events=int(events),
        slope=slope,
        intercept=intercept,
        ratio=Interval(*(float(np.exp(value)) for value in (on_log.value, on_log.low, on_log.high))),
        error=sum(gaps) / events,
    )


def _regression(
    happened: FloatArray, log_odds: FloatArray, clusters: tuple[Clustering, ...], confidence: float
) -> tuple[Interval, Interval]:
    """Slope and intercept by maximum likelihood; the influence of a row is the inverse Hessian times its gradient."""
    center, scale = float(log_odds.mean()), float(log_odds.std())
    if scale == 0:
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        return nothing, nothing
    columns = np.stack([(log_odds - center) / scale, np.ones_like(log_odds)])
    rate = happened.mean()
    start = np.array([0.0, float(np.log(rate / (1 - rate)))])
    found = fit_logistic(columns, happened, start, np.zeros(2))
    fitted = 1 / (1 + np.exp(-linear(columns, found)))
    variance = fitted * (1 - fitted)
    hessian = np.array([[float(np.sum(left * right * variance)) for right in columns] for left in columns])
    influence = np.linalg.inv(hessian) @ (columns * (happened - fitted))
    slope, slopes = float(found[0]) / scale, influence[0] / scale
    intercept, intercepts = float(found[1]) - slope * center, influence[1] - slopes * center
    return (
        clustered_interval(slope, np.ascontiguousarray(slopes), clusters, confidence),
        clustered_interval(intercept, np.ascontiguousarray(intercepts), clusters, confidence),
    )
