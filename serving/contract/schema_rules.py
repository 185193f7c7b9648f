"""Rules for a model's features, so that every protocol can carry each of them and each value.

The server applies them to a bundle when it loads, `lifecycle` to a model's file before anything runs.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from serving.contract.derivation import field_kinds, is_derived, request_fields
from serving.contract.documents import Feature
from serving.contract.expressions import Derivation, ExpressionError, Kind, kind_of

ENVELOPE: Final = ("decision_id", "transaction_id", "entity_key", "occurred_at")
"""Keys of a request in addition to its features. None has a default: an auditor needs the caller's own values."""

RESERVED_NAMES: Final = frozenset({*ENVELOPE, "features"})
"""Columns and tensors of a request in the foreign protocols, and the key of the features in the native one."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_NAME_RULE: Final = "a name of 1 to 63 ASCII letters, digits and underscores that begins with a letter"


class Violation(NamedTuple):
    """What is wrong with a schema, and the key: ``features.<index>.<field>``."""

    message: str
    key: str


def schema_violations(
    schema: Sequence[Feature], also_reserved: Collection[str] = (), facts: Sequence[Feature] = ()
) -> Iterator[Violation]:
    """Everything in a schema that a request cannot carry, that no value satisfies, or that cannot be derived.

    A name becomes a key of JSON, a column of CSV and of the warehouse, a tensor, and part of a path in errors. An empty
    category would be a missing value in CSV. A derived feature follows from fields of the request alone.

    Parameters
    ----------
    also_reserved
        Further names that the caller uses for columns next to the features.
    facts
        Fields of a request that are no features.

    Examples
    --------
    >>> [str(violation.key) for violation in schema_violations([Feature(name="Amount EUR", dtype="float")])]
    ['features.0.name']
    """
    reserved = RESERVED_NAMES.union(also_reserved)
    names: set[str] = set()
    kinds = field_kinds(request_fields(schema, facts))
    for key, feature in _keyed(schema, facts):
        name = feature.name
        if not _NAME.fullmatch(name):
            yield Violation(f"Expected {_NAME_RULE}, got {name!r}", f"{key}.name")
        elif name.lower() in reserved:
            yield Violation(f"Expected a name other than {sorted(reserved)}, got {name!r}", f"{key}.name")
        elif name.lower() in names:
            yield Violation(f"Expected names that differ in more than case, got {name!r} again", f"{key}.name")
        names.add(name.lower())
        if feature.dtype == "category":
            yield from _category_violations(feature, key)
        else:
            yield from _number_violations(feature, key)
        yield from _derivation_violations(feature, key, kinds)


def _keyed(schema: Sequence[Feature], facts: Sequence[Feature]) -> Iterator[tuple[str, Feature]]:
    yield from ((f"features.{index}", feature) for index, feature in enumerate(schema))
    yield from ((f"facts.{index}", fact) for index, fact in enumerate(facts))


def _derivation_violations(feature: Feature, key: str, kinds: Mapping[str, Kind]) -> Iterator[Violation]:
    derivation = feature.derivation
    if not is_derived(feature):
        if isinstance(derivation, Derivation):
            yield Violation(f"Expected no derivation of a feature with source {feature.source}", f"{key}.derivation")
        return
    if key.startswith("facts."):
        yield Violation("Expected a fact that requests carry, got a derived one", f"{key}.source")
        return
    if not isinstance(derivation, Derivation):
        yield Violation("Expected the derivation of a feature with source derived, got none", f"{key}.derivation")
        return
    try:
        kind = kind_of(derivation.tree, kinds)
    except ExpressionError as error:
        yield Violation(f"{error} for {feature.name!r}", f"{key}.derivation")
        return
    expected: Kind = "text" if feature.dtype == "category" else "number"
    if kind != expected:
        yield Violation(
            f"Expected an expression that gives a {expected} for {feature.name!r} of dtype {feature.dtype}, got one "
            f"that gives a {kind or 'null'}",
            f"{key}.derivation",
        )


def _category_violations(feature: Feature, key: str) -> Iterator[Violation]:
    categories = feature.categories or ()
    if not categories:
        yield Violation("Expected the categories of a feature of dtype category, got none", f"{key}.categories")
    if "" in categories:
        yield Violation("Expected categories that are not empty texts, got ''", f"{key}.categories")
    repeated = sorted({category for category in categories if categories.count(category) > 1})
    if repeated:
        yield Violation(f"Expected each category once, got {repeated} more than once", f"{key}.categories")
    if isinstance(feature.other, str) and feature.other not in categories:
        yield Violation(f"Expected one of the categories {list(categories)}, got {feature.other!r}", f"{key}.other")
    for bound in ("minimum", "maximum"):
        if getattr(feature, bound) is not None:
            yield Violation("Expected no bound of a feature of dtype category", f"{key}.{bound}")


def _number_violations(feature: Feature, key: str) -> Iterator[Violation]:
    if feature.categories is not None:
        yield Violation(f"Expected no categories of a feature of dtype {feature.dtype}", f"{key}.categories")
    if isinstance(feature.other, str):
        yield Violation(f"Expected no `other` of a feature of dtype {feature.dtype}", f"{key}.other")
    for bound in ("minimum", "maximum"):
        limit = getattr(feature, bound)
        if limit is not None and not math.isfinite(limit):
            yield Violation(f"Expected a finite number, got {limit}", f"{key}.{bound}")
            return
    lowest = -math.inf if feature.minimum is None else feature.minimum
    highest = math.inf if feature.maximum is None else feature.maximum
    if feature.dtype == "int" and math.isfinite(lowest) and math.isfinite(highest):
        lowest, highest = math.ceil(lowest), math.floor(highest)
    if lowest > highest:
        yield Violation(
            f"Expected a value between minimum {feature.minimum} and maximum {feature.maximum} to exist",
            f"{key}.maximum",
        )
