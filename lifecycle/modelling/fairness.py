"""Rates of a model's decisions by group, and how far they lie apart.

A row is one decision: what happened (`y_true`), what the model said (`y_pred`), and the group of the person. Everything
follows from four counts a group, so that one pass over the rows is enough: a million rows take a tenth of a second.
Rates and disparities agree with fairlearn's `MetricFrame` to 1e-12 wherever a rate is defined.

Where nothing can be divided, fairlearn says 0: a group without events gets a true positive rate *and* a false negative
rate of 0, and the smallest-to-largest ratio becomes 0 as if that group had been treated worst. Here such a rate is
``NaN``, is left out of the disparities of that rate only, and `Disparities.undefined` names the group.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.tables.arrays import BoolArray, IntArray

Group = str | int | bool | None
"""Name of a group; ``None`` is the group of the rows whose attribute is unknown."""
RATES = ("accuracy", "selection_rate", "tpr", "fpr", "tnr", "fnr", "precision")
"""The rates of a group, each with a ratio and a difference in `disparities`."""


class GroupMetrics(TypedDict):
    """Counts and rates of one group; a rate without a row in its denominator is ``NaN``."""

    rows: int
    events: int
    """Rows with a true event."""
    accuracy: float
    """Share of rows whose prediction is the outcome."""
    selection_rate: float
    """Share of rows with a predicted event."""
    tpr: float
    """Share of the events predicted as events: sensitivity, recall."""
    fpr: float
    """Share of the other rows predicted as events."""
    tnr: float
    fnr: float
    precision: float
    """Share of predicted events that are events."""


class Disparities(dict[str, float]):
    """``{rate}_ratio`` (smallest through largest) and ``{rate}_diff`` (largest minus smallest) of every rate."""

    undefined: dict[str, tuple[Hashable, ...]]
    """The groups that a rate leaves out because it is undefined for them, by rate; only rates that leave one out."""

    def __init__(self, values: Mapping[str, float], undefined: Mapping[str, tuple[Hashable, ...]]) -> None:
        super().__init__(values)
        self.undefined = dict(undefined)


def group_metrics(y_true: Any, y_pred: Any, groups: Any) -> dict[Group, GroupMetrics]:
    """Rows, events and rates of each group.

    Parameters
    ----------
    y_true, y_pred
        Whether the event happened, and whether it was predicted: booleans, or the numbers 0 and 1; shape ``(n,)``.
        Lists, NumPy and Arrow arrays and pandas Series; rows are matched by position.
    groups
        Text, whole numbers or booleans, shape ``(n,)``. Rows without a value are a group of their own, ``None``.

    Returns
    -------
    dict
        By group, in order of the names, ``None`` last.

    Raises
    ------
    ValueError
        If there is no row, the lengths differ, an outcome or prediction is missing or is neither 0 nor 1, or the groups
        are of another type.

    Examples
    --------
    >>> metrics = group_metrics([1, 1, 0, 0, 1], [1, 0, 0, 1, 1], ["a", "a", "a", "b", "b"])
    >>> metrics["a"]["tpr"], metrics["b"]["selection_rate"]
    (0.5, 1.0)
    """
    outcomes, predictions = _binary(y_true, "y_true"), _binary(y_pred, "y_pred")
    codes, names = group_codes(groups)
    if not len(outcomes) == len(predictions) == len(codes):
        raise ValueError(
            "Expected as many outcomes as predictions and groups, "
            f"got {len(outcomes)}, {len(predictions)} and {len(codes)}"
        )
    if not len(codes):
        raise ValueError("Expected at least one row, got none")
    counts = confusion_counts(outcomes, predictions, codes, len(names))
    return {name: metrics_of_counts(*map(int, of_group)) for name, of_group in zip(names, counts, strict=True)}


def disparities(metrics: Mapping[Any, Mapping[str, Any]]) -> Disparities:
    """Smallest-to-largest ratio and largest-minus-smallest difference of each rate over the groups.

    A ratio of 1 and a difference of 0 are equal treatment. Both are ``NaN`` if the rate is undefined for all groups.
    The ratio is ``NaN`` if the rate is 0 in all groups, as in fairlearn; the difference then is 0.

    Parameters
    ----------
    metrics
        The answer of `group_metrics`, or some of its groups. A group without a name (``None``) counts as the others do;
        take it out first to compare the known ones.

    Raises
    ------
    ValueError
        If there is no group.

    Examples
    --------
    >>> found = disparities(group_metrics([1, 1, 0, 0], [1, 0, 1, 1], ["a", "a", "a", "b"]))
    >>> round(found["selection_rate_ratio"], 4), round(found["selection_rate_diff"], 4), found.undefined["tpr"]
    (0.6667, 0.3333, ('b',))
    """
    if not metrics:
        raise ValueError("Expected the metrics of at least one group, got none")
    values: dict[str, float] = {}
    undefined: dict[str, tuple[Hashable, ...]] = {}
    for rate in RATES:
        known = [float(of_group[rate]) for of_group in metrics.values() if not math.isnan(of_group[rate])]
        least, most = (min(known), max(known)) if known else (math.nan, math.nan)
        values[f"{rate}_ratio"] = least / most if most else math.nan
        values[f"{rate}_diff"] = most - least
        if len(known) < len(metrics):
            undefined[rate] = tuple(name for name, of_group in metrics.items() if math.isnan(of_group[rate]))
    return Disparities(values, undefined)


def confusion_counts(outcomes: BoolArray, predictions: BoolArray, codes: IntArray, groups: int) -> IntArray:
    """True negatives, false positives, false negatives and true positives of each group, shape ``(groups, 4)``."""
    cells = codes * 4 + outcomes.astype(np.int64) * 2 + predictions
    return np.bincount(cells, minlength=4 * groups).reshape(groups, 4)


def metrics_of_counts(
    true_negatives: int, false_positives: int, false_negatives: int, true_positives: int
) -> GroupMetrics:
    """Counts and rates of one group from its confusion matrix.

    Examples
    --------
    >>> metrics_of_counts(6, 2, 1, 1)["precision"]
    0.3333333333333333
    """
    events, others = true_positives + false_negatives, true_negatives + false_positives
    rows, selected = events + others, true_positives + false_positives
    return GroupMetrics(
        rows=rows,
        events=events,
        accuracy=_share(true_positives + true_negatives, rows),
        selection_rate=_share(selected, rows),
        tpr=_share(true_positives, events),
        fpr=_share(false_positives, others),
        tnr=_share(true_negatives, others),
        fnr=_share(false_negatives, events),
        precision=_share(true_positives, selected),
    )


def group_codes(groups: Any) -> tuple[IntArray, list[Group]]:
    """A number from 0 for the group of each row, and the groups' names by number: in order, ``None`` last.

    Raises
    ------
    ValueError
        As `group_metrics`.
    """
    values = _arrow(groups, "groups")
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = _whole(values)
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_text(kind) or pa.types.is_null(kind)):
        raise ValueError(f"Expected text, whole numbers or booleans, got {kind} - at `groups`")
    encoded = values.dictionary_encode(null_encoding="encode")
    names: list[Group] = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=lambda position: (names[position] is None, names[position]))
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[order] = np.arange(len(names))
    return ranks[encoded.indices.to_numpy(zero_copy_only=False)], [names[position] for position in order]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _binary(values: Any, name: str) -> BoolArray:
    """Zeros and ones as booleans."""
    array = _arrow(values, name)
    kind = array.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        if len(array):
            raise ValueError(f"Expected booleans or the numbers 0 and 1, got {kind} - at `{name}`")
        return np.zeros(0, dtype=np.bool_)
    if array.null_count:
        raise ValueError(f"Expected a value in every row, got none in {array.null_count} rows - at `{name}`")
    numbers = array.to_numpy(zero_copy_only=False)
    if numbers.dtype == np.bool_:
        return np.asarray(numbers)
    is_one = numbers == 1
    others = np.flatnonzero(~(is_one | (numbers == 0)))
    if len(others):
        raise ValueError(
            f"Expected 0 or 1 in every row, got another value in {len(others)} rows, the first at row {others[0]}; "
            f"compare scores with the decision threshold first - at `{name}`"
        )
    return np.asarray(is_one)


def _whole(values: pa.Array) -> pa.Array:
    """Whole numbers that pandas stores as floats because some are missing; ``NaN`` is missing."""
    values = pc.if_else(pc.is_nan(values), None, values)
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise ValueError("Expected text, whole numbers or booleans, got fractions - at `groups`") from error


def _arrow(values: Any, name: str) -> pa.Array:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        # Arrow's own message quotes the value, which may be a person's.
        raise ValueError(f"Expected one value of one type a row, got {type(values).__name__} - at `{name}`") from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
