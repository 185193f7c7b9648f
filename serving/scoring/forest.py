"""A model's trees as arrays, every tree in one flat table of splits and one of leaves; LightGBM's text as such."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serving.contract.documents import ContractError
from serving.scoring.model_text import END_OF_TREES, TREE, NotWholeError, check_whole

IntArray = NDArray[np.int64]
RealArray = NDArray[np.float64]

CATEGORICAL: Final = 1
DEFAULT_LEFT: Final = 2
NAN_IN_SET: Final = 16
"""Flag of a categorical split that treats NaN like a category of its bitset; LightGBM has no such split."""
_LIGHTGBM_FLAGS: Final = 15
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2

_TREES_WITHOUT_REST: Final = 16
_REST_SECONDS: Final = 0.0001


@dataclass(frozen=True, slots=True)
class Forest:
    """The trees of a model with one output, which is their sum, in concatenated tables.

    A random forest's raw score is the sum too: LightGBM divides by their number only where it transforms scores.

    A child is the row of a split, or ``~row`` of a leaf, in these tables. A split follows its parent.

    Attributes
    ----------
    n_features
        Inputs of the model.
    tree
        Tree of each split, counted from 0 over the trees that have splits.
    feature, threshold, flags
        Each split's condition: ``x[feature] <= threshold``, or for a categorical one (`flags`) whether the category
        lies in the bitset with number ``threshold``.
    left, right
        Children of each split.
    count, leaf_count
        Training rows that reached each split and each leaf.
    leaf_value
        Output of each leaf.
    words, word_bounds
        Bitsets of the categorical splits, 32 categories a word, and where each bitset starts; one more at the end.
    constant
        Sum of the outputs of the trees that have one leaf.
    one_leaf_trees, one_leaf_values
        Their numbers among all trees of the model, counted from 0, and their outputs.
    is_single
        Whether the outputs are summed in single precision, and no value but zero counts as zero: XGBoost's rules.
    """

    n_features: int
    tree: IntArray
    feature: IntArray
    threshold: RealArray
    flags: IntArray
    left: IntArray
    right: IntArray
    count: RealArray
    leaf_count: RealArray
    leaf_value: RealArray
    words: IntArray
    word_bounds: IntArray
    constant: float
    one_leaf_trees: IntArray
    one_leaf_values: RealArray
    is_single: bool = False


def read_forest(text: str | bytes) -> Forest:
    """Read a model in LightGBM's text format and check that it can be explained.

    Raises
    ------
    NotWholeError
        If the text is not a whole LightGBM model: see `check_whole`; or a tree is incomplete or damaged. The message
        names the tree.
    ContractError
        If the model is whole, but has more than one output, linear models in its leaves, or a split without training
        rows, so that it cannot be explained.
    """
    check_whole(text.encode() if isinstance(text, str) else text)
    try:
        text = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise NotWholeError("Expected a model in LightGBM's text format, got invalid UTF-8 - at model.txt") from None
    header_text, *blocks = text.partition(END_OF_TREES.decode())[0].split(TREE.decode())
    header = _fields(header_text)
    outputs = max(_whole(header, "num_class", "the header"), _whole(header, "num_tree_per_iteration", "the header"))
    if outputs != 1:
        raise ContractError(f"Expected a model with one output, got {outputs} - at model.txt")
    n_features = _whole(header, "max_feature_idx", "the header") + 1
    parts = _Parts()
    for number, block in enumerate(blocks):
        # The caller's other threads answer requests: Python code that does not pause holds the interpreter for 5 ms.
        if number % _TREES_WITHOUT_REST == 0:
            time.sleep(_REST_SECONDS)
        parts.add(_fields(block), n_features, f"tree {number}")
    return parts.forest(n_features)


def forest_if_supported(text: bytes) -> Forest | None:
    """The trees, or ``None`` for a whole model that only LightGBM can score; raises `NotWholeError`."""
    try:
        return read_forest(text)
    except NotWholeError:
        raise
    except ContractError:
        return None


class _Parts:
    """Tables of the trees read so far."""

    def __init__(self) -> None:
        self._columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
        self._n_splits = self._n_leaves = self._n_words = self._n_bitsets = self._n_trees = 0
        self._constant = 0.0
        self._one_leaf: dict[int, float] = {}

    def add(self, fields: dict[str, str], n_features: int, where: str) -> None:
        """Append one tree."""
        if fields.get("is_linear", "0") != "0":
            raise ContractError(
                "Expected a model whose leaves are constants, got one trained with linear_tree, which pred_contrib "
                f"cannot explain either - at model.txt, {where}"
            )
        leaves = _whole(fields, "num_leaves", where)
        values = _reals(fields, "leaf_value", leaves, where)
        if leaves == 1:
            self._constant += float(values[0])
            self._one_leaf[self._n_trees + len(self._one_leaf)] = float(values[0])
            return
        splits = leaves - 1
        tree: dict[str, NDArray[Any]] = {
            "tree": np.full(splits, self._n_trees),
            "feature": _wholes(fields, "split_feature", splits, where),
            "threshold": _reals(fields, "threshold", splits, where),
            "flags": _wholes(fields, "decision_type", splits, where) & _LIGHTGBM_FLAGS,
            "left": _wholes(fields, "left_child", splits, where),
            "right": _wholes(fields, "right_child", splits, where),
            "count": _reals(fields, "internal_count", splits, where),
            "leaf_count": _reals(fields, "leaf_count", leaves, where),
            "leaf_value": values,
        }
        _check_tree(tree, splits, n_features, where)
        bitsets = _whole(fields, "num_cat", where)
        bounds = _wholes(fields, "cat_boundaries", bitsets + 1, where) if bitsets else np.zeros(1, np.int64)
        words = _wholes(fields, "cat_threshold", int(bounds[-1]), where) if bitsets else np.zeros(0, np.int64)
        _check_bitsets(tree, bounds, where)
        for side in ("left", "right"):
            child = tree[side]
            tree[side] = np.where(child >= 0, child + self._n_splits, child - self._n_leaves)
        is_categorical = tree["flags"] & CATEGORICAL != 0
        tree["threshold"] = np.where(is_categorical, tree["threshold"] + self._n_bitsets, tree["threshold"])
        tree |= {"words": words, "word_bounds": bounds[:-1] + self._n_words}
        for name, column in tree.items():
            self._columns[name].append(column)
        self._n_splits += splits
        self._n_leaves += leaves
        self._n_words += len(words)
        self._n_bitsets += bitsets
        self._n_trees += 1

    def forest(self, n_features: int) -> Forest:
        """All trees as one table."""
        columns: dict[str, Any] = {
            name: np.concatenate([np.zeros(0, kind), *self._columns[name]]).astype(kind)
            for name, kind in _COLUMNS.items()
        }
        columns["word_bounds"] = np.append(columns["word_bounds"], self._n_words)
        columns["one_leaf_trees"] = np.array([*self._one_leaf], np.int64)
        columns["one_leaf_values"] = np.array([*self._one_leaf.values()], np.float64)
        return Forest(n_features=n_features, constant=self._constant, **columns)


_COLUMNS: Final[dict[str, type[np.int64 | np.float64]]] = {
    "tree": np.int64,
    "feature": np.int64,
    "threshold": np.float64,
    "flags": np.int64,
    "left": np.int64,
    "right": np.int64,
    "count": np.float64,
    "leaf_count": np.float64,
    "leaf_value": np.float64,
    "words": np.int64,
    "word_bounds": np.int64,
}


def _check_tree(tree: dict[str, NDArray[Any]], splits: int, n_features: int, where: str) -> None:
    """Check all indices once, because the compiled code checks no bounds."""
    children = np.concatenate([tree["left"], tree["right"]])
    parents = np.tile(np.arange(splits), 2)
    if (
        sorted(children.tolist()) != [*range(-splits - 1, 0), *range(1, splits)]
        or (children[children >= 0] <= parents[children >= 0]).any()
    ):
        raise NotWholeError(f"Expected every split and leaf once, below its parent - at model.txt, {where}")
    if ((tree["feature"] < 0) | (tree["feature"] >= n_features)).any():
        raise NotWholeError(f"Expected features below {n_features}, got another - at model.txt, {where}")
    if not (tree["count"] > 0).all() or not (tree["leaf_count"] >= 0).all():
        raise ContractError(f"Expected the training rows of every split, got none - at model.txt, {where}")
    if np.isnan(tree["threshold"]).any() or not np.isfinite(tree["leaf_value"]).all():
        raise NotWholeError(f"Expected thresholds and finite leaves, got others - at model.txt, {where}")


def _check_bitsets(tree: dict[str, NDArray[Any]], bounds: IntArray, where: str) -> None:
    used = tree["threshold"][tree["flags"] & CATEGORICAL != 0]
    is_whole = (used >= 0).all() and (used < len(bounds) - 1).all() and (used == np.floor(used)).all()
    if not is_whole or bounds[0] != 0 or (np.diff(bounds) < 0).any():
        raise NotWholeError(f"Expected a bitset for every categorical split - at model.txt, {where}")


def _fields(block: str) -> dict[str, str]:
    """Lines ``key=value`` of a block; a line without ``=`` is a key."""
    return {key: value for key, _, value in _pairs(block)}


def _pairs(block: str) -> Iterator[tuple[str, str, str]]:
    return (line.strip().partition("=") for line in block.splitlines())


def _whole(fields: dict[str, str], name: str, where: str) -> int:
    return int(_wholes(fields, name, 1, where)[0])


def _wholes(fields: dict[str, str], name: str, length: int, where: str) -> IntArray:
    return _numbers(fields, name, length, where, int, np.int64)


def _reals(fields: dict[str, str], name: str, length: int, where: str) -> RealArray:
    return _numbers(fields, name, length, where, float, np.float64)


def _numbers(fields: dict[str, str], name: str, length: int, where: str, read: Any, kind: Any) -> NDArray[Any]:
    try:
        numbers = np.array([read(word) for word in fields.get(name, "").split()], kind)
    except (ValueError, OverflowError):
        raise NotWholeError(f"Expected numbers, got another text - at model.txt, {where}, {name}") from None
    if len(numbers) != length:
        raise NotWholeError(f"Expected {length} numbers, got {len(numbers)} - at model.txt, {where}, {name}")
    return numbers
