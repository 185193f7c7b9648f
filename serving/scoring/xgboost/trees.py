"""XGBoost's trees as flat tables, checked once: everything after this trusts them."""

import itertools
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serving.contract.documents import ContractError
from serving.scoring.forest import IntArray, RealArray
from serving.scoring.model_text import NotWholeError
from serving.scoring.xgboost.document import (
    POSSIBLE,
    WHERE,
    CategoryContainer,
    TreeText,
    base_margin,
    decode,
    read_document,
    whole,
)

SingleArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

NUMERIC: Final = -1
"""`SplitTable.bitset` of a numeric split, and of a leaf."""
LARGEST_CATEGORY: Final = 65_535
_MOST_WORDS: Final = 1 << 22
_WORD_BITS: Final = 32
_TREES_WITHOUT_REST: Final = 4
_REST_SECONDS: Final = 0.0001


@dataclass(frozen=True, slots=True)
class XGBoostTrees:
    """A model's nodes, tree by tree, each tree's in order of depth; nodes that pruning deleted are left out.

    Attributes
    ----------
    feature_names, feature_types
        Of the inputs, as the file says; a type is ``c`` for a category, another word for a number.
    category_names
        Of each input, in UTF-8; empty where the file names none. XGBoost 3.2 cuts a name to as many bytes as it has
        characters.
    base
        The margin's constant.
    starts
        The root of each tree, and the number of all nodes at the end.
    left, right
        Children, as rows of these tables; -1 for a leaf.
    feature, value
        Input of a split and its threshold, in single precision: a row goes left if its value is *below*. A leaf's
        output.
    is_left_default
        Whether a missing value goes left.
    bitset
        Number of a categorical split's bitset: a row goes *right* if its category is in it. `NUMERIC` for others.
    words, word_bounds
        The bitsets, 32 categories a word, and where each starts; one more at the end.
    hessian, gain
        Sum of hessians that reached a node; loss that a split removed, 0 if the file does not say.
    """

    feature_names: tuple[str, ...]
    feature_types: tuple[str, ...]
    category_names: tuple[tuple[bytes, ...], ...]
    base: np.float32
    starts: IntArray
    left: IntArray
    right: IntArray
    feature: IntArray
    value: SingleArray
    is_left_default: BoolArray
    bitset: IntArray
    words: IntArray
    word_bounds: IntArray
    hessian: RealArray
    gain: RealArray

    @property
    def n_features(self) -> int:
        """Inputs of the model."""
        return len(self.feature_names)


def read_trees(content: bytes) -> XGBoostTrees:
    """Read a model in XGBoost's JSON and check every tree.

    Raises
    ------
    NotWholeError
        If the file is damaged; the message names the tree.
    ContractError
        If it holds another kind of model, does not name its inputs, or has more or larger categories than fit.
    """
    learner, forest = read_document(content)
    n_features = whole(learner.learner_model_param.num_feature, "learner.learner_model_param.num_feature")
    names, types = learner.feature_names, learner.feature_types
    if len(names) != n_features or len(types) not in {0, n_features}:
        raise ContractError(
            f"Expected the names of {n_features} inputs, got {len(names)} names and {len(types)} types; before saving, "
            f"set `booster.feature_names` and `booster.feature_types` - {WHERE}, learner.feature_names"
        )
    parts = _Parts(n_features)
    for number, raw in enumerate(forest.trees):
        # The caller's other threads answer requests: Python code that does not pause holds the interpreter for 5 ms.
        if number % _TREES_WITHOUT_REST == 0:
            time.sleep(_REST_SECONDS)
        parts.add(decode(raw, TreeText, f"tree {number}"), f"tree {number}")
    return XGBoostTrees(
        feature_names=tuple(names),
        feature_types=tuple(types),
        category_names=_category_names(forest.cats, n_features),
        base=base_margin(learner),
        **parts.tables(),
    )


