"""Golden rows: synthetic inputs that a server must score bit for bit, and explain, before it uses a model."""

from collections.abc import Sequence

import numpy as np

from lifecycle.modelling.calibration import scores
from lifecycle.modelling.fitting import contributions, margins
from lifecycle.spec.risk_model import FeatureSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Calibration, GoldenRow

MIXED_ROWS = 20
LARGEST_REMAINDER = 1e-9
"""LightGBM's contributions may miss the margin by this much. With some thirty different features on one path
they miss it by more, since it removes each from the path again; such rows are no reference for the server's."""


def golden_rows(
    features: FloatArray, schema: Sequence[FeatureSpec], model_text: bytes, calibration: Calibration, seed: int
) -> tuple[GoldenRow, ...]:
    """Rows that reach many corners of the model, with its margins and scores, and LightGBM's contributions.

    Each feature's value is drawn independently from `features`, so that a bundle holds no customer's row: one row of
    lowest values, one of highest, one of medians, one without nullable features if there are any, and `MIXED_ROWS` in
    which every feature takes another of its quantiles.

    Parameters
    ----------
    features
        Shape ``(n, n_features)``, the rows the model was fitted on.
    """
    ordered = np.sort(features, axis=0)
    present = np.maximum((~np.isnan(features)).sum(axis=0), 1)

    def at(shares: FloatArray) -> FloatArray:
        """A quantile of each feature, always a value that occurred, so that integers stay integers."""
        positions = np.rint(shares * (present - 1)).astype(np.int64)
        values: FloatArray = ordered[positions, np.arange(features.shape[1])]
        return values

    width = features.shape[1]
    generator = np.random.default_rng(seed)
    mixed = np.column_stack([generator.permutation(MIXED_ROWS) / (MIXED_ROWS - 1) for _ in range(width)])
    rows = [at(np.full(width, share)) for share in (0.0, 1.0, 0.5)] + [at(shares) for shares in mixed]
    nullable = np.array([feature.is_nullable for feature in schema])
    if nullable.any():
        rows.append(np.where(nullable, np.nan, rows[2]))
    table = np.ascontiguousarray(rows)
    row_margins = margins(model_text, table)
    row_scores = scores(row_margins, calibration)
    explained = contributions(model_text, table)
    return tuple(
        GoldenRow(
            features=_named(row, schema),
            margin=float(margin),
            score=float(score),
            contributions=tuple(added.tolist()) if abs(added.sum() - margin) <= LARGEST_REMAINDER else None,
        )
        for row, margin, score, added in zip(table, row_margins, row_scores, explained, strict=True)
    )


def _named(row: FloatArray, schema: Sequence[FeatureSpec]) -> dict[str, float | int | str | None]:
    """A row as a caller would send it."""
    named: dict[str, float | int | str | None] = {}
    for feature, value in zip(schema, row.tolist(), strict=True):
        if np.isnan(value):
            named[feature.name] = None
        elif feature.dtype == "category":
            named[feature.name] = (feature.categories or ())[int(value)]
        else:
            named[feature.name] = int(value) if feature.dtype == "int" else value
    return named
