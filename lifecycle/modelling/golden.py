"""Golden rows: synthetic inputs that a server must score bit for bit, and explain, before it uses a model."""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.calibration import scores
from lifecycle.modelling.fitting import contributions, margins
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.contract.derivation import completion, is_derived, request_fields
from serving.contract.documents import Calibration, Feature, GoldenRow
from serving.contract.features import RowEncoder, Value
from serving.contract.row_compiler import RowError
from serving.scoring.model_text import format_of

MIXED_ROWS = 20
LARGEST_REMAINDER = 1e-9
"""LightGBM's contributions may miss the margin by this much. With some thirty different features on one path
they miss it by more, since it removes each from the path again; such rows are no reference for the server's. An
XGBoost model's are the server's own, and miss its margin, a sum in single precision, by that sum's rounding."""
FIRST_MOMENT = dt.datetime(2024, 2, 28, 23, 59, 59, 999999, tzinfo=dt.UTC)
BETWEEN_MOMENTS = dt.timedelta(days=17, hours=5, minutes=13, microseconds=1)
"""Rows of models with derived features are that far apart, so that they meet many hours, days and months."""


class _Row(NamedTuple):
    """A golden row without its results: values of the request's fields, what follows from them, and the time."""

    carried: dict[str, Value]
    values: Sequence[Value]
    occurred_at: dt.datetime | None


def golden_rows(
    features: FloatArray,
    schema: Sequence[Feature],
    model_text: bytes,
    calibration: Calibration,
    seed: int,
    facts: Sequence[Feature] = (),
    fact_values: FloatArray | None = None,
) -> tuple[GoldenRow, ...]:
    """Rows that reach many corners of the model, with its margins, scores and contributions.

    Each field's value is drawn independently from `features` and `fact_values`, so that a bundle holds no customer's
    row: one row of lowest values, one of highest, one of medians, one without nullable fields if there are any, and
    `MIXED_ROWS` in which every field takes another of its quantiles. Derived features follow from the fields.

    Parameters
    ----------
    features
        Shape ``(n, n_features)``, the rows the model was fitted on.
    facts, fact_values
        Fields of a request that are no features, and their values, shape ``(n, n_facts)``.

    Raises
    ------
    LifecycleError
        If no mix of the fields gives every derived feature a value that its schema allows.
    """
    carried = [index for index, feature in enumerate(schema) if not is_derived(feature)]
    drawn = features[:, carried]
    if facts and fact_values is not None:
        drawn = np.column_stack([drawn, fact_values])
    fields = request_fields(schema, facts)
    nullable = np.array([field.is_nullable for field in fields])
    rows = _completed(_mixed(drawn, nullable, seed), schema, facts)
    encoder = RowEncoder(schema)
    table = np.array([encoder.row(row.values) for row in rows], dtype=np.float64)
    row_margins = margins(model_text, table)
    row_scores = scores(row_margins, calibration)
    explained = contributions(model_text, table)
    names, fact_names = [feature.name for feature in schema], [fact.name for fact in facts]
    largest = LARGEST_REMAINDER if format_of(model_text) == "lightgbm" else np.inf
    return tuple(
        GoldenRow(
            features=dict(zip(names, row.values, strict=True)),
            margin=float(margin),
            score=float(score),
            contributions=tuple(added.tolist()) if abs(added.sum() - margin) <= largest else None,
            occurred_at=row.occurred_at or msgspec.UNSET,
            facts={name: row.carried[name] for name in fact_names} or msgspec.UNSET,
        )
        for row, margin, score, added in zip(rows, row_margins, row_scores, explained, strict=True)
    )


def _mixed(values: FloatArray, nullable: BoolArray, seed: int) -> FloatArray:
    """Rows of quantiles, each column's drawn independently: shape ``(n_rows, n_columns)``."""
    ordered = np.sort(values, axis=0)
    present = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    width = values.shape[1]

    def at(shares: FloatArray) -> FloatArray:
        """A quantile of each column, always a value that occurred, so that integers stay integers."""
        positions = np.rint(shares * (present - 1)).astype(np.int64)
        found: FloatArray = ordered[positions, np.arange(width)]
        return found

    generator = np.random.default_rng(seed)
    mixed = np.column_stack([generator.permutation(MIXED_ROWS) / (MIXED_ROWS - 1) for _ in range(width)])
    rows = [at(np.full(width, share)) for share in (0.0, 1.0, 0.5)] + [at(shares) for shares in mixed]
    if nullable.any():
        rows.append(np.where(nullable, np.nan, rows[2]))
    return np.ascontiguousarray(rows)


def _completed(table: FloatArray, schema: Sequence[Feature], facts: Sequence[Feature]) -> list[_Row]:
    """The rows with their derived features; those that a server would refuse are left out."""
    fields = request_fields(schema, facts)
    has_derived = any(is_derived(feature) for feature in schema)
    complete = completion(schema, facts)
    rows = []
    for number, row in enumerate(table.tolist()):
        carried = dict(zip((field.name for field in fields), map(_value, row, fields), strict=True))
        moment = FIRST_MOMENT + number * BETWEEN_MOMENTS
        try:
            values = complete(tuple(carried.values()), moment)
        except RowError:
            continue
        rows.append(_Row(carried, values, moment if has_derived else None))
    if not rows:
        raise LifecycleError(
            "Expected fields whose derived features are within their schema, got none among the rows that were mixed "
            "from the training set; widen the derived features' range, or make them nullable"
        )
    return rows


def _value(number: float, field: Feature) -> Value:
    """A value as a caller would send it."""
    if np.isnan(number):
        return None
    if field.dtype == "category":
        return (field.categories or ())[int(number)]
    return int(number) if field.dtype == "int" else number
