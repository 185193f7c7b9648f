"""Golden rows of models with derived features: the check of their derivation, and the example mixed from them."""

import datetime as dt
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from serving.artefacts.bundle import Bundle
from serving.contract.derivation import EXAMPLE_MOMENT, completion, facts_of, is_derived, request_fields
from serving.contract.documents import ContractError, Deciding, GoldenRow
from serving.contract.features import Value
from serving.contract.row_compiler import Row, RowError

EXAMPLE_ROWS: Final = 16
"""Golden rows whose values an example tries: some hundred scores while a bundle is loaded."""


class _Scored(Protocol):
    @property
    def margin(self) -> float:
        """Log odds."""


class _Model(Protocol):
    """The part of `LoadedModel` that an example needs."""

    bundle: Bundle

    def score(self, values: Sequence[Value], /) -> _Scored:
        """Score a row of valid values."""


class _Candidate(NamedTuple):
    """Fields of a request, and the margin of their row."""

    fields: tuple[Value, ...]
    margin: float


def check_derived(golden: GoldenRow, deciding: Deciding) -> None:
    """Check that this server derives from a golden row's fields the bits that it holds.

    Raises
    ------
    ContractError
        If the row lacks its time or a field, or a derived feature differs; the message names the feature.
    """
    derived = [(index, feature) for index, feature in enumerate(deciding.features) if is_derived(feature)]
    if not derived:
        return
    if not isinstance(golden.occurred_at, dt.datetime):
        raise ContractError("Expected the time of a golden row with derived features, got none - at `occurred_at`")
    try:
        fields = _fields(golden, deciding)
        row = completion(deciding.features, facts_of(deciding))(fields, golden.occurred_at.astimezone(dt.UTC))
    except KeyError as error:
        raise ContractError(f"Expected a field, got none - at `{error.args[0]}`") from None
    except (RowError, TypeError) as error:
        raise ContractError(f"Expected fields with derived values, got {type(error).__name__} - at `facts`") from None
    for index, feature in derived:
        expected, actual = golden.features.get(feature.name), row[index]
        if _bits(expected) != _bits(actual):
            raise ContractError(f"Expected {expected!r}, derived {actual!r} - at `{feature.name}`")


def adverse_example(model: _Model) -> dict[str, Value]:
    """The golden row with the highest score, each field in turn replaced by the golden value that raises it most.

    Empty if no golden row's fields give every derived feature a valid value at `EXAMPLE_MOMENT`.
    """
    deciding = model.bundle.deciding
    fields = request_fields(deciding.features, facts_of(deciding))
    complete = completion(deciding.features, facts_of(deciding))
    rows = [_fields(golden, deciding) for golden in model.bundle.golden]

    def scored(candidates: Sequence[Row]) -> list[_Candidate]:
        found = []
        for candidate in candidates:
            try:
                found.append(_Candidate(candidate, model.score(complete(candidate, EXAMPLE_MOMENT)).margin))
            except RowError:
                continue
        return found

    tried = scored(rows)
    if not tried:
        return {}
    best = max(tried, key=lambda each: each.margin)
    for position in range(len(fields)):
        others = dict.fromkeys(row[position] for row in rows[:EXAMPLE_ROWS])
        mixed = [(*best.fields[:position], value, *best.fields[position + 1 :]) for value in others]
        best = max([best, *scored(mixed)], key=lambda each: each.margin)
    return dict(zip((field.name for field in fields), best.fields, strict=True))


def _fields(golden: GoldenRow, deciding: Deciding) -> Row:
    """The values that a request of the row would carry."""
    facts = golden.facts if isinstance(golden.facts, dict) else {}
    held = golden.features | facts
    return tuple(held[field.name] for field in request_fields(deciding.features, facts_of(deciding)))


def _bits(value: Value) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value
