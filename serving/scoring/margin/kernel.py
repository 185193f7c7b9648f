"""The compiled sum of the trees: one row's margin without a branch that depends on the row.

LightGBM branches at every split; a processor mispredicts every second branch of a new row. Here a row's values become
ranks first: how many of the feature's thresholds are below. A split then compares two small integers, fits into 8
bytes, and the next node is its left child plus the answer. A leaf is its own child, so that `LANES` trees are walked in
parallel for as many levels as the deepest of them has, and the waits for memory overlap.

The values of the leaves are added one by one in the model's order, beginning with 0.0, as LightGBM adds them: no other
order gives the same bits. XGBoost adds in the same order, but in single precision. An addition waits for the one
before, so each group of trees adds what the groups one `WINDOW` earlier have found, while its own walk goes on.

`serving.scoring.machine_code` loads the code or has numba compile it. Nothing here checks bounds:
`serving.scoring.margin.layout` makes complete tables.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from serving.scoring import machine_code
from serving.scoring.shap.kernel import NEARLY_ZERO
from serving.scoring.vectors import array_pointers

LANES: Final = 16
"""Trees walked at once."""
WINDOW: Final = 128
"""Trees that are sorted by depth together; a multiple of `LANES`."""

RANK_SHIFT: Final = 16
CHILD_SHIFT: Final = 32
COLUMN_BITS: Final = (1 << RANK_SHIFT) - 1
HIGHEST_RANK: Final = (1 << CHILD_SHIFT - RANK_SHIFT) - 1
"""A leaf's threshold, which no row exceeds, and the rank of what goes right everywhere.

