"""Margins to probabilities: a strictly increasing Platt curve, and scores through the server's own function."""

import math

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.logistic import fit_logistic
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.contract.documents import Calibration
from serving.scoring.probability import probability

MINIMUM_SLOPE = 1e-3
"""A curve that falls or is flat would break the order of the margins; a slope is not allowed below this."""


def fit_calibration(margins: FloatArray, is_positive: BoolArray) -> Calibration:
    """Platt's curve, fitted to out-of-time margins by Newton's method with step halving.

    The targets are smoothed, ``(n1 + 1) / (n1 + 2)`` for the positives and ``1 / (n0 + 2)`` for the others, which keeps
    the curve finite where the margins separate perfectly: Platt, Probabilistic Outputs for Support Vector Machines
    (1999); the iteration is that of Lin, Lin and Weng, A Note on Platt's Probabilistic Outputs (2007). If the best
    slope is below `MINIMUM_SLOPE` (the margins do not rank the positives higher), the slope is fixed there and only the
    intercept is fitted; the gates judge such a model.

    Parameters
    ----------
    margins, is_positive
        Shape ``(n,)``; margins of examples later than those that the model was fitted on.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        raise LifecycleError(
            f"Expected positive and negative examples, got {positives} and {negatives} - at the calibration's windows"
        )
    targets = np.where(is_positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Newton's steps are well conditioned on standardised margins only.
    center, scale = float(margins.mean()), float(margins.std()) or 1.0
    columns = np.stack([(margins - center) / scale, np.ones_like(margins)])
    start = np.array([0.0, math.log((positives + 1) / (negatives + 1))])
    slope, intercept = fit_logistic(columns, targets, start, np.zeros(2)).tolist()
    if slope / scale < MINIMUM_SLOPE:
        flattest = np.array([MINIMUM_SLOPE * scale, start[1]])
        slope, intercept = fit_logistic(columns, targets, flattest, np.array([np.inf, 0.0])).tolist()
    return Calibration(slope=float(slope / scale), intercept=float(intercept - slope * center / scale))


def scores(margins: FloatArray, calibration: Calibration) -> FloatArray:
    """Calibrated probabilities of margins, by the same function as the server's; shape ``(n,)``."""
    return np.array([probability(margin, calibration) for margin in margins.tolist()], dtype=np.float64)
