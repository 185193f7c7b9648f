"""A forest laid out as `serving.scoring.margin.kernel` walks it: nodes of 8 bytes with ranks instead of thresholds."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.contract.documents import ContractError
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
from serving.scoring.margin.kernel import (
    CHILD_SHIFT,
    COLUMN_BITS,
    EXACT,
    HIGHEST_RANK,
    LANES,
    NAN,
    NEAR,
    NEAR_OR_NAN,
    PLAIN,
    RANK_SHIFT,
    WINDOW,
    ZERO,
)

_MOST_CATEGORY_RANKS: Final = 1 << 22
"""16 MB: each known category has a rank for each of its feature's bitsets."""
_WORD_BITS: Final = 32
_CACHE_LINE_BYTES: Final = 64
_REST_SECONDS: Final = 0.0001
"""Between features: the caller's other threads answer requests."""


@dataclass(frozen=True, slots=True)
class MarginLayout:
    """The kernel's tables, flat; its constants describe their rows.

    A *search* finds a feature's rank among its thresholds, once for a row. A *column* is a search with one way of
    treating missing values, or one bitset of a categorical feature; each split reads one column's rank.
    """

    n_features: int
    searches: IntArray
    thresholds: RealArray
    columns: IntArray
    categories: IntArray
    category_ranks: NDArray[np.int32]
    nodes: IntArray
    values: RealArray
    roots: IntArray
    places: IntArray
    levels: IntArray
    n_columns_of_categories: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which column each split asks for and with which rank it compares; the tables that give a row's ranks."""

    column: IntArray
    rank: IntArray
    searches: IntArray
    thresholds: RealArray
    columns: IntArray
    categories: IntArray
    category_ranks: NDArray[np.int32]
    n_columns_of_categories: int


