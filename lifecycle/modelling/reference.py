"""The reference window of drift monitoring: bins and counts of a model's training traffic."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.support import Intervals, outside_rows, outside_rows_of_blocks, support_of
from lifecycle.tables.arrays import FloatArray, IntArray

SCORE = "score"


@dataclass(frozen=True)
class BinnedColumn:
    """Bins of one column, their counts in the reference window, and the column's support.

    Bin ``i`` is ``(edges[i - 1], edges[i]]``, open at both ends of the axis; one more bin counts the missing values:
    ``len(edges) + 2`` counts. `support` are the intervals that have values (`modelling.support`), ``None`` in a
    reference of before there was one; `outside` counts the reference's rows outside the support of its other blocks.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    support: Intervals | None = None
    outside: int = 0


@dataclass(frozen=True)
class ColumnCounts:
    """Rows of a window in the bins of a `BinnedColumn`, and those outside its support."""

    bins: tuple[int, ...]
    outside: int = 0

    def __add__(self, other: "ColumnCounts") -> "ColumnCounts":
        bins = tuple(one + two for one, two in zip(self.bins, other.bins, strict=True))
        return ColumnCounts(bins, self.outside + other.outside)


@dataclass(frozen=True)
class Reference:
    """Bins by column: every feature, and the score under `SCORE`; JSON-serialisable.

    `start` and `end` bound the window, half-open.
    """

    columns: dict[str, BinnedColumn]
    start: str
    end: str


def freeze(
    column: FloatArray, bins: int, categories: int | None = None, blocks: IntArray | None = None
) -> BinnedColumn:
    """Bins of about equally many rows, frozen with their counts and the column's support.

    A value with as many rows as a bin should have (0 of a share, a weekday flag) gets its own bin, and the others share
    the remaining bins; with at most `bins` distinct values each is its own bin.

    Parameters
    ----------
    column
        Shape ``(n,)``, ``NaN`` for missing, a category as its index.
    bins
        Target number of bins, without the one for missing values.
    categories
        Of a category, the number of its values: each is its own bin, also one that the window lacks, and one more is
        for values of no category.
    blocks
        Number of each row's week, or day; without it no row counts as outside.
    """
    values = column[~np.isnan(column)]
    edges = np.arange(float(categories)) if categories else _edges(values, bins)
    return BinnedColumn(
        edges=tuple(edges.tolist()),
        counts=tuple(bin_counts(edges, column).tolist()),
        support=support_of(values, edges),
        outside=0 if blocks is None else outside_rows_of_blocks(column, edges, blocks),
    )


def count(reference: Reference, columns: Mapping[str, FloatArray]) -> dict[str, ColumnCounts]:
    """Rows of a window in each of the reference's bins and outside its support, by column.

    Parameters
    ----------
    columns
        Each of the reference's columns, shape ``(n,)``, ``NaN`` for missing, a category as its index.

    Raises
    ------
    LifecycleError
        If a column is missing.
    """
    missing = sorted(set(reference.columns) - set(columns))
    if missing:
        raise LifecycleError(f"Expected {len(reference.columns)} columns, missing {missing} - at the window to compare")
    return {name: _counted(binned, columns[name]) for name, binned in reference.columns.items()}


def _counted(binned: BinnedColumn, column: FloatArray) -> ColumnCounts:
    bins = tuple(bin_counts(np.asarray(binned.edges), column).tolist())
    if binned.support is None:
        return ColumnCounts(bins)
    return ColumnCounts(bins, outside_rows(binned.support, binned.counts[-1] > 0, column))


def bin_counts(edges: FloatArray, column: FloatArray) -> IntArray:
    """Rows of `column` in each bin, the missing ones last; shape ``(len(edges) + 2,)``."""
    missing = np.isnan(column)
    bins = np.searchsorted(edges, column[~missing], side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return np.append(counts, int(missing.sum())).astype(np.int64)


def _edges(values: FloatArray, bins: int) -> FloatArray:
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= bins:
        return distinct[:-1]
    heavy = counts >= len(values) / bins
    # A value is alone in its bin when the largest value below it is an edge, too.
    own = np.concatenate([distinct[heavy], distinct[np.flatnonzero(heavy[1:])]])
    light = np.repeat(distinct[~heavy], counts[~heavy])
    shared = max(bins - int(heavy.sum()), 2)
    inner = np.quantile(light, np.arange(1, shared) / shared, method="inverted_cdf") if len(light) else light
    candidates = np.unique(np.concatenate([own, inner]))
    edges: FloatArray = candidates[candidates < distinct[-1]]
    return edges
