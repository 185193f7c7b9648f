r"""Exact path-dependent TreeSHAP: contribution of each input to one row's margin, as LightGBM and XGBoost do.

Let every feature be present with probability t, by itself. At a split on a feature that is present the row goes its own
way; where it is absent, both ways, each with the share of the training rows that went there. F(t_1, ..., t_n) be the
value expected then. It is linear in each t_j, and the Shapley value of feature j is (Owen 1972)

.. math:: \phi_j = \int_0^1 \frac{\partial F}{\partial t_j}(t, ..., t) \, dt

On one tree the integrand is a polynomial in t of a degree one below the number of distinct features on the longest
path, so Gauss-Legendre quadrature with half as many points (rounded up) is exact. At one point t a walk down gives how
far each node is *reached* (the product of its path's probabilities), a walk up what it is *worth* (F below it), and
each split adds ``reach * slope * change`` to its feature: the chain rule. Nothing is divided and no path is unwound, so
that rounding does not grow with the depth.

With z_l, z_r the shares of the split's children and o_l, o_r = 1, 0 if the row goes left, else 0, 1, ``change`` is
``(o_l - z_l) * worth_left + (o_r - z_r) * worth_right``, and a child is reached with probability
``o - (o - z) * absent``. For the first split on a feature ``absent = 1 - t`` and ``slope = 1``. For a further one,
below splits on the same feature that left the row with the share s of the training rows:

- where the row went the path's way at each of them, the feature is absent with probability s (1 - t) / (t + s (1 - t))
  given that we got here: that is ``absent``, and by the chain rule ``slope = s / (t + s (1 - t))^2``;
- where it did not, we are here only if the feature is absent: ``absent = 1``, ``slope = 0``. The split is *closed*.
"""

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.scoring.forest import read_forest
from serving.scoring.shap.kernel import CATEGORY, LANES, TABLE, kernel
from serving.scoring.shap.layout import Layout, aligned, lay_out


class TreeShap:
    """The contributions of one model. Any thread may call it; each has its own working memory."""

    def __init__(self, layout: Layout) -> None:
        self.n_features = layout.n_features
        self.expected = layout.expected
        self._layout = layout
        self._kernel = kernel()
        self._memory = threading.local()

    @classmethod
    def from_model_text(cls, text: str | bytes) -> "TreeShap":
        """Prepare a model in LightGBM's text format; the first in a process loads the kernel.

        Raises
        ------
        ContractError
            If the text is not a model, has more than one output, or was trained with `linear_tree`.
        """
        return cls(lay_out(read_forest(text)))

    def contributions(self, row: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Contribution of each feature to the margin, then the expected value: shape ``(n_features + 1,)``.

        Parameters
        ----------
        row
            Shape ``(n_features,)``; NaN means missing.

        Raises
        ------
        ValueError
            If the row has another length.
        """
        if len(row) != self.n_features:
            raise ValueError(f"Expected {self.n_features} features, got {len(row)}")
        try:
            memory: _Memory = self._memory.own
        except AttributeError:
            memory = self._memory.own = _Memory(self._layout)
        memory.row[:] = row
        self._kernel(memory.table)
        return memory.out.copy()


class _Memory:
    """One thread's working memory, and the table of addresses for the kernel."""

    def __init__(self, layout: Layout) -> None:
        n_features, splits = layout.n_features, layout.most_splits
        n_columns, n_categories = len(layout.columns) // 2, len(layout.categories) // CATEGORY
        lanes_of_nodes = np.zeros((2 * splits + 1) * LANES)
        self.row = np.zeros(n_features)
        self.out = np.full(n_features + 1, layout.expected)
        own: dict[str, NDArray[Any]] = {
            "row": self.row,
            "values": np.zeros(n_columns + n_categories),
            "reach": aligned(lanes_of_nodes),
            "worth": aligned(lanes_of_nodes),
            "signs": np.zeros(4 * splits),
            "is_open": np.zeros(2 * splits + 1, np.int32),
            "rule_of": np.zeros(splits, np.int64),
            "sums": aligned(np.zeros(n_features * LANES)),
            "out": self.out,
        }
        sizes = {
            "n_features": n_features,
            "n_columns": n_columns,
            "n_categories": n_categories,
            "n_jobs": len(layout.weights) // LANES,
        }
        # The addresses own nothing: this keeps the arrays alive.
        self._arrays: dict[str, NDArray[Any]] = {
            name: own[name] if name in own else getattr(layout, name) for name in TABLE[len(sizes) :]
        }
        addresses = [array.ctypes.data for array in self._arrays.values()]
        self.table = (ctypes.c_int64 * len(TABLE))(*sizes.values(), *addresses)
