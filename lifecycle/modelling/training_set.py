"""Point-in-time examples of a model, and their labels as known at a given date."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lifecycle.errors import LifecycleError
from lifecycle.spec.fields import FieldSpec
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import AnyArray, BoolArray, FloatArray, IntArray, TimeArray, days, instant
from lifecycle.tables.columns import feature_column, flag_column, float_column, key_column, time_column


@dataclass(frozen=True)
class Examples:
    """Rows of a training set in order of `occurred_at`, then `id`.

    Every array has ``n`` rows. `entity` is int64 or an object array of text; `known_at` is ``NaT`` where no positive
    was reported; `features` is float64 in C order, shape ``(n, n_features)`` in the schema's order, ``NaN`` for
    null and the index for a category; so is `facts`, shape ``(n, n_facts)``, ``None`` if the
    training set was frozen before the model had them. `clusters` are the columns of ``examples.clusters``, none of them
    if it was frozen before the model had them.
    """

    id: AnyArray
    entity: AnyArray
    occurred_at: TimeArray
    known_at: TimeArray
    amount: FloatArray | None
    features: FloatArray
    feature_names: tuple[str, ...]
    outcome: BoolArray | None = None
    facts: FloatArray | None = None
    clusters: tuple[AnyArray, ...] = ()

    def __len__(self) -> int:
        return len(self.id)

    def rows(self, index: IntArray | BoolArray) -> "Examples":
        """The examples at `index` (positions or a mask), in that order."""
        return Examples(
            id=self.id[index],
            entity=self.entity[index],
            occurred_at=self.occurred_at[index],
            known_at=self.known_at[index],
            amount=None if self.amount is None else self.amount[index],
            features=np.ascontiguousarray(self.features[index]),
            feature_names=self.feature_names,
            outcome=None if self.outcome is None else self.outcome[index],
            facts=None if self.facts is None else np.ascontiguousarray(self.facts[index]),
            clusters=tuple(column[index] for column in self.clusters),
        )


def examples_from_table(table: pa.Table, spec: RiskModelSpec) -> Examples:
    """Read a model's mart, joined with its outcomes, strictly.

    Parameters
    ----------
    table
        The columns of ``spec.columns``, ``spec.label.reported_at`` (null where nothing was reported) and every feature;
        the facts and the clusters, unless it was frozen before the model had them.
    spec
        The model.

    Raises
    ------
    LifecycleError
        If a column is missing or of another type, a value is null, out of range or an unknown category where the
        schema does not allow it; the message counts the rows and numbers the first ones.
    """
    columns = spec.columns
    wanted = [columns.id, columns.entity, columns.occurred_at, *filter(None, [columns.amount]), *spec.label.columns]
    missing = sorted({*wanted, *spec.feature_names} - set(table.column_names))
    if missing:
        raise LifecycleError(
            f"Expected {len(spec.features)} features and the columns {wanted}, missing {missing} "
            f"- at the training set of {spec.name}"
        )
    clusters = spec.examples.clusters if set(spec.examples.clusters) <= set(table.column_names) else ()
    has_facts = {fact.name for fact in spec.facts} <= set(table.column_names)
    ids, occurred_at = key_column(table, columns.id), time_column(table, columns.occurred_at)
    # Texts by their codes, since NumPy sorts no objects by several keys.
    order = np.lexsort((np.unique(ids, return_inverse=True)[1].reshape(-1), occurred_at))
    known_at, outcome = _outcomes(table, spec)
    return Examples(
        id=ids[order],
        entity=key_column(table, columns.entity)[order],
        occurred_at=occurred_at[order],
        known_at=known_at[order],
        amount=float_column(table, columns.amount)[order] if columns.amount else None,
        features=_columns(table, spec.features, order),
        feature_names=spec.feature_names,
        outcome=None if outcome is None else outcome[order],
        facts=_columns(table, spec.facts, order) if has_facts else None,
        clusters=tuple(key_column(table, name)[order] for name in clusters),
    )


def _columns(table: pa.Table, fields: Sequence[FieldSpec], order: IntArray) -> FloatArray:
    """The fields as the model sees features, in the order of the examples: shape ``(n, n_fields)``."""
    values = np.empty((table.num_rows, len(fields)), dtype=np.float64)
    for position, field in enumerate(fields):
        values[:, position] = feature_column(table, field)[order]
    return values


def _outcomes(table: pa.Table, spec: RiskModelSpec) -> tuple[TimeArray, BoolArray | None]:
    """When each label became known, and which it is; the latter only of labels by column."""
    known_at = time_column(table, spec.label.known_column, is_nullable=True)
    if spec.label.column is None:
        return known_at, None
    outcome, is_null = flag_column(table, spec.label.column)
    # An outcome without its time, or a time without an outcome, is not known.
    return np.where(is_null, np.datetime64("NaT", "us"), known_at), outcome


def labels(examples: Examples, as_of: dt.date, maturity_days: int) -> tuple[BoolArray, BoolArray]:
    """Labels of the examples as known before `as_of`, by report or by column.

    Returns
    -------
    tuple
        ``is_positive``: reported before `as_of`; ``is_mature``: it happened more than `maturity_days` before `as_of`,
        so that its waiting time is over and ``False`` may be read as negative. Both of shape ``(n,)``. A report at the
        instant `as_of` is not yet known, so an example exactly `maturity_days` old is not yet mature.
    """
    cutoff = instant(as_of)
    is_known = ~np.isnat(examples.known_at) & (examples.known_at < cutoff)
    is_mature = examples.occurred_at < cutoff - days(maturity_days)
    if examples.outcome is None:
        return is_known, is_mature
    return is_known & examples.outcome, is_known & is_mature