def _category_names(container: CategoryContainer, n_features: int) -> tuple[tuple[bytes, ...], ...]:
    if not container.enc:
        return ((),) * n_features
    if len(container.enc) != n_features:
        raise NotWholeError(f"Expected the categories of {n_features} inputs, got {len(container.enc)} - {WHERE}, cats")
    names: list[tuple[bytes, ...]] = []
    for encoded in container.enc:
        if encoded.offsets is None:
            names.append(tuple(str(value).encode() for value in encoded.values))
            continue
        # The bytes are written as signed numbers.
        joined = bytes(int(value) % 256 for value in encoded.values)
        names.append(tuple(joined[start:end] for start, end in itertools.pairwise(encoded.offsets)))
    return tuple(names)


class _Parts:
    """Tables of the trees read so far."""

    def __init__(self, n_features: int) -> None:
        self._n_features = n_features
        self._columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _KINDS}
        self._sizes: list[int] = []
        self._n_nodes = self._n_words = self._n_bitsets = 0

    def add(self, tree: TreeText, where: str) -> None:
        """Append one tree."""
        arrays = _arrays(tree, where)
        order = _reached(arrays["left"], arrays["right"], whole(tree.tree_param.num_deleted, where), where)
        place = np.full(len(arrays["left"]), -1)
        place[order] = np.arange(len(order))
        columns = {name: values[order] for name, values in arrays.items() if name != "split_type"}
        for side in ("left", "right"):
            columns[side] = np.where(columns[side] >= 0, place[columns[side]] + self._n_nodes, -1)
        columns["bitset"], words, sizes = _bitsets(tree, arrays, order, where)
        columns["bitset"] = np.where(columns["bitset"] >= 0, columns["bitset"] + self._n_bitsets, NUMERIC)
        self._check(columns, where)
        columns |= {"words": words, "word_bounds": self._n_words + np.cumsum(sizes) - sizes}
        for name, column in columns.items():
            self._columns[name].append(column)
        self._sizes.append(len(order))
        self._n_nodes += len(order)
        self._n_words += len(words)
        self._n_bitsets += len(sizes)
        if self._n_words > _MOST_WORDS:
            raise ContractError(f"Expected at most {_MOST_WORDS} words of categories, got more - {WHERE}, {where}")

    def _check(self, columns: dict[str, NDArray[Any]], where: str) -> None:
        is_split, is_numeric = columns["left"] >= 0, columns["bitset"] == NUMERIC
        feature = columns["feature"][is_split]
        if ((feature < 0) | (feature >= self._n_features)).any():
            raise NotWholeError(f"Expected features below {self._n_features}, got another - {WHERE}, {where}")
        if not np.isfinite(columns["value"][is_numeric]).all():
            raise NotWholeError(f"Expected finite thresholds and leaves, got others - {WHERE}, {where}")
        if not np.isfinite(columns["hessian"]).all() or (columns["hessian"] < 0).any():
            raise NotWholeError(f"Expected finite sums of hessians from 0, got others - {WHERE}, {where}")
        if not (columns["hessian"][is_split] > 0).all():
            raise ContractError(
                f"Expected training rows at every split, got none, so no explanation - {WHERE}, {where}"
            )

    def tables(self) -> dict[str, Any]:
        """All trees as tables."""
        tables: dict[str, Any] = {
            name: np.concatenate([np.zeros(0, kind), *self._columns[name]]).astype(kind)
            for name, kind in _KINDS.items()
        }
        tables["starts"] = np.cumsum([0, *self._sizes])
        tables["word_bounds"] = np.append(tables["word_bounds"], self._n_words)
        return tables


_KINDS: Final[dict[str, Any]] = {
    "left": np.int64,
    "right": np.int64,
    "feature": np.int64,
    "value": np.float32,
    "is_left_default": np.bool_,
    "bitset": np.int64,
    "words": np.int64,
    "word_bounds": np.int64,
    "hessian": np.float64,
    "gain": np.float64,
}


