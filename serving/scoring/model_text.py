"""Checks of LightGBM's model text before LightGBM reads it.

LightGBM parses the trees of a text in parallel, each from the byte that ``tree_sizes`` gives. Where a size does not
fit, or a tree is cut, it ends the process instead of reporting an error (4.x: an exception leaves a parallel region).
"""

import re
from typing import Final

from serving.contract.documents import ContractError, ModelFormat

TREE: Final = b"\nTree="
END_OF_TREES: Final = b"\nend of trees"
_PARAMETERS: Final = b"\nparameters:"
_END_OF_PARAMETERS: Final = b"\nend of parameters"
_SIZES: Final = re.compile(rb"^tree_sizes=(.*)$", re.MULTILINE)


class NotWholeError(ContractError):
    """A model text is damaged: a part is missing, or its parts do not fit each other."""


def check_whole(text: bytes) -> None:
    """Check that a model text has all its trees, each as long as ``tree_sizes`` says.

    Raises
    ------
    NotWholeError
        If the text is not LightGBM's, was cut, has other line ends, or a tree has another number or length.
    """
    if b"\0" in text or b"\r" in text:
        raise NotWholeError("Expected a text with line ends \\n, got a carriage return or a NUL - at model.txt")
    if not text.startswith(b"tree\n"):
        raise NotWholeError("Expected a model in LightGBM's text format, got another text - at model.txt")
    head, end, rest = text.partition(END_OF_TREES)
    if not end or (_PARAMETERS in rest and _END_OF_PARAMETERS not in rest):
        raise NotWholeError("Expected a whole model, got a text that was cut - at model.txt")
    header, *trees = head.split(TREE)
    sizes = _SIZES.search(header)
    expected = [_size(word) for word in sizes[1].split()] if sizes else None
    if expected is not None and len(expected) != len(trees):
        raise NotWholeError(f"Expected {len(expected)} trees, got {len(trees)} - at model.txt")
    for number, tree in enumerate(trees):
        if tree.partition(b"\n")[0] != str(number).encode():
            raise NotWholeError(f"Expected tree {number}, got another - at model.txt")
        # The line break before the next tree, or before the end, belongs to the tree.
        if expected is not None and len(TREE) + len(tree) != expected[number]:
            raise NotWholeError(
                f"Expected {expected[number]} bytes, got {len(TREE) + len(tree)} - at model.txt, tree {number}"
            )


def _size(word: bytes) -> int:
    if not word.isdigit():
        raise NotWholeError("Expected the sizes of the trees in bytes, got another text - at model.txt, tree_sizes")
    return int(word)


def format_of(content: bytes) -> ModelFormat:
    """The library whose model file this could be, by its first byte: XGBoost's JSON begins with a brace."""
    return "xgboost" if content.lstrip()[:1] == b"{" else "lightgbm"
