"""Keys that a model's file had before, and the keys that have taken their place."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

OLDER_KEYS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("mart",): ("examples", "mart"),
    ("columns", "transaction"): ("examples", "columns", "id"),
    ("columns", "entity"): ("examples", "columns", "entity"),
    ("columns", "occurred_at"): ("examples", "columns", "occurred_at"),
    ("columns", "amount"): ("examples", "columns", "amount"),
    ("card", "owner"): ("owner",),
    ("training", "train_days"): ("training", "train"),
    ("training", "validation_days"): ("training", "validation"),
    ("training", "fold_step_days"): ("training", "fold_step"),
    ("training", "holdout_days"): ("training", "holdout"),
    ("decision", "review_cards_per_day"): ("decision", "capacity", "review"),
    ("decision", "decline_cards_per_day"): ("decision", "capacity", "decline"),
    ("gates", "minimum_frauds"): ("gates", "minimum_positives"),
    ("retraining", "minimum_new_frauds"): ("retraining", "minimum_new_positives"),
}


def with_current_keys(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of a model, or of a profile's overrides, with the keys of today.

    Raises
    ------
    ValueError
        If it has a key in both forms.
    """
    current = copy.deepcopy(document)
    if _has(current, ("mart",)) and not _has(current, ("columns", "amount")):
        # An older file need not name the column of the amount, which every model had.
        _put(current, ("columns", "amount"), "amount")
    for older, newer in OLDER_KEYS.items():
        if _has(current, older):
            if _has(current, newer):
                raise ValueError(f"Expected one of `{'.'.join(older)}` and `{'.'.join(newer)}`, got both")
            _put(current, newer, _take(current, older))
    return current


def older_keys_in(attributes: dict[str, Any]) -> dict[str, str]:
    """The keys of today by the older keys that a model, or a profile of it, has; keys are divided by dots.

    Examples
    --------
    >>> older_keys_in({"mart": "loans", "profiles": {"demo": {"gates": {"minimum_frauds": 5}}}})
    {'mart': 'examples.mart', 'profiles.demo.gates.minimum_frauds': 'profiles.demo.gates.minimum_positives'}
    """
    profiles = attributes.get("profiles")
    documents: list[tuple[str, Any]] = [("", attributes)]
    documents += [(f"profiles.{name}.", profile) for name, profile in (profiles or {}).items()]
    return {
        f"{above}{'.'.join(older)}": f"{above}{'.'.join(newer)}"
        for above, document in documents
        for older, newer in OLDER_KEYS.items()
        if _has(document, older)
    }


def older_forms(keys: Sequence[str | int]) -> Iterator[list[str | int]]:
    """The keys under which an older file has a value.

    Examples
    --------
    >>> list(older_forms(["gates", "minimum_positives"]))
    [['gates', 'minimum_frauds']]
    """
    for older, newer in OLDER_KEYS.items():
        for start in range(len(keys)):
            if tuple(keys[start : start + len(newer)]) == newer:
                yield [*keys[:start], *older, *keys[start + len(newer) :]]


def _has(document: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def _take(document: dict[str, Any], path: Sequence[str]) -> Any:
    """Remove a value, and the mappings that it leaves empty."""
    *above, last = path
    if not above:
        return document.pop(last)
    inner = document[above[0]]
    value = _take(inner, path[1:])
    if not inner:
        del document[above[0]]
    return value


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        inner = document.setdefault(key, {})
        # What is not a mapping is a fault of its own, which the schema names.
        if not isinstance(inner, dict):
            return
        document = inner
    document[path[-1]] = value
