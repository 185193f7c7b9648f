"""XGBoost's rules as they are written down, without compiled code: the reference for the compiled margins."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.scoring.xgboost.trees import NUMERIC, XGBoostTrees

_WORD_BITS = 32


def walk(trees: XGBoostTrees, row: Sequence[float] | NDArray[np.float64]) -> float:
    """The margin of one row, shape ``(n_features,)``; NaN means missing.

    The values are rounded to single precision, and the outputs are added to the base in single precision, tree by tree.

    Raises
    ------
    ValueError
        If the row has another length.
    """
    if len(row) != trees.n_features:
        raise ValueError(f"Expected {trees.n_features} features, got {len(row)}")
    with np.errstate(over="ignore"):
        values = np.array(row, np.float64).astype(np.float32)
    here = trees.starts[:-1].copy()
    while True:
        going = np.flatnonzero(trees.left[here] >= 0)
        if not len(going):
            break
        node = here[going]
        value = values[trees.feature[node]]
        is_left = np.where(trees.bitset[node] == NUMERIC, value < trees.value[node], ~_is_in(trees, node, value))
        is_left = np.where(np.isnan(value), trees.is_left_default[node], is_left)
        here[going] = np.where(is_left, trees.left[node], trees.right[node])
    outputs = np.append(trees.base, trees.value[here])
    # `sum` would add in pairs; XGBoost adds one after the other.
    return float(np.add.accumulate(outputs, dtype=np.float32)[-1])


def _is_in(trees: XGBoostTrees, node: NDArray[np.int64], value: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each value is a category of its node's bitset; one that is no category is not."""
    is_in = np.zeros(len(node), np.bool_)
    is_asked = (trees.bitset[node] != NUMERIC) & (value >= 0)
    first = trees.word_bounds[trees.bitset[node]]
    size = trees.word_bounds[trees.bitset[node] + 1] - first
    asked = np.flatnonzero(is_asked & (value < size * _WORD_BITS))
    category = value[asked].astype(np.int64)
    words = trees.words[first[asked] + category // _WORD_BITS]
    is_in[asked] = (words >> category % _WORD_BITS) & 1 == 1
    return is_in