A node is ``child << CHILD_SHIFT | HIGHEST_RANK - threshold << RANK_SHIFT | column``: the row's rank, shifted as much
and added, carries one into the child exactly if it exceeds the threshold. A step is four instructions.
"""

SEARCH: Final = 4
"""Integers of a search: feature, first threshold, halvings, what counts as zero (`NEAR`, `NEAR_OR_NAN`, `EXACT`)."""
COLUMN: Final = 3
"""Integers of a column: search, what is special (`PLAIN`, `ZERO`, `NAN`), rank of a special value."""
CATEGORY: Final = 4
"""Integers of a categorical feature: feature, categories, columns, first rank of its table."""
NEAR: Final = 0
NEAR_OR_NAN: Final = 1
EXACT: Final = 2
"""XGBoost has no neighbourhood of zero: its zeros are ordinary values."""
PLAIN: Final = 0
ZERO: Final = 1
NAN: Final = 2

TABLE: Final = (
    "n_searches", "n_columns", "n_categories", "n_groups",
    "searches", "thresholds", "columns", "categories", "category_ranks",
    "nodes", "values", "roots", "places", "levels",
    "row", "found", "ranks", "outputs",
)  # fmt: skip
"""The kernel's input: four sizes, the tables of a layout, then a thread's own memory."""

Kernel = Callable[[int], float]


def kernel(*, is_single: bool = False) -> Kernel:
    """The compiled sum; its argument is the address of the addresses and sizes of `TABLE`.

    With `is_single` it adds in single precision, as XGBoost does. It keeps the interpreter's lock: another thread waits
    some microseconds, as for any few lines of Python.
    """
    name = "margin_single" if is_single else "margin"
    return machine_code.kernel(name, COMPILED[name], ctypes.PYFUNCTYPE(ctypes.c_double, ctypes.c_int64))


def _compiled(number: Any) -> Any:
    import numba
    from numba import types

    parts = [numba.njit(part) for part in (_search, _rank_columns, _rank_categories)]
    walk = numba.njit(_walk(numba.njit(_four_down)))
    return numba.cfunc(types.float64(types.int64))(_margin(array_pointers(), parts, walk, number))


COMPILED: Final[dict[str, Callable[[], Any]]] = {
    "margin": functools.partial(_compiled, np.float64),
    "margin_single": functools.partial(_compiled, np.float32),
}
"""How numba compiles each kernel of this module."""


def _search(row: Any, searches: Any, n_searches: Any, thresholds: Any, found: Any) -> None:
    """For each search the number of thresholds below the value (all for NaN), and whether it is zero or NaN.

    The answer is shifted into the rank: a chosen summand would become a branch again.
    """
    for index in range(n_searches):
        value, first = row[searches[SEARCH * index]], searches[SEARCH * index + 1]
        halvings, zeros = searches[SEARCH * index + 2], searches[SEARCH * index + 3]
        is_nan = np.int64(value != value)  # noqa: PLR0124
        is_zero = (np.int64(abs(value) <= NEARLY_ZERO) & ~(zeros >> 1)) | (is_nan & zeros)
        value = 0.0 if is_zero else value
        rank = np.int64(0)
        for bit in range(halvings - 1, -1, -1):
            is_below = np.int64(not (value <= thresholds[first + rank + (1 << bit) - 1]))
            rank += is_below << bit
        found[2 * index] = rank
        found[2 * index + 1] = (is_zero << ZERO) | (is_nan << NAN)


def _rank_columns(columns: Any, n_columns: Any, found: Any, ranks: Any) -> None:
    """The rank of each numeric column: that of its search, or the one of a special value there."""
    for index in range(n_columns):
        search, special, rank = columns[COLUMN * index], columns[COLUMN * index + 1], columns[COLUMN * index + 2]
        is_special = -((found[2 * search + 1] >> special) & 1)
        ranks[index] = ((found[2 * search] & ~is_special) | (rank & is_special)) << RANK_SHIFT


def _rank_categories(
    row: Any, categories: Any, n_categories: Any, category_ranks: Any, ranks: Any, first_column: Any
) -> None:
    """0 for each bitset that holds the row's category, else 1: copied from the line of the category.

    The last two lines are those of all other values and of NaN.
    """
    column = first_column
    for index in range(n_categories):
        value, n_known = row[categories[CATEGORY * index]], categories[CATEGORY * index + 1]
        width, first = categories[CATEGORY * index + 2], categories[CATEGORY * index + 3]
        category = n_known + np.int64(value != value)  # noqa: PLR0124
        if value > -1.0 and value < n_known:
            category = np.int64(value)
        line = first + category * width
        for place in range(width):
            ranks[column + place] = np.int64(category_ranks[line + place]) << RANK_SHIFT
        column += width


def _four_down(nodes: Any, ranks: Any, here: Any) -> Any:
    """One level down in four trees: a rank above the threshold's carries one into the child's number."""
    one, two, three, four = nodes[here[0]], nodes[here[1]], nodes[here[2]], nodes[here[3]]
    return (
        (one + ranks[one & COLUMN_BITS]) >> CHILD_SHIFT,
        (two + ranks[two & COLUMN_BITS]) >> CHILD_SHIFT,
        (three + ranks[three & COLUMN_BITS]) >> CHILD_SHIFT,
        (four + ranks[four & COLUMN_BITS]) >> CHILD_SHIFT,
    )


def _walk(four_down: Any) -> Any:
    def walk(
        nodes: Any, ranks: Any, values: Any, roots: Any, places: Any, first: Any, n_levels: Any, outputs: Any
    ) -> None:
        """Write the outputs of one group of trees."""
        a = (roots[first], roots[first + 1], roots[first + 2], roots[first + 3])
        b = (roots[first + 4], roots[first + 5], roots[first + 6], roots[first + 7])
        c = (roots[first + 8], roots[first + 9], roots[first + 10], roots[first + 11])
        d = (roots[first + 12], roots[first + 13], roots[first + 14], roots[first + 15])
        for _ in range(n_levels):
            a = four_down(nodes, ranks, a)
            b = four_down(nodes, ranks, b)
            c = four_down(nodes, ranks, c)
            d = four_down(nodes, ranks, d)
        for lane in range(4):
            outputs[places[first + lane]] = values[a[lane]]
            outputs[places[first + 4 + lane]] = values[b[lane]]
            outputs[places[first + 8 + lane]] = values[c[lane]]
            outputs[places[first + 12 + lane]] = values[d[lane]]

    return walk


def _margin(pointers: Any, parts: Any, walk: Any, number: Any) -> Any:
    search, rank_columns, rank_categories = parts
    doubles_at, int32s_at, int64s_at = pointers.doubles_at, pointers.int32s_at, pointers.int64s_at

    def margin(address: Any) -> Any:
        """The margin of the row. Each argument of a call costs time, so there is one."""
        table = int64s_at(address)
        n_searches, n_columns, n_categories, n_groups = table[0], table[1], table[2], table[3]
        searches, thresholds, columns = int64s_at(table[4]), doubles_at(table[5]), int64s_at(table[6])
        categories, category_ranks = int64s_at(table[7]), int32s_at(table[8])
        nodes, values, roots, places = (
            int64s_at(table[9]),
            doubles_at(table[10]),
            int64s_at(table[11]),
            int64s_at(table[12]),
        )
        levels, row, found = int64s_at(table[13]), doubles_at(table[14]), int64s_at(table[15])
        ranks, outputs = int64s_at(table[16]), doubles_at(table[17])
        search(row, searches, n_searches, thresholds, found)
        rank_columns(columns, n_columns, found, ranks)
        rank_categories(row, categories, n_categories, category_ranks, ranks, n_columns)
        total = number(0.0)
        for group in range(n_groups):
            first = group * LANES
            walk(nodes, ranks, values, roots, places, first, levels[group], outputs)
            for tree in range(first, first + LANES):
                total += number(outputs[tree])
        for tree in range(n_groups * LANES, n_groups * LANES + WINDOW):
            total += number(outputs[tree])
        return np.float64(total)

    return margin
