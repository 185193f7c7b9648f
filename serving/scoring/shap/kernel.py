"""The compiled walk over the trees that `serving.scoring.shap.tree_shap` describes.

It touches no Python object and holds no GIL.

`serving.scoring.machine_code` loads the code or has numba compile it. Nothing here checks bounds:
`serving.scoring.forest` and `serving.scoring.shap.layout` make complete tables.

No branch depends on a split's outcome, and every split writes to a fixed place: a processor mispredicts every second
such branch and waits for a place that depends on the row, which together took three times as long.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from serving.scoring import machine_code
from serving.scoring.vectors import array_pointers, vector_operations

LANES: Final = 8
"""Quadrature points that are worked on at once; a processor with shorter vectors takes several for one of these."""
REALS: Final = 3
"""Doubles of a split: threshold, share of the training rows that went left, share that went right."""
WHOLES: Final = 6
"""Integers of a split: its value, the place that says whether it is open, its rule, its feature, its two children."""
JOB: Final = 5
"""Integers of a job: first split, first leaf, first rule, number of splits, number of leaves."""

NAN_IS_ZERO: Final = 0
ZERO_LEFT: Final = 1
ZERO_RIGHT: Final = 2
NAN_LEFT: Final = 3
NAN_RIGHT: Final = 4
EXACT_NAN_LEFT: Final = 5
EXACT_NAN_RIGHT: Final = 6
"""The last two are XGBoost's, which has no neighbourhood of zero."""
CATEGORY: Final = 4
"""Integers of a categorical split: feature, first word, number of words, whether NaN counts as in the bitset."""

TABLE: Final = (
    "n_features", "n_columns", "n_categories", "n_jobs",
    "columns", "categories", "words", "jobs", "reals", "wholes", "leaf_values", "rules", "weights",
    "row", "values", "reach", "worth", "signs", "is_open", "rule_of", "sums", "out",
)  # fmt: skip
"""The kernel's input: four sizes, the tables of a layout, then a thread's own memory."""

NEARLY_ZERO: Final = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: an absolute value up to it counts as zero."""

Kernel = Callable[..., None]


def kernel() -> Kernel:
    """The walk; its argument is a pointer to the addresses and sizes of `TABLE`."""
    prototype = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_int64))
    return machine_code.kernel("contributions", COMPILED["contributions"], prototype)


def _compiled() -> Any:
    import numba
    from numba import types

    vectors = vector_operations(LANES)
    parts = [numba.njit(part) for part in (_values_of_columns, _values_of_categories)]
    parts += [numba.njit(part(vectors)) for part in (_walk_down, _walk_up)]
    signature = types.void(types.CPointer(types.int64))
    return numba.cfunc(signature)(_contributions(vectors, array_pointers(), *parts))


COMPILED: Final[dict[str, Callable[[], Any]]] = {"contributions": _compiled}
"""How numba compiles the kernel of this module."""


def _values_of_columns(row: Any, columns: Any, n_columns: Any, values: Any) -> None:
    """Values that numeric splits compare with their thresholds: -inf always goes left, NaN always right."""
    for index in range(n_columns):
        value, kind = row[columns[2 * index]], columns[2 * index + 1]
        if (abs(value) <= NEARLY_ZERO and kind <= NAN_RIGHT) or (np.isnan(value) and kind <= ZERO_RIGHT):
            value = 0.0
        if np.isnan(value) and kind == EXACT_NAN_LEFT:
            value = -np.inf
        if (value == 0.0 and kind == ZERO_LEFT) or (np.isnan(value) and kind == NAN_LEFT):
            value = -np.inf
        if value == 0.0 and kind == ZERO_RIGHT:
            value = np.nan
        values[index] = value


def _values_of_categories(row: Any, categories: Any, n_categories: Any, words: Any, values: Any, start: Any) -> None:
    """-1 for each categorical split whose bitset holds the row's category, else 1; their thresholds are 0."""
    for index in range(n_categories):
        place = CATEGORY * index
        value, first, size = row[categories[place]], categories[place + 1], categories[place + 2]
        values[start + index] = 1.0
        if np.isnan(value) and categories[place + 3]:
            values[start + index] = -1.0
        if value > -1.0 and value < 32.0 * size:
            category = np.int64(value)
            if (words[first + (category >> 5)] >> (category & 31)) & 1:
                values[start + index] = -1.0


