"""What a request carries, and what follows from it: the derived features of a schema."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from serving.contract.documents import DECIDING_VERSION, Deciding, Feature
from serving.contract.expressions import OCCURRED_AT, Kind, fields_of
from serving.contract.row_compiler import Complete, row_function
from serving.contract.whole_results import tree_of

DERIVED: Final = "derived"
EXAMPLE_MOMENT: Final = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
"""When the event of a made-up request happened."""


def is_derived(feature: Feature) -> bool:
    """Whether the server computes the feature, so that a request does not carry it."""
    return feature.source == DERIVED


def derived_from(feature: Feature) -> tuple[str, ...]:
    """Names of the fields that a derived feature follows from."""
    return fields_of(tree_of(feature))


def request_fields(schema: Sequence[Feature], facts: Sequence[Feature] = ()) -> tuple[Feature, ...]:
    """What a request carries: the features that are not derived, then the facts that are no inputs of the model."""
    return (*(feature for feature in schema if not is_derived(feature)), *facts)


def field_kinds(fields: Sequence[Feature]) -> dict[str, Kind]:
    """Type of every field that an expression may read, `occurred_at` included."""
    kinds: dict[str, Kind] = {field.name: "text" if field.dtype == "category" else "number" for field in fields}
    kinds[OCCURRED_AT] = "time"
    return kinds


def is_completed(schema: Sequence[Feature], facts: Sequence[Feature] = ()) -> bool:
    """Whether the row of a request is more than the values that it carries."""
    return bool(facts) or any(is_derived(feature) or isinstance(feature.other, str) for feature in schema)


def completion(schema: Sequence[Feature], facts: Sequence[Feature] = ()) -> Complete:
    """A function from the values of `request_fields` and `occurred_at` to the model's row; see `row_function`."""
    return row_function(schema, request_fields(schema, facts))


def facts_of(deciding: Deciding) -> tuple[Feature, ...]:
    """Fields of a request that are no inputs of the model."""
    return deciding.facts if isinstance(deciding.facts, tuple) else ()


def fields_of_request(deciding: Deciding) -> tuple[Feature, ...]:
    """What a request to a model carries."""
    return request_fields(deciding.features, facts_of(deciding))


def deciding_version(schema: Sequence[Feature], facts: Sequence[Feature]) -> int:
    """Oldest version of a deciding file that holds these, so that older servers read all that they can."""
    is_new = bool(facts) or any(
        feature.derivation is not msgspec.UNSET or feature.other is not msgspec.UNSET for feature in schema
    )
    return DECIDING_VERSION if is_new else 1