def lay_out_margin(forest: Forest) -> MarginLayout:
    """The layout of a forest.

    Raises
    ------
    ContractError
        If the forest has more thresholds of a feature, columns or categories than fit into the nodes.
    """
    asked = _ask(forest)
    splits = np.bincount(forest.tree)
    n_trees = len(splits) + len(forest.one_leaf_trees)
    n_places = -(-n_trees // LANES) * LANES
    has_splits = np.ones(n_places, np.bool_)
    has_splits[forest.one_leaf_trees] = False
    has_splits[n_trees:] = False
    depth, depths = np.zeros(n_places, np.int64), _depths(forest, len(splits))
    depth[has_splits] = depths
    window = np.arange(n_places) // WINDOW
    order = np.lexsort((depth, window))
    nodes, values, roots = _nodes(forest, asked, splits, np.flatnonzero(has_splits), order)
    values[roots[forest.one_leaf_trees]] = forest.one_leaf_values
    return MarginLayout(
        n_features=forest.n_features,
        searches=asked.searches,
        thresholds=asked.thresholds,
        columns=asked.columns,
        categories=asked.categories,
        category_ranks=asked.category_ranks,
        nodes=nodes,
        values=values,
        roots=roots[order],
        places=order + WINDOW,
        levels=depth[order].reshape(-1, LANES).max(axis=1, initial=0),
        n_columns_of_categories=asked.n_columns_of_categories,
    )


def _nodes(
    forest: Forest, asked: _Asked, splits: IntArray, numbers: IntArray, order: IntArray
) -> tuple[IntArray, RealArray, IntArray]:
    """Nodes and values of all trees, and the roots in the model's order; the children of a split are adjacent.

    A tree's splits are sorted by their training rows: the nodes that most rows visit share few cache lines.

    Parameters
    ----------
    splits, numbers
        Number of splits and place among all trees of each tree that has splits.
    order
        All places in the order of the walk. A place without splits has a root that is a leaf of value 0.
    """
    sizes = np.full(len(order), 2, np.int64)
    sizes[numbers] += 2 * splits
    starts = np.empty_like(sizes)
    starts[order] = np.cumsum(sizes[order]) - sizes[order]
    by_rows = np.lexsort((-forest.count, forest.tree))
    first_split = np.cumsum(splits) - splits
    start = starts[numbers][forest.tree]
    children = np.empty_like(by_rows)
    children[by_rows] = np.arange(len(by_rows)) - first_split[forest.tree[by_rows]]
    children = start + 2 + 2 * children
    # A tree's first place stays empty: pairs of children never cross a cache line.
    roots = starts + 1
    place, leaf_place = np.empty(len(by_rows), np.int64), np.empty(len(forest.leaf_value), np.int64)
    place[first_split] = roots[numbers]
    for side, child in enumerate((forest.left, forest.right)):
        is_split = child >= 0
        place[child[is_split]] = children[is_split] + side
        leaf_place[~child[~is_split]] = children[~is_split] + side
    itself = np.arange(int(sizes.sum()))
    nodes = itself << CHILD_SHIFT
    nodes[place] = children << CHILD_SHIFT | (HIGHEST_RANK - asked.rank) << RANK_SHIFT | asked.column
    values = np.zeros(len(nodes))
    values[leaf_place] = forest.leaf_value
    return _aligned(nodes), values, roots


def _depths(forest: Forest, n_trees: int) -> IntArray:
    """Levels below the root of each tree that has splits."""
    depths = np.zeros(n_trees, np.int64)
    level = np.flatnonzero(np.diff(forest.tree, prepend=-1))
    while len(level):
        depths[forest.tree[level]] += 1
        children = np.concatenate([forest.left[level], forest.right[level]])
        children = children[children >= 0]
        level = children[np.argsort(forest.tree[children], kind="stable")]
    return depths


def _ask(forest: Forest) -> _Asked:
    is_categorical = forest.flags & CATEGORICAL != 0
    column, rank = np.zeros(len(forest.tree), np.int64), np.zeros(len(forest.tree), np.int64)
    searches, thresholds, columns, column[~is_categorical], rank[~is_categorical] = _numeric(forest, ~is_categorical)
    tables, ranks, column[is_categorical], n_of_categories = _categorical(forest, is_categorical)
    column[is_categorical] += len(columns)
    if len(columns) + n_of_categories > COLUMN_BITS:
        raise ContractError(f"Expected at most {COLUMN_BITS} columns, got more - at the model's trees")
    return _Asked(column, rank, searches.ravel(), thresholds, columns.ravel(), tables.ravel(), ranks, n_of_categories)


def _numeric(forest: Forest, is_numeric: NDArray[np.bool_]) -> tuple[IntArray, RealArray, IntArray, IntArray, IntArray]:
    """Searches, their thresholds, columns; column and rank of each numeric split."""
    feature, threshold, flags = forest.feature[is_numeric], forest.threshold[is_numeric], forest.flags[is_numeric]
    missing, is_left = flags >> 2 & 3, flags & DEFAULT_LEFT != 0
    zeros = np.where(missing == MISSING_NAN, EXACT if forest.is_single else NEAR, NEAR_OR_NAN)
    keys, search = np.unique(feature * 4 + zeros, return_inverse=True)
    special = np.select([missing == MISSING_ZERO, missing == MISSING_NAN], [ZERO, NAN], PLAIN)
    is_high = ~is_left & (special != PLAIN)
    kinds, column = np.unique((search * 4 + special) * 2 + is_high, return_inverse=True)
    columns = np.column_stack([kinds // 8, kinds // 2 % 4, kinds % 2 * HIGHEST_RANK])
    searches, parts, rank = np.zeros((len(keys), 4), np.int64), [np.zeros(0)], np.zeros(len(feature), np.int64)
    first = 0
    for number, key in enumerate(keys.tolist()):
        time.sleep(_REST_SECONDS)
        is_own = search == number
        known, rank[is_own] = np.unique(threshold[is_own], return_inverse=True)
        if len(known) >= HIGHEST_RANK:
            raise ContractError(
                f"Expected fewer than {HIGHEST_RANK} thresholds, got more - at the model's input {key // 4}"
            )
        halvings = len(known).bit_length()
        padded = np.full(1 << halvings, np.inf)
        padded[: len(known)] = known
        parts.append(padded)
        searches[number] = key // 4, first, halvings, key % 4
        first += len(padded)
    return searches, np.concatenate(parts), columns, column, rank


def _categorical(
    forest: Forest, is_categorical: NDArray[np.bool_]
) -> tuple[IntArray, NDArray[np.int32], IntArray, int]:
    """Categorical features, their tables of ranks, the column of each categorical split, and how many columns.

    A feature's table has a line for each category that a bitset of it could hold, then one for all others and one for
    NaN.
    """
    feature, bitset = forest.feature[is_categorical], forest.threshold[is_categorical].astype(np.int64)
    flags, column = forest.flags[is_categorical], np.zeros(len(feature), np.int64)
    rows, tables = np.zeros((0, 4), np.int64), [np.zeros(0, np.int32)]
    n_columns = size = 0
    for own_feature in np.unique(feature).tolist():
        is_own = feature == own_feature
        own = bitset[is_own]
        n_words = max(1, int((forest.word_bounds[own + 1] - forest.word_bounds[own]).max()))
        if size + (n_words * _WORD_BITS + 2) * len(own) > _MOST_CATEGORY_RANKS:
            raise ContractError(
                f"Expected at most {_MOST_CATEGORY_RANKS} ranks of categories, got more - at the model's trees"
            )
        words = np.zeros((len(own), n_words + 1), np.int64)
        words[:, -1] = flags[is_own] & NAN_IN_SET != 0
        for line, number in enumerate(own.tolist()):
            held = forest.words[forest.word_bounds[number] : forest.word_bounds[number + 1]]
            words[line, : len(held)] = held
        found = np.unique(words, axis=0, return_inverse=True)
        different: IntArray = found[0]
        is_held = (different[:, :-1, np.newaxis] >> np.arange(_WORD_BITS)) & 1
        table = np.ones((n_words * _WORD_BITS + 2, len(different)), np.int32)
        table[:-2] -= is_held.reshape(len(different), -1).T.astype(np.int32)
        table[-1] -= different[:, -1].astype(np.int32)
        column[is_own] = n_columns + found[1].reshape(-1)
        rows = np.vstack([rows, [own_feature, n_words * _WORD_BITS, len(different), size]])
        tables.append(table.ravel())
        n_columns += len(different)
        size += table.size
    return rows, np.concatenate(tables), column, n_columns


def _aligned(nodes: IntArray) -> IntArray:
    """A copy aligned to a cache line."""
    raw = np.zeros(nodes.nbytes + _CACHE_LINE_BYTES, np.uint8)
    offset = -raw.ctypes.data % _CACHE_LINE_BYTES
    copy = raw[offset : offset + nodes.nbytes].view(np.int64)
    copy[:] = nodes
    return copy
