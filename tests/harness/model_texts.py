"""Damaged model texts."""

import re
from collections.abc import Callable

from serving.scoring.model_text import END_OF_TREES, TREE

_TREE, _END = TREE.decode(), END_OF_TREES.decode()


def with_tree_sizes(text: str) -> str:
    """The text with the true sizes of its trees, as if LightGBM had written it."""
    header, *trees = text.partition(_END)[0].split(_TREE)
    sizes = " ".join(str(len((_TREE + tree).encode())) for tree in trees)
    return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", header, count=1) + text[len(header) :]


def _first(pattern: str, replacement: str) -> Callable[[str], str]:
    def changed(text: str) -> str:
        return with_tree_sizes(re.sub(pattern, replacement, text, count=1))

    return changed


_SHORTER_LEAF = re.compile(r"(leaf_value=)\S+")
DAMAGES: dict[str, Callable[[str], str]] = {
    "a shorter number": lambda text: _SHORTER_LEAF.sub(r"\g<1>0.5", text, count=1),
    "CRLF line ends": lambda text: text.replace("\n", "\r\n"),
    "cut in the middle": lambda text: text[: len(text) // 2],
    "cut before the end": lambda text: text[: text.index(_END)],
    "cut in the parameters": lambda text: text[: text.index("\nend of parameters") - 40],
    "a tree is missing": lambda text: text[: text.index("\nTree=1\n")] + text[text.index("\nTree=2\n") :],
    "a NUL": lambda text: text.replace("Tree=1", "Tree\0=1", 1),
    "no number of leaves": _first(r"num_leaves=.*\n", ""),
    "no leaf values": _first(r"leaf_value=.*\n", ""),
    "a loop": _first(r"left_child=\S+", "left_child=0"),
    "a child that does not exist": _first(r"left_child=\S+", "left_child=9999999"),
    "a feature that does not exist": _first(r"split_feature=\S+", "split_feature=999"),
    "a leaf that is not a number": _first(r"(leaf_value=)\S+", r"\g<1>nan"),
}
"""Ways to damage a model text of LightGBM; all of them end LightGBM, make it loop, or make it score by what is left."""
