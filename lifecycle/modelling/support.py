"""The support of a reference column: the values that it has, and how often traffic like it leaves them."""

import numpy as np

from lifecycle.tables.arrays import BoolArray, FloatArray, IntArray

Intervals = tuple[tuple[float, float], ...]

DISCRETE_VALUES = 50
"""A column with at most so many distinct values has these values as its support."""
HOLE_SHARE = 0.2
"""A gap is a hole if it takes more than this share of the wider one of the bins on its two sides."""
CHUNK = 100_000
"""Terms of a sum in memory at a time."""


def support_of(values: FloatArray, edges: FloatArray) -> Intervals:
    """Closed intervals that hold every value, sorted; the gaps between them are holes without values.

    A column of few distinct values is supported by these values alone. In any other, the gap between two neighbours is
    a hole if it takes more than `HOLE_SHARE` of the width of their bins: between 0 and the positive values of a
    zero-inflated column, between two groups, between the body and an outlier.

    Parameters
    ----------
    values
        Shape ``(n,)``, without ``NaN``.
    edges
        The column's bins (`modelling.reference.BinnedColumn`).

    Examples
    --------
    >>> support_of(np.array([0.0, 0.0, 7.0]), np.array([0.0]))
    ((0.0, 0.0), (7.0, 7.0))
    """
    distinct = np.unique(values)
    if len(distinct) <= DISCRETE_VALUES:
        return tuple((value, value) for value in distinct.tolist())
    bins = np.searchsorted(edges, distinct, side="left")
    first, last = np.searchsorted(bins, bins, side="left"), np.searchsorted(bins, bins, side="right") - 1
    width = distinct[last] - distinct[first]
    is_hole = np.diff(distinct) > HOLE_SHARE * np.maximum(width[:-1], width[1:])
    lows = distinct[np.append(True, is_hole)]
    highs = distinct[np.append(is_hole, True)]
    return tuple(zip(lows.tolist(), highs.tolist(), strict=True))


def is_inside(support: Intervals, values: FloatArray) -> BoolArray:
    """Whether each value, none of them ``NaN``, is in one of the intervals."""
    if not support:
        return np.zeros(len(values), dtype=np.bool_)
    lows, highs = np.array(support).T
    position = np.searchsorted(lows, values, side="right") - 1
    inside: BoolArray = (position >= 0) & (values <= highs[position])
    return inside


def outside_rows(support: Intervals, has_missing: bool, column: FloatArray) -> int:
    """Rows of `column` outside a support; missing values are outside if the reference has none."""
    is_missing = np.isnan(column)
    outside = int((~is_inside(support, column[~is_missing])).sum())
    return outside if has_missing else outside + int(is_missing.sum())


def outside_rows_of_blocks(column: FloatArray, edges: FloatArray, blocks: IntArray) -> int:
    """Rows of a reference outside the support of its other blocks: how often unchanged traffic leaves the support.

    Leaving out whole weeks, not single rows, counts what belongs together as it occurs, such as one customer's
    payments (the estimate of Robbins, Estimating the total probability of the unobserved outcomes of an experiment,
    1968, with blocks for single outcomes).

    Parameters
    ----------
    column, blocks
        Shape ``(n,)``; `column` with ``NaN`` for missing.
    """
    rows = 0
    for block in np.unique(blocks):
        others, own = column[blocks != block], column[blocks == block]
        is_missing = np.isnan(others)
        rows += outside_rows(support_of(others[~is_missing], edges), bool(is_missing.any()), own)
    return rows


def outside_probability(outside: int, rows: int, reference_outside: int, reference_rows: int) -> float:
    """Probability of at least `outside` of `rows` rows outside the support, if nothing has changed.

    The number is beta-binomial: the share that leaves the support of a sample has a beta distribution (Wilks,
    Statistical prediction with special reference to the problem of tolerance limits, 1942). Its parameters are those of
    the upper limit of Clopper and Pearson (The use of confidence or fiducial limits, 1934) for `reference_outside` of
    `reference_rows`, so that a column that never left its support may still do so.

    Examples
    --------
    >>> outside_probability(0, 1000, 0, 10_000)
    1.0
    >>> f"{outside_probability(10, 1000, 0, 10_000):.0e}"
    '4e-11'
    """
    from scipy.special import betaln, gammaln

    inside = reference_rows - reference_outside
    if outside <= 0 or inside <= 0:
        return 1.0
    total = 0.0
    for start in range(outside, rows + 1, CHUNK):
        counts = np.arange(start, min(start + CHUNK, rows + 1), dtype=np.float64)
        choices = gammaln(rows + 1) - gammaln(counts + 1) - gammaln(rows - counts + 1)
        shares = betaln(counts + reference_outside + 1, rows - counts + inside) - betaln(reference_outside + 1, inside)
        total += float(np.exp(choices + shares).sum())
    return min(total, 1.0)
