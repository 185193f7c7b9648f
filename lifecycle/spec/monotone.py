"""Whether the trees of a forest are monotone in a feature."""

from typing import Literal

import numpy as np

from serving.scoring.forest import Forest


def falling_or_rising(forest: Forest, feature: int, direction: Literal[-1, 0, 1]) -> bool:
    """Whether at each split on a feature every output of one side is at most every output of the other.

    It is sufficient, and what the constraints of XGBoost and the basic method of LightGBM guarantee; those of
    LightGBM's methods `intermediate` and `advanced` need not meet it.
    """
    low, high = np.empty(len(forest.tree)), np.empty(len(forest.tree))
    leaves = forest.leaf_value
    # A split follows its parent, so that its children are known when it is reached from the end.
    for split in range(len(forest.tree) - 1, -1, -1):
        left, right = int(forest.left[split]), int(forest.right[split])
        left_low, left_high = (low[left], high[left]) if left >= 0 else (leaves[~left], leaves[~left])
        right_low, right_high = (low[right], high[right]) if right >= 0 else (leaves[~right], leaves[~right])
        if forest.feature[split] == feature and not (
            left_high <= right_low if direction > 0 else right_high <= left_low
        ):
            return False
        low[split], high[split] = min(left_low, right_low), max(left_high, right_high)
    return True
