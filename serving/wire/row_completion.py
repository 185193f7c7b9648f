"""Completes decoded requests: maps unseen categories, computes derived features, and compares those that were sent."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from serving.contract.derivation import completion, derived_from, is_derived, request_fields
from serving.contract.documents import Feature
from serving.contract.features import Value
from serving.contract.row_compiler import RowError
from serving.errors import InvalidRequestError

CompletedRow: TypeAlias = tuple[tuple[Value, ...], tuple[Value, ...], int, int]
"""`values`, `facts`, `derived_sent` and `unseen` of a `ScoreRequest`; a plain tuple, since each request makes one."""


class RowCompletion:
    """Completes the rows of requests to one model: unseen categories, and derived features."""

    def __init__(self, schema: Sequence[Feature], facts: Sequence[Feature]) -> None:
        fields = request_fields(schema, facts)
        self._complete = completion(schema, facts)
        self._width, self._facts_from = len(fields), len(fields) - len(facts)
        derived = tuple((index, feature) for index, feature in enumerate(schema) if is_derived(feature))
        self._derived = derived
        self._until = self._width + len(derived)
        self._unsent = (msgspec.UNSET,) * len(derived)
        self._open = tuple(
            (index, frozenset((*(field.categories or ()), None)), field.other)
            for index, field in enumerate(fields)
            if isinstance(field.other, str)
        )

    def completed(self, values: tuple[Any, ...], occurred_at: dt.datetime, at: str) -> CompletedRow:
        """The row of decoded values: fields, derived features, other names.

        Raises
        ------
        InvalidRequestError
            If a derived feature is invalid, or the request carries another value for it.
        """
        fields = values[: self._width]
        unseen = 0
        if self._open:
            fields, unseen = self._mapped(fields)
        try:
            row = self._complete(fields, occurred_at)
        except RowError as error:
            raise _underivable(error, occurred_at, at) from None
        sent = values[self._width : self._until]
        derived_sent = 0 if sent == self._unsent else self._agreeing(sent, row, occurred_at, at)
        return row, fields[self._facts_from :], derived_sent, unseen

    def _mapped(self, fields: tuple[Any, ...]) -> tuple[tuple[Any, ...], int]:
        """The fields with `other` for each category that is not listed, and how many these were."""
        mapped = list(fields)
        unseen = 0
        for index, listed, other in self._open:
            if fields[index] not in listed:
                mapped[index] = other
                unseen += 1
        return (tuple(mapped), unseen) if unseen else (fields, 0)

    def _agreeing(self, sent: tuple[Any, ...], row: tuple[Any, ...], occurred_at: dt.datetime, at: str) -> int:
        """The number of derived features that a request carried, if each has the derived value."""
        count = 0
        for value, (index, feature) in zip(sent, self._derived, strict=True):
            if value is msgspec.UNSET:
                continue
            count += 1
            if value != row[index]:
                message = f"Expected no value, or the one that follows from {', '.join(derived_from(feature))}"
                path = f"{at}.features.{feature.name}"
                refusal = InvalidRequestError(message, path, feature=feature.name, fault="contradiction")
                refusal.occurred_on = occurred_at.date()
                raise refusal
        return count


def _underivable(error: RowError, occurred_at: dt.datetime, at: str) -> InvalidRequestError:
    feature = error.feature
    expected = {
        "null": "a value",
        "range": "a value within its range",
        "category": "one of its categories",
    }[error.fault]
    read = ", ".join(derived_from(feature))
    message = f"Expected fields from which {feature.name} has {expected}; it is derived from {read}"
    refusal = InvalidRequestError(message, f"{at}.features", feature=feature.name, fault=error.fault)
    refusal.occurred_on = occurred_at.date()
    return refusal
