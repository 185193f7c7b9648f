"""XGBoost's trees as the forest that the compiled kernels walk.

XGBoost rounds a row's value to single precision and asks whether it is *below* a threshold of single precision. The
kernels ask whether a double is *at most* a threshold. The largest double that rounds to a value below XGBoost's
threshold answers both questions alike. A categorical split sends the categories of its bitset to the right, a forest's
to the left: its children change places.
"""

import numpy as np

from serving.scoring.forest import (
    CATEGORICAL,
    DEFAULT_LEFT,
    MISSING_NAN,
    NAN_IN_SET,
    Forest,
    IntArray,
    RealArray,
)
from serving.scoring.xgboost.trees import NUMERIC, BoolArray, SingleArray, XGBoostTrees

_BEYOND_SINGLE = 2.0**128


def as_forest(trees: XGBoostTrees) -> Forest:
    """The forest with the same margins: the base is its first tree, since XGBoost adds to it."""
    is_split = trees.left >= 0
    tree = np.repeat(np.arange(len(trees.starts) - 1), np.diff(trees.starts))
    has_splits = is_split[trees.starts[:-1]]
    one_leaf = trees.value[trees.starts[:-1]][~has_splits].astype(np.float64)
    is_leaf = ~is_split & has_splits[tree]
    # Leaves that are a whole tree are not among the forest's leaves.
    number = np.where(is_split, np.cumsum(is_split) - 1, ~(np.cumsum(is_leaf) - 1))
    is_set = trees.bitset[is_split] != NUMERIC
    left, right = number[trees.left[is_split]], number[trees.right[is_split]]
    is_left = trees.is_left_default[is_split]
    base = float(trees.base)
    return Forest(
        n_features=trees.n_features,
        tree=(np.cumsum(has_splits) - 1)[tree[is_split]],
        feature=trees.feature[is_split],
        threshold=np.where(is_set, trees.bitset[is_split], largest_below(trees.value[is_split])),
        flags=_flags(is_set, is_left),
        left=np.where(is_set, right, left),
        right=np.where(is_set, left, right),
        count=trees.hessian[is_split],
        leaf_count=trees.hessian[is_leaf],
        leaf_value=trees.value[is_leaf].astype(np.float64),
        words=trees.words,
        word_bounds=trees.word_bounds,
        constant=base + float(one_leaf.sum()),
        one_leaf_trees=np.append(0, 1 + np.flatnonzero(~has_splits)),
        one_leaf_values=np.append(base, one_leaf),
        is_single=True,
    )


def _flags(is_set: BoolArray, is_left: BoolArray) -> IntArray:
    """A missing value goes XGBoost's left at a split by default, which is the forest's right at a categorical one."""
    numeric = MISSING_NAN << 2 | np.where(is_left, DEFAULT_LEFT, 0)
    return np.where(is_set, CATEGORICAL | np.where(is_left, 0, NAN_IN_SET), numeric)


def largest_below(thresholds: SingleArray) -> RealArray:
    """The largest double that single precision rounds to a value below each threshold, which is finite.

    Halfway between two neighbours a double rounds to the one whose last bit is 0.

    Examples
    --------
    >>> below = largest_below(np.array([1.0], np.float32))
    >>> bool(np.float32(below[0]) < 1), bool(np.float32(np.nextafter(below[0], 2)) < 1)
    (True, False)
    """
    with np.errstate(over="ignore"):
        before = np.nextafter(thresholds, np.float32(-np.inf))
    is_even = before.view(np.int32) & 1 == 0
    # Beyond the range of single precision a double rounds to infinity as if the next power of two were representable.
    doubles = np.where(np.isinf(before), -_BEYOND_SINGLE, before.astype(np.float64))
    halfway = (doubles + thresholds.astype(np.float64)) / 2
    return np.where(is_even, halfway, np.nextafter(halfway, -np.inf))
