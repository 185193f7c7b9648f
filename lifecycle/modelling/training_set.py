"""Point-in-time examples of a model, and their labels as known at a given date."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import AnyArray, BoolArray, FloatArray, IntArray, TimeArray, days, instant
from lifecycle.tables.columns import feature_column, float_column, key_column, time_column, whole_column


@dataclass(frozen=True)
class Examples:
    """Rows of a training set in order of `occurred_at`, then `transaction_id`.

    Every array has ``n`` rows. `entity` is int64 or an object array of text; `reported_at` is ``NaT`` where no positive
    was reported; `features` is float64 in C order, shape ``(n, n_features)`` in the schema's order, ``NaN`` for
    null and the index for a category.
    """

    transaction_id: IntArray
    entity: AnyArray
    occurred_at: TimeArray
    reported_at: TimeArray
    amount: FloatArray
    features: FloatArray
    feature_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.transaction_id)

    def rows(self, index: IntArray | BoolArray) -> "Examples":
        """The examples at `index` (positions or a mask), in that order."""
        return Examples(
            transaction_id=self.transaction_id[index],
            entity=self.entity[index],
            occurred_at=self.occurred_at[index],
            reported_at=self.reported_at[index],
            amount=self.amount[index],
            features=np.ascontiguousarray(self.features[index]),
            feature_names=self.feature_names,
        )


def examples_from_table(table: pa.Table, spec: RiskModelSpec) -> Examples:
    """Read a model's mart, joined with its outcomes, strictly.

    Parameters
    ----------
    table
        The columns of ``spec.columns``, ``spec.label.reported_at`` (null where nothing was reported) and every feature.
    spec
        The model.

    Raises
    ------
    LifecycleError
        If a column is missing or of another type, a value is null, out of range or an unknown category where the
        schema does not allow it; the message counts the rows and numbers the first ones.
    """
    columns = spec.columns
    wanted = [columns.transaction, columns.entity, columns.occurred_at, columns.amount, spec.label.reported_at]
    missing = sorted({*wanted, *spec.feature_names} - set(table.column_names))
    if missing:
        raise LifecycleError(
            f"Expected {len(spec.features)} features and the columns {wanted}, missing {missing} "
            f"- at the training set of {spec.name}"
        )
    transaction_id = whole_column(table, columns.transaction)
    occurred_at = time_column(table, columns.occurred_at)
    order = np.lexsort((transaction_id, occurred_at))
    features = np.empty((table.num_rows, len(spec.features)), dtype=np.float64)
    for position, feature in enumerate(spec.features):
        features[:, position] = feature_column(table, feature)[order]
    return Examples(
        transaction_id=transaction_id[order],
        entity=key_column(table, columns.entity)[order],
        occurred_at=occurred_at[order],
        reported_at=time_column(table, spec.label.reported_at, is_nullable=True)[order],
        amount=float_column(table, columns.amount)[order],
        features=features,
        feature_names=spec.feature_names,
    )


def labels(examples: Examples, as_of: dt.date, maturity_days: int) -> tuple[BoolArray, BoolArray]:
    """Labels of the examples as known before `as_of`.

    Returns
    -------
    tuple
        ``is_positive``: reported before `as_of`; ``is_mature``: it happened more than `maturity_days` before `as_of`,
        so that its waiting time is over and ``False`` may be read as negative. Both of shape ``(n,)``. A report at the
        instant `as_of` is not yet known, so an example exactly `maturity_days` old is not yet mature.
    """
    cutoff = instant(as_of)
    is_positive = ~np.isnat(examples.reported_at) & (examples.reported_at < cutoff)
    is_mature = examples.occurred_at < cutoff - days(maturity_days)
    return is_positive, is_mature
