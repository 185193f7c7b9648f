"""Trees of features of dtype int whose every result is a whole constant, as of most flags: they need no conversion."""

import math
from typing import Final

from serving.contract.documents import ContractError, Feature
from serving.contract.expressions import Call, Derivation, Expression, Null, Number

LARGEST_WHOLE: Final = float(2**53)
"""Doubles count every integer up to this."""


def tree_of(feature: Feature) -> Expression:
    """The tree of a derived feature; raises `ContractError` if it has none."""
    if not isinstance(feature.derivation, Derivation):
        raise ContractError(f"Expected a derivation of a derived feature, got none - at feature {feature.name}")
    return feature.derivation.tree


def has_whole_results(feature: Feature) -> bool:
    """Whether every result of an int feature is a whole constant or null, as of most flags."""
    return feature.dtype == "int" and all(
        isinstance(leaf, Null) or (isinstance(leaf, Number) and _is_whole(leaf.value))
        for leaf in _leaves(tree_of(feature))
    )


def has_valid_results(feature: Feature) -> bool:
    """Whether the schema allows every result of a feature with whole results, so that none needs a check."""
    lowest = -math.inf if feature.minimum is None else feature.minimum
    highest = math.inf if feature.maximum is None else feature.maximum
    return all(
        lowest <= leaf.value <= highest if isinstance(leaf, Number) else feature.is_nullable
        for leaf in _leaves(tree_of(feature))
    )


def with_whole_results(feature: Feature) -> Expression:
    """The tree, with ints as results where it has whole constants only, which saves a conversion for each request."""
    return _with_int_leaves(tree_of(feature)) if has_whole_results(feature) else tree_of(feature)


def _leaves(tree: Expression) -> list[Expression]:
    if isinstance(tree, Call) and tree.operation == "case":
        return [leaf for result in (*tree.arguments[1::2], tree.arguments[-1]) for leaf in _leaves(result)]
    return [tree]


def _with_int_leaves(tree: Expression) -> Expression:
    if isinstance(tree, Number):
        return Number(int(tree.value))
    if isinstance(tree, Call):
        last = len(tree.arguments) - 1
        return Call(
            tree.operation,
            tuple(
                _with_int_leaves(argument) if index % 2 or index == last else argument
                for index, argument in enumerate(tree.arguments)
            ),
        )
    return tree


def _is_whole(value: float) -> bool:
    return abs(value) <= LARGEST_WHOLE and value == math.floor(value)
