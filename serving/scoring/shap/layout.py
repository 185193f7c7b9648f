"""A forest laid out as `serving.scoring.shap.kernel` walks it.

The layout is flat and ordered by depth, and holds everything that does not depend on the row.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.scoring.forest import (
    CATEGORICAL,
    DEFAULT_LEFT,
    MISSING_NAN,
    MISSING_ZERO,
    NAN_IN_SET,
    Forest,
    IntArray,
    RealArray,
)
from serving.scoring.shap.kernel import (
    EXACT_NAN_LEFT,
    EXACT_NAN_RIGHT,
    LANES,
    NAN_IS_ZERO,
    NAN_LEFT,
    NAN_RIGHT,
    ZERO_LEFT,
    ZERO_RIGHT,
)

_FIRST, _CLOSED, _REPEATED = 0, 1, 2
_CACHE_LINE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The kernel's tables, flat; its constants describe their rows.

    A *job* is one tree at `LANES` quadrature points. A *rule* is two vectors, `absent` and `slope`; each job has one
    for the first split on a feature, one for a split that is closed, and one for each further split on a feature.
    """

    n_features: int
    expected: float
    columns: IntArray
    categories: IntArray
    words: IntArray
    reals: RealArray
    wholes: NDArray[np.int32]
    leaf_values: RealArray
    rules: RealArray
    jobs: IntArray
    weights: RealArray
    most_splits: int


@dataclass(frozen=True, slots=True)
class _Trees:
    """First split of each tree, number of its splits, and the tree of each split."""

    starts: IntArray
    sizes: IntArray
    of: IntArray

    @property
    def first_splits(self) -> IntArray:
        """The first split of each split's tree."""
        return self.starts[self.of]

    @property
    def leaf_starts(self) -> IntArray:
        """The first leaf of each tree; it has one leaf more than splits."""
        return self.starts + np.arange(len(self.starts))


@dataclass(frozen=True, slots=True)
class _Paths:
    """Properties of the path from the root to each split.

    `before` is the next split above on the same feature, -1 for none, and `is_left` whether the path goes left there.
    `share` is the share of the training rows that passed all such splits. `degree` counts the features of the
    path, the split's own included.
    """

    before: IntArray
    is_left: NDArray[np.bool_]
    share: RealArray
    degree: IntArray


def lay_out(forest: Forest) -> Layout:
    """The layout of a forest.

    The expected value is the libraries' own: each tree's leaves weighed by their training rows, or for XGBoost by their
    sums of hessians.
    """
    forest = _by_depth(forest)
    starts = np.flatnonzero(np.diff(forest.tree, prepend=-1))
    trees = _Trees(starts, np.diff(np.append(starts, len(forest.tree))), forest.tree)
    shares = np.column_stack([_count_of(forest, forest.left), _count_of(forest, forest.right)])
    shares /= forest.count[:, np.newaxis]
    paths = _paths(forest, shares)
    values, columns, categories = _questions(forest)
    rules, jobs, weights = _jobs(trees, paths)
    threshold = np.where(forest.flags & CATEGORICAL != 0, 0.0, forest.threshold)
    return Layout(
        n_features=forest.n_features,
        expected=_expected(forest, trees),
        columns=columns.ravel(),
        categories=categories.ravel(),
        words=forest.words,
        reals=np.column_stack([threshold, shares]).ravel(),
        wholes=_wholes(forest, trees, paths, values).astype(np.int32).ravel(),
        leaf_values=forest.leaf_value,
        rules=aligned(rules),
        jobs=jobs.ravel(),
        weights=aligned(weights),
        most_splits=int(trees.sizes.max(initial=0)),
    )


def aligned(values: RealArray) -> RealArray:
    """A flat copy aligned to a cache line: a vector that crosses one costs two loads."""
    raw = np.zeros(values.nbytes + _CACHE_LINE_BYTES, np.uint8)
    offset = -raw.ctypes.data % _CACHE_LINE_BYTES
    copy = raw[offset : offset + values.nbytes].view(np.float64)
    copy[:] = values.ravel()
    return copy


