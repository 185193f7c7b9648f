"""Variance and interval of a metric whose rows are clustered in one or several ways at once: by card and by terminal.

Two-way clustering: Cameron, Gelbach and Miller, Robust Inference With Multiway Clustering (2011), equation 2.9,
``V = V_card + V_terminal - V_card_and_terminal``, with more ways by inclusion and exclusion. It is not always above the
variance of one way alone; the largest of them is taken (Davezies, D'Haultfoeuille and Guyonvarch, Empirical Process
Results for Exchangeable Arrays (2021), discuss that the sum may even be negative). The interval is Student's t with the
effective number of clusters in place of their number: where few clusters hold most of the influence, few are what the
data have (Carter, Schnepel and Steigerwald, Asymptotic Behavior of a t-Test Robust to Cluster Heterogeneity (2017)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.evaluation import Interval
from lifecycle.tables.arrays import AnyArray, FloatArray, IntArray


@dataclass(frozen=True)
class ClusteredVariance:
    """Variance of an estimate, and the degrees of freedom of its interval."""

    variance: float
    degrees: float


@dataclass(frozen=True)
class Clustering:
    """Number of each row's cluster, from 0, by some of the ways together; `sign` is that of its variance in the sum."""

    codes: IntArray
    sign: int
    is_one_way: bool


def clusterings(columns: Sequence[AnyArray]) -> tuple[Clustering, ...]:
    """Every way of clustering and every intersection of ways; computed once for all metrics.

    Parameters
    ----------
    columns
        A column for each way in which rows belong together, shape ``(n,)`` each.

    Raises
    ------
    LifecycleError
        Without a column.
    """
    if not columns:
        raise LifecycleError("Expected at least one column of clusters, got none - at the clustered variance")
    ways = [np.unique(column, return_inverse=True)[1].reshape(-1).astype(np.int64) for column in columns]
    found = []
    for size in range(1, len(ways) + 1):
        for chosen in combinations(ways, size):
            codes = chosen[0]
            for further in chosen[1:]:
                codes = np.unique(codes * (int(further.max()) + 1) + further, return_inverse=True)[1].reshape(-1)
            found.append(Clustering(codes.astype(np.int64), 1 if size % 2 else -1, is_one_way=size == 1))
    return tuple(found)


def clustered_variance(influence: FloatArray, clusters: Sequence[Clustering]) -> ClusteredVariance:
    """Variance of an estimate from the influence of each row, shape ``(n,)`` (`influence.influences`).

    Examples
    --------
    Every row a cluster of its own gives the variance of a mean:

    >>> values = np.array([1.0, 2.0, 3.0, 6.0])
    >>> found = clustered_variance((values - values.mean()) / 4, clusterings([np.arange(4)]))
    >>> bool(np.isclose(found.variance, values.var(ddof=1) / 4))
    True
    """
    total, ways = 0.0, []
    for each in clusters:
        sums: FloatArray = np.bincount(each.codes, weights=influence).astype(np.float64)
        variance = _variance(sums)
        total += each.sign * variance
        if each.is_one_way:
            ways.append((variance, _effective(sums)))
    return ClusteredVariance(max(total, *(variance for variance, _ in ways)), min(degrees for _, degrees in ways))


def clustered_interval(
    value: float, influence: FloatArray, clusters: Sequence[Clustering], confidence: float
) -> Interval:
    """The two-sided interval of an estimate; ``NaN`` at both ends if there are fewer than two effective clusters."""
    return clustered_test(value, influence, clusters, confidence)[0]


def clustered_test(
    value: float, influence: FloatArray, clusters: Sequence[Clustering], confidence: float
) -> tuple[Interval, float]:
    """The two-sided interval of an estimate, and the p-value that it is 0 (1 without a finite variance)."""
    from scipy.stats import t

    found = clustered_variance(influence, clusters)
    if not np.isfinite(value) or not np.isfinite(found.variance):
        return Interval(value, float("nan"), float("nan")), 1.0
    deviation = found.variance**0.5
    half = float(t.ppf((1 + confidence) / 2, found.degrees)) * deviation
    in_deviations = abs(value) / deviation if deviation else float("inf") if value else 0.0
    p_value = 2 * float(t.sf(in_deviations, found.degrees))
    return Interval(value, value - half, value + half), p_value


def _variance(sums: FloatArray) -> float:
    count = len(sums)
    return float((sums**2).sum()) * count / (count - 1) if count > 1 else float("nan")


def _effective(sums: FloatArray) -> float:
    """Effective number of clusters less one, at least 1: three times the squared sum of squares by the sum of fourths.

    Of normal influences this is their number; a single cluster with all of the influence gives 3.
    """
    fourths = float((sums**4).sum())
    if fourths == 0:
        return float(max(len(sums) - 1, 1))
    return max(min(3 * float((sums**2).sum()) ** 2 / fourths, float(len(sums))) - 1, 1.0)
