"""The simple model that a candidate must beat: logistic regression on standardised features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.calibration import scores
from lifecycle.modelling.evaluation import Predictions
from lifecycle.modelling.fitting import FitRows, require_both
from lifecycle.modelling.logistic import fit_logistic, linear
from lifecycle.spec.risk_model import FeatureSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Calibration

RIDGE = 1.0
"""Factor of half the squared coefficients in the loss, without the intercept: scikit-learn's default ``C=1``."""
IDENTITY = Calibration(slope=1.0, intercept=0.0)


@dataclass(frozen=True)
class Baseline:
    """A fitted logistic regression; `center` and `scale` standardise the design's columns."""

    schema: tuple[FeatureSpec, ...]
    center: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float

    def predict(self, features: FloatArray) -> Predictions:
        """Margins and probabilities of rows of shape ``(n, n_features)``."""
        columns = (_design(features, self.schema) - self.center[:, None]) / self.scale[:, None]
        margins = linear(columns, self.coefficients) + self.intercept
        return Predictions(margins, scores(margins, IDENTITY))


def fit_baseline(rows: FitRows, schema: Sequence[FeatureSpec]) -> Baseline:
    """Fit the baseline; classes are not balanced, so that its scores are probabilities.

    A nullable feature is 0 where it is missing and adds an indicator column; a category becomes a
    column for each of its values.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    require_both(rows, "the baseline's training window")
    design = _design(rows.features, schema)
    center = np.array([column.mean() for column in design])
    scale = np.array([float(column.std()) or 1.0 for column in design])
    columns = np.vstack([(design - center[:, None]) / scale[:, None], np.ones(design.shape[1])])
    positives = int(rows.is_positive.sum())
    start, penalty = np.zeros(len(columns)), np.full(len(columns), RIDGE)
    start[-1], penalty[-1] = math.log(positives / (len(rows.is_positive) - positives)), 0.0
    fitted = fit_logistic(columns, rows.is_positive.astype(np.float64), start, penalty)
    return Baseline(tuple(schema), center, scale, fitted[:-1], float(fitted[-1]))


def _design(features: FloatArray, schema: Sequence[FeatureSpec]) -> FloatArray:
    """The columns of the regression, each contiguous; shape ``(n_columns, n)``."""
    columns: list[FloatArray] = []
    for position, feature in enumerate(schema):
        values = features[:, position]
        missing = np.isnan(values)
        if feature.dtype == "category":
            columns.extend((values == code).astype(np.float64) for code in range(len(feature.categories or ())))
        else:
            columns.append(np.where(missing, 0.0, values))
        if feature.is_nullable:
            columns.append(missing.astype(np.float64))
    return np.stack(columns)