def _by_depth(forest: Forest) -> Forest:
    """The same forest with each tree's splits in order of depth.

    A split waits for its parent's output: in order of depth other splits fill the wait (0.12 instead of 0.13 ms a row).
    """
    depth = np.zeros(len(forest.tree), np.int64)
    for level, splits in enumerate(_levels(forest)):
        depth[splits] = level
    order = np.lexsort((depth, forest.tree))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    sorted_columns = {name: getattr(forest, name)[order] for name in ("tree", "feature", "threshold", "flags", "count")}
    for name in ("left", "right"):
        child = getattr(forest, name)[order]
        sorted_columns[name] = np.where(child >= 0, place[np.maximum(child, 0)], child)
    return replace(forest, **sorted_columns)


def _levels(forest: Forest) -> list[IntArray]:
    """The splits of all trees by depth, the roots first."""
    level = np.flatnonzero(np.diff(forest.tree, prepend=-1))
    levels = []
    while len(level):
        levels.append(level)
        children = np.concatenate([forest.left[level], forest.right[level]])
        level = np.sort(children[children >= 0])
    return levels


def _count_of(forest: Forest, child: IntArray) -> RealArray:
    """Training rows of each child."""
    if not len(child):
        return np.zeros(0)
    return np.where(child >= 0, forest.count[np.maximum(child, 0)], forest.leaf_count[np.maximum(~child, 0)])


def _paths(forest: Forest, shares: RealArray) -> _Paths:
    size = len(forest.tree)
    parent, is_left_child = np.full(size, -1), np.zeros(size, np.bool_)
    for children, is_left in ((forest.left, True), (forest.right, False)):
        has_split = np.flatnonzero(children >= 0)
        parent[children[has_split]], is_left_child[children[has_split]] = has_split, is_left
    before, side = parent.copy(), is_left_child.copy()
    while True:
        climbing = np.flatnonzero((before >= 0) & (forest.feature[before] != forest.feature))
        if not len(climbing):
            break
        above = before[climbing]
        before[climbing], side[climbing] = parent[above], is_left_child[above]
    share, degree = np.ones(size), np.ones(size, np.int64)
    for level in _levels(forest):
        again = level[before[level] >= 0]
        share[again] = share[before[again]] * shares[before[again], np.where(side[again], 0, 1)]
        below = level[parent[level] >= 0]
        degree[below] = degree[parent[below]] + (before[below] < 0)
    return _Paths(before, side, share, degree)


def _questions(forest: Forest) -> tuple[IntArray, IntArray, IntArray]:
    """Which value each split compares; the columns (feature, kind); the categorical splits.

    A column is a feature with one treatment of missing values. Each categorical split has its own value, and its
    feature, first word, number of words and whether NaN counts as in its bitset.
    """
    is_categorical = forest.flags & CATEGORICAL != 0
    is_left, missing = forest.flags & DEFAULT_LEFT != 0, forest.flags >> 2 & 3
    left, right = (EXACT_NAN_LEFT, EXACT_NAN_RIGHT) if forest.is_single else (NAN_LEFT, NAN_RIGHT)
    zero, nan = np.where(is_left, ZERO_LEFT, ZERO_RIGHT), np.where(is_left, left, right)
    kind = np.select([missing == MISSING_ZERO, missing == MISSING_NAN], [zero, nan], NAN_IS_ZERO)
    asked = np.column_stack([forest.feature, kind])
    values = np.zeros(len(asked), np.int64)
    columns, values[~is_categorical] = np.unique(asked[~is_categorical], axis=0, return_inverse=True)
    values[is_categorical] = len(columns) + np.arange(is_categorical.sum())
    bitset = forest.threshold[is_categorical].astype(np.int64)
    first = forest.word_bounds[bitset]
    n_words, is_nan_in = forest.word_bounds[bitset + 1] - first, (forest.flags[is_categorical] & NAN_IN_SET) != 0
    categories = np.column_stack([forest.feature[is_categorical], first, n_words, is_nan_in.astype(np.int64)])
    return values, columns, categories