def _walk_down(vectors: Any) -> Any:
    load, store, splat = vectors.load, vectors.store, vectors.splat
    minus, times = vectors.minus, vectors.times

    def walk_down(
        values: Any, reals: Any, wholes: Any, rules: Any, first: Any, first_rule: Any, n_splits: Any,
        reach: Any, signs: Any, is_open: Any, rule_of: Any,
    ) -> None:  # fmt: skip
        """How far each node is reached, and which rule and signs each split has for this row."""
        is_open[2 * n_splits] = 1
        for split in range(n_splits):
            whole, real = (first + split) * WHOLES, (first + split) * REALS
            is_left = values[wholes[whole]] <= reals[real]
            left_bit = np.int32(is_left)
            opened = is_open[wholes[whole + 1]]
            is_open[2 * split] = opened & left_bit
            is_open[2 * split + 1] = opened & (1 - left_bit)
            rule = (first_rule + 1 + ((wholes[whole + 2] - 1) & -opened)) * (2 * LANES)
            rule_of[split] = rule
            went_left = 1.0 if is_left else 0.0
            went_right = 1.0 - went_left
            from_left = went_left - reals[real + 1]
            from_right = went_right - reals[real + 2]
            signs[4 * split] = went_left
            signs[4 * split + 1] = went_right
            signs[4 * split + 2] = from_left
            signs[4 * split + 3] = from_right
            here, absent = load(reach, split * LANES), load(rules, rule)
            goes_left = minus(splat(went_left), times(splat(from_left), absent))
            goes_right = minus(splat(went_right), times(splat(from_right), absent))
            store(reach, wholes[whole + 4], times(here, goes_left))
            store(reach, wholes[whole + 5], times(here, goes_right))

    return walk_down


def _walk_up(vectors: Any) -> Any:
    load, store, splat = vectors.load, vectors.store, vectors.splat
    plus, minus, times = vectors.plus, vectors.minus, vectors.times

    def walk_up(
        wholes: Any, rules: Any, first: Any, n_splits: Any,
        reach: Any, worth: Any, sums: Any, signs: Any, rule_of: Any,
    ) -> None:  # fmt: skip
        """Worth of each node, and what each split adds to its feature on this row's way."""
        for split in range(n_splits - 1, -1, -1):
            whole, rule = (first + split) * WHOLES, rule_of[split]
            left, right = load(worth, wholes[whole + 4]), load(worth, wholes[whole + 5])
            absent, slope = load(rules, rule), load(rules, rule + LANES)
            from_left, from_right = splat(signs[4 * split + 2]), splat(signs[4 * split + 3])
            goes_left = minus(splat(signs[4 * split]), times(from_left, absent))
            goes_right = minus(splat(signs[4 * split + 1]), times(from_right, absent))
            store(worth, split * LANES, plus(times(goes_left, left), times(goes_right, right)))
            change = plus(times(from_left, left), times(from_right, right))
            gain = times(times(load(reach, split * LANES), slope), change)
            place = wholes[whole + 3]
            store(sums, place, plus(load(sums, place), gain))

    return walk_up


def _contributions(
    vectors: Any, pointers: Any, columns_of: Any, categories_of: Any, walk_down: Any, walk_up: Any
) -> Any:
    load, store, splat, total = vectors.load, vectors.store, vectors.splat, vectors.total
    doubles_at, int32s_at, int64s_at = pointers.doubles_at, pointers.int32s_at, pointers.int64s_at

    def contributions(table: Any) -> None:
        """Write every feature's contribution to `out`; ctypes takes 0.15 us for each argument, so there is one."""
        n_features, n_columns, n_categories, n_jobs = table[0], table[1], table[2], table[3]
        columns, categories, words, jobs = (
            int64s_at(table[4]),
            int64s_at(table[5]),
            int64s_at(table[6]),
            int64s_at(table[7]),
        )
        reals, wholes, leaf_values = doubles_at(table[8]), int32s_at(table[9]), doubles_at(table[10])
        rules, weights = doubles_at(table[11]), doubles_at(table[12])
        row, values, reach, worth = (
            doubles_at(table[13]),
            doubles_at(table[14]),
            doubles_at(table[15]),
            doubles_at(table[16]),
        )
        signs, is_open, rule_of = doubles_at(table[17]), int32s_at(table[18]), int64s_at(table[19])
        sums, out = doubles_at(table[20]), doubles_at(table[21])
        columns_of(row, columns, n_columns, values)
        categories_of(row, categories, n_categories, words, values, n_columns)
        for feature in range(n_features):
            store(sums, feature * LANES, splat(0.0))
        for job in range(n_jobs):
            place = job * JOB
            first, first_leaf, first_rule = jobs[place], jobs[place + 1], jobs[place + 2]
            n_splits, n_leaves = jobs[place + 3], jobs[place + 4]
            store(reach, 0, load(weights, job * LANES))
            walk_down(values, reals, wholes, rules, first, first_rule, n_splits, reach, signs, is_open, rule_of)
            for leaf in range(n_leaves):
                store(worth, (n_splits + leaf) * LANES, splat(leaf_values[first_leaf + leaf]))
            walk_up(wholes, rules, first, n_splits, reach, worth, sums, signs, rule_of)
        for feature in range(n_features):
            out[feature] = total(load(sums, feature * LANES))

    return contributions
