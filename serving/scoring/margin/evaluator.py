"""Margins from compiled code, bit for bit those of the library that trained the model."""

import ctypes
import functools
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serving.scoring.forest import CATEGORICAL, Forest, RealArray
from serving.scoring.margin.kernel import LANES, TABLE, WINDOW, kernel
from serving.scoring.margin.layout import MarginLayout, lay_out_margin
from serving.scoring.shap.kernel import NEARLY_ZERO

PROBES: Final = 256
"""Rows on which a model's two evaluators are compared."""
_PROBES_WITHOUT_REST: Final = 8
_REST_SECONDS: Final = 0.0001
_SPECIAL: Final = np.array(
    [
        np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-35, -1e-35, NEARLY_ZERO, -NEARLY_ZERO,
        np.nextafter(NEARLY_ZERO, 1), np.nextafter(-NEARLY_ZERO, -1), 5e-324, -5e-324, 1e300, -1e300,
    ]
)  # fmt: skip
_SPECIAL_CATEGORIES: Final = np.array([np.nan, np.inf, -1.0, -0.5, -0.0, 0.5, 31.5, 2.0**31, 2.0**32, 1e300])


class Margins:
    """A model's tables and compiled code; threads share it, each with its own `Evaluation`."""

    def __init__(self, layout: MarginLayout, *, is_single: bool = False) -> None:
        self.layout = layout
        self.kernel = kernel(is_single=is_single)

    @classmethod
    def from_forest(cls, forest: Forest) -> "Margins":
        """Prepare a forest; the first in a process loads the kernel (`serving.scoring.machine_code`).

        Raises
        ------
        ContractError
            If the forest has more thresholds, columns or categories than fit into the layout.
        ImportError, RuntimeError
            If the kernel can be neither loaded nor compiled.
        """
        return cls(lay_out_margin(forest), is_single=forest.is_single)


class Evaluation:
    """One thread's working memory: put a row into `buffer`, then call `predict`."""

    __slots__ = ("_kept", "buffer", "predict")

    def __init__(self, margins: Margins) -> None:
        layout = margins.layout
        n_columns = len(layout.columns) // 3
        own = {
            "found": np.zeros(2 * (len(layout.searches) // 4), np.int64),
            "ranks": np.zeros(n_columns + layout.n_columns_of_categories + 1, np.int64),
            "outputs": np.zeros(WINDOW + len(layout.roots)),
        }
        sizes = [len(layout.searches) // 4, n_columns, len(layout.categories) // 4, len(layout.roots) // LANES]
        self.buffer: ctypes.Array[ctypes.c_double] = (ctypes.c_double * layout.n_features)()
        addresses = [
            ctypes.addressof(self.buffer)
            if name == "row"
            else (own[name] if name in own else getattr(layout, name)).ctypes.data
            for name in TABLE[len(sizes) :]
        ]
        table = (ctypes.c_int64 * len(TABLE))(*sizes, *addresses)
        # The addresses own nothing: this keeps the memory they point to alive.
        self._kept: tuple[Any, ...] = (margins, own, table)
        self.predict: Callable[[], float] = functools.partial(margins.kernel, ctypes.addressof(table))


def first_difference(
    forest: Forest, one: Callable[[Sequence[float]], float], other: Callable[[Sequence[float]], float]
) -> int | None:
    """The number of the first probe on which two evaluators differ in a bit, counted from 0; ``None`` if they agree."""
    for number, row in enumerate(probes(forest)):
        # The caller's other threads answer requests: Python code that does not pause holds the interpreter for 5 ms.
        if number % _PROBES_WITHOUT_REST == 0:
            time.sleep(_REST_SECONDS)
        if struct.pack("<d", one(row)) != struct.pack("<d", other(row)):
            return number
    return None


def probes(forest: Forest) -> Iterator[list[float]]:
    """Rows with values equal to the model's thresholds or one bit off, mixed with special values."""
    generator = np.random.default_rng(0)
    rows = np.column_stack(
        [np.zeros((PROBES, 0)), *(_values(forest, feature, generator) for feature in range(forest.n_features))]
    )
    # Every second row has thresholds only, to reach deep splits; the first rows hold one special value each.
    is_special = generator.random(rows.shape) < np.where(np.arange(PROBES) % 2, 0.0, 0.3)[:, np.newaxis]
    rows[is_special] = generator.choice(_SPECIAL, int(is_special.sum()))
    rows[: len(_SPECIAL)] = _SPECIAL[:, np.newaxis]
    if forest.is_single:
        # XGBoost takes no fraction below zero for a category; a code is a whole number, so that it never meets one.
        coded = rows[:, np.unique(forest.feature[forest.flags & CATEGORICAL != 0])]
        rows[:, np.unique(forest.feature[forest.flags & CATEGORICAL != 0])] = np.where(
            (coded > -1) & (coded < 0), -1.0, coded
        )
    return iter(rows.tolist())


def _values(forest: Forest, feature: int, generator: np.random.Generator) -> RealArray:
    """One feature's values for all probes."""
    is_own = forest.feature == feature
    is_categorical = is_own & (forest.flags & CATEGORICAL != 0)
    thresholds = np.unique(forest.threshold[is_own & ~is_categorical])
    pool: list[NDArray[np.float64]] = [
        thresholds,
        np.nextafter(thresholds, np.inf),
        np.nextafter(thresholds, -np.inf),
    ]
    if is_categorical.any():
        bitset = forest.threshold[is_categorical].astype(np.int64)
        words = int((forest.word_bounds[bitset + 1] - forest.word_bounds[bitset]).max())
        pool += [generator.integers(0, 32 * words + 2, 4 * PROBES).astype(np.float64), _SPECIAL_CATEGORIES]
    values = np.concatenate(pool)
    return generator.choice(values, PROBES) if len(values) else generator.normal(size=PROBES)