def _wholes(forest: Forest, trees: _Trees, paths: _Paths, values: IntArray) -> IntArray:
    """The integers of each split, in the kernel's order; nodes are counted within the tree, leaves after the splits."""
    first, size = trees.first_splits, trees.sizes[trees.of]
    is_repeated = paths.before >= 0
    # The place after a tree's own places is always open.
    opened_by = np.where(is_repeated, 2 * (paths.before - first) + np.where(paths.is_left, 0, 1), 2 * size)
    rule = np.where(is_repeated, _REPEATED + _number_in_tree(is_repeated, trees), _FIRST)
    leaf_first = trees.leaf_starts[trees.of]
    children = [
        np.where(child >= 0, child - first, size + ~child - leaf_first) * LANES for child in (forest.left, forest.right)
    ]
    return np.column_stack([values, opened_by, rule, forest.feature * LANES, *children])


def _number_in_tree(is_counted: NDArray[np.bool_], trees: _Trees) -> IntArray:
    """Number of counted splits before each one in its tree."""
    before: IntArray = np.cumsum(is_counted) - is_counted
    return before - before[trees.first_splits]


def _jobs(trees: _Trees, paths: _Paths) -> tuple[RealArray, IntArray, RealArray]:
    """Rules, jobs and weights: each tree as often as its ceil(degree / 2) points fill `LANES`."""
    degrees = np.maximum.reduceat(paths.degree, trees.starts) if len(trees.starts) else trees.starts
    is_repeated = paths.before >= 0
    shares, n_repeated = paths.share[is_repeated], np.bincount(trees.of[is_repeated], minlength=len(degrees))
    first_repeated = np.cumsum(n_repeated) - n_repeated
    n_points = (degrees + 1) // 2
    tree_of = np.repeat(np.arange(len(degrees)), -(-n_points // LANES))
    chunk = np.arange(len(tree_of)) - np.searchsorted(tree_of, tree_of)
    quadratures = {int(count): _quadrature(int(count)) for count in np.unique(n_points)}
    points = np.zeros((len(tree_of), LANES))
    weights = np.zeros((len(tree_of), LANES))
    for job, (tree, number) in enumerate(zip(tree_of.tolist(), chunk.tolist(), strict=True)):
        points[job], weights[job] = (part[number] for part in quadratures[int(n_points[tree])])
    n_rules = _REPEATED + n_repeated[tree_of]
    first_rule = np.cumsum(n_rules) - n_rules
    job_of = np.repeat(np.arange(len(tree_of)), n_rules)
    kind = np.arange(len(job_of)) - first_rule[job_of]
    is_further = kind >= _REPEATED
    share = np.ones(len(job_of))
    share[is_further] = shares[(first_repeated[tree_of][job_of] + kind - _REPEATED)[is_further]]
    rules = _rules(points[job_of], share[:, np.newaxis], (kind == _CLOSED)[:, np.newaxis])
    columns = [trees.starts[tree_of], trees.leaf_starts[tree_of], first_rule, trees.sizes[tree_of]]
    return rules, np.column_stack([*columns, trees.sizes[tree_of] + 1]), weights


def _rules(points: RealArray, share: RealArray, is_closed: NDArray[np.bool_]) -> RealArray:
    """`absent` and `slope` of splits whose feature got `share` of the rows so far, at `points`; see `treeshap`."""
    known = share * (1 - points) + points
    absent = np.where(is_closed, 1.0, share * (1 - points) / known)
    slope = np.where(is_closed, 0.0, share / known**2)
    return np.column_stack([absent, slope])


def _quadrature(count: int) -> tuple[RealArray, RealArray]:
    """Gauss-Legendre points and weights on [0, 1] in rows of `LANES`; the rest of the last row has weight 0."""
    from numpy.polynomial.legendre import leggauss

    rows = -(-count // LANES)
    points, weights = np.full(rows * LANES, 0.5), np.zeros(rows * LANES)
    found, weighed = leggauss(count)
    points[:count], weights[:count] = (found + 1) / 2, weighed / 2
    return points.reshape(rows, LANES), weights.reshape(rows, LANES)


def _expected(forest: Forest, trees: _Trees) -> float:
    if not len(trees.starts):
        return forest.constant
    sums = np.add.reduceat(forest.leaf_value * forest.leaf_count, trees.leaf_starts)
    return forest.constant + float((sums / forest.count[trees.starts]).sum())
