"""The simple model that a candidate must beat: logistic regression on standardised features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.calibration import scores
from lifecycle.modelling.evaluation import Predictions
from lifecycle.modelling.fitting import FitRows, require_both
from lifecycle.spec.risk_model import FeatureSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Calibration

MAXIMUM_ITERATIONS = 2000
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
        margins = ((_design(features, self.schema) - self.center) / self.scale) @ self.coefficients + self.intercept
        return Predictions(margins, scores(margins, IDENTITY))


def fit_baseline(rows: FitRows, schema: Sequence[FeatureSpec]) -> Baseline:
    """Fit the baseline; classes are not balanced, so that its scores are probabilities.

    A nullable feature is 0 where it is missing and adds an indicator column; a category becomes a
    column for each of its values.

    Raises
    ------
    LifecycleError
        If frauds or genuine examples are missing.
    """
    from sklearn.linear_model import LogisticRegression

    require_both(rows, "the baseline's training window")
    design = _design(rows.features, schema)
    center, scale = design.mean(axis=0), design.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    model = LogisticRegression(max_iter=MAXIMUM_ITERATIONS)
    model.fit((design - center) / scale, rows.is_fraud)
    return Baseline(tuple(schema), center, scale, model.coef_[0].astype(np.float64), float(model.intercept_[0]))


def _design(features: FloatArray, schema: Sequence[FeatureSpec]) -> FloatArray:
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
    return np.column_stack(columns)