def _arrays(tree: TreeText, where: str) -> dict[str, NDArray[Any]]:
    """The columns of a tree, each as long as the tree has nodes."""
    n_nodes = whole(tree.tree_param.num_nodes, where)
    if whole(tree.tree_param.size_leaf_vector, where) > 1:
        raise ContractError(f"Expected leaves of one output, got several; possible is {POSSIBLE} - {WHERE}, {where}")
    given: dict[str, tuple[Any, Any]] = {
        "left": (tree.left_children, np.int64),
        "right": (tree.right_children, np.int64),
        "feature": (tree.split_indices, np.int64),
        "value": (tree.split_conditions, np.float64),
        "is_left_default": (tree.default_left, np.bool_),
        "hessian": (tree.sum_hessian, np.float64),
        "gain": (tree.loss_changes or [0.0] * n_nodes, np.float64),
        "split_type": (tree.split_type or [0] * n_nodes, np.int64),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name, (values, kind) in given.items():
        if len(values) != n_nodes or not n_nodes:
            raise NotWholeError(f"Expected {max(n_nodes, 1)} nodes, got {len(values)} - {WHERE}, {where}, {name}")
        try:
            arrays[name] = np.array(values, kind)
        except OverflowError:
            raise NotWholeError(f"Expected numbers of 64 bits, got a larger one - {WHERE}, {where}, {name}") from None
    with np.errstate(over="ignore"):
        arrays["value"] = arrays["value"].astype(np.float32)
    return arrays


def _reached(left: IntArray, right: IntArray, n_deleted: int, where: str) -> IntArray:
    """The nodes below the root in order of depth, each once; all others must be deleted ones."""
    level, levels, n_found = np.zeros(1, np.int64), [], 0
    fault = NotWholeError(f"Expected every node once, below its parent - {WHERE}, {where}")
    while len(level):
        n_found += len(level)
        if n_found > len(left):
            raise fault
        levels.append(level)
        if ((left[level] < 0) != (right[level] < 0)).any():
            raise fault
        level = np.column_stack([left[level], right[level]])[left[level] >= 0].ravel()
        if (level >= len(left)).any():
            raise fault
    order = np.concatenate(levels)
    if len(np.unique(order)) != len(order) or len(left) - len(order) != n_deleted:
        raise fault
    return order


def _bitsets(
    tree: TreeText, arrays: dict[str, NDArray[Any]], order: IntArray, where: str
) -> tuple[IntArray, IntArray, IntArray]:
    """Number of each reached node's bitset within the tree, the words of all, and how many words each has."""
    fault = NotWholeError(f"Expected the categories of every categorical split - {WHERE}, {where}")
    is_set = (arrays["split_type"] == 1) & (arrays["left"] >= 0)
    number = np.full(len(is_set), NUMERIC)
    lengths = {len(tree.categories_nodes), len(tree.categories_segments), len(tree.categories_sizes)}
    if len(lengths) != 1 or not np.isin(arrays["split_type"], (0, 1)).all():
        raise fault
    words: list[IntArray] = []
    for node, first, size in zip(tree.categories_nodes, tree.categories_segments, tree.categories_sizes, strict=True):
        held = tree.categories[first : first + size] if first >= 0 and size >= 0 else []
        if len(held) != size or not 0 <= node < len(is_set) or not is_set[node] or number[node] != NUMERIC:
            raise fault
        number[node] = len(words)
        words.append(_words(held, where))
    reached = number[order]
    if ((reached == NUMERIC) & is_set[order]).any():
        raise fault
    return reached, np.concatenate([np.zeros(0, np.int64), *words]), np.array([len(part) for part in words], np.int64)


def _words(categories: list[int], where: str) -> IntArray:
    if any(not 0 <= category <= LARGEST_CATEGORY for category in categories):
        raise ContractError(f"Expected categories from 0 to {LARGEST_CATEGORY}, got another - {WHERE}, {where}")
    words = np.zeros(max(categories, default=0) // _WORD_BITS + 1, np.int64)
    for category in categories:
        words[category // _WORD_BITS] |= 1 << category % _WORD_BITS
    return words
