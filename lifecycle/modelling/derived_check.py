"""Checks that a training set's derived features are those that the server would compute, before a model learns them."""

import math
from collections.abc import Sequence

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import BoolArray, FloatArray
from lifecycle.tables.columns import named
from serving.contract.derivation import completion, is_derived, request_fields
from serving.contract.documents import Feature
from serving.contract.features import RowEncoder, Value
from serving.contract.row_compiler import RowError

CHUNK_ROWS = 100_000
"""Rows that are Python values at a time."""


def check_derived(spec: RiskModelSpec, examples: Examples, where: str = "the training set") -> None:
    """Evaluate every derived feature as the server does, and compare it with the mart's column bit for bit.

    Parameters
    ----------
    where
        What the examples are, for the message.

    Raises
    ------
    LifecycleError
        If the training set was frozen without the facts, or a value differs: the mart's column is another expression,
        or was built from an earlier one. The message counts the rows and numbers the first ones.
    """
    if spec.facts and examples.facts is None:
        raise LifecycleError(
            f"Expected the facts {[fact.name for fact in spec.facts]}, got a training set that was frozen before the "
            f"model had them; materialise the training set again - at {where} of {spec.name}"
        )
    if not spec.has_derived_features:
        return
    schema, facts = spec.contract_features, spec.contract_facts
    for start in range(0, len(examples), CHUNK_ROWS):
        some = examples.rows(np.arange(start, min(start + CHUNK_ROWS, len(examples))))
        differs = ~_same_bits(some.features, _computed(some, schema, facts))
        for position in np.flatnonzero(differs.any(axis=0)):
            rows = np.flatnonzero(differs[:, position])
            raise LifecycleError(
                f"Expected the values that {schema[position].name!r} has by its expression, got {rows.size} others in "
                f"{len(some)} rows, first at rows {named(rows + start)}; let the mart's column be the macro `derived`, "
                f"and build with `lifecycle features build --full` - at `features.{position}.from` - at {where} of "
                f"{spec.name}"
            )


def _computed(examples: Examples, schema: Sequence[Feature], facts: Sequence[Feature]) -> FloatArray:
    """The rows that the server would score, NaN throughout where it would refuse."""
    complete, encoder = completion(schema, facts), RowEncoder(schema)
    carried = [index for index, feature in enumerate(schema) if not is_derived(feature)]
    columns = examples.features[:, carried]
    if examples.facts is not None:
        columns = np.column_stack([columns, examples.facts])
    fields = request_fields(schema, facts)
    values = zip(*(_values(columns[:, at], field) for at, field in enumerate(fields)), strict=True)
    computed = np.full(examples.features.shape, np.nan)
    for number, (row, moment) in enumerate(zip(values, examples.occurred_at.tolist(), strict=True)):
        try:
            computed[number] = encoder.row(complete(row, moment))
        except RowError:
            continue
    return computed


def _values(column: FloatArray, field: Feature) -> list[Value]:
    """A column as a request carries it."""
    if field.dtype == "category":
        names = dict(enumerate(field.categories or ()))
        return [None if np.isnan(code) else names[int(code)] for code in column.tolist()]
    numbers: list[float] = column.tolist()
    if field.dtype == "int":
        return [None if math.isnan(number) else int(number) for number in numbers]
    return [None if math.isnan(number) else number for number in numbers]


def _same_bits(one: FloatArray, two: FloatArray) -> BoolArray:
    """Whether values are equal; NaN is null, and zero has no sign."""
    same: BoolArray = (one == two) | (np.isnan(one) & np.isnan(two))
    return same
