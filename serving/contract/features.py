"""Converts features to a model's row, for training, golden rows, requests and replays alike."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from serving.contract.derivation import derived_from, is_derived, request_fields
from serving.contract.documents import ContractError, Feature

Value: TypeAlias = float | int | str | None

LARGEST_INTEGER: Final = 2**53
"""Trees compare doubles, which do not represent every integer beyond this."""

_NAN: Final = math.nan


class RowEncoder:
    """Turns values in the schema's order into the doubles that the trees compare.

    A category becomes its index in the schema's `categories`, null becomes NaN, a number stays unchanged.

    Examples
    --------
    >>> kind = Feature(name="kind", dtype="category", categories=("online", "shop"))
    >>> amount = Feature(name="amount", dtype="float", is_nullable=True)
    >>> RowEncoder((kind, amount)).row(("shop", None))
    [1.0, nan]
    """

    def __init__(self, schema: Sequence[Feature]) -> None:
        self._codes = [_codes(feature) for feature in schema]
        self._is_plain = all(feature.dtype != "category" and not feature.is_nullable for feature in schema)

    def row(self, values: Sequence[Value]) -> Sequence[float]:
        """The row of `values`, which are valid: shape ``(n_features,)``."""
        if self._is_plain:
            return values  # type: ignore[return-value]  # no null and no category: the values are the row
        return [
            _NAN if value is None else codes[value] if codes is not None else value  # type: ignore[misc,index]
            for value, codes in zip(values, self._codes, strict=True)
        ]


@functools.lru_cache(maxsize=64)
def features_type(schema: tuple[Feature, ...], also_allowed: frozenset[str] = frozenset()) -> type[msgspec.Struct]:
    """The type that a request's `features` must have: one strict field for each feature, in the schema's order.

    The names in `also_allowed` are allowed too, after these fields and with any value. Types are cached by schema:
    creating one takes longer than checking a hundred rows.
    """
    fields: list[Any] = [(feature.name, _field_type(feature)) for feature in schema]
    others = sorted(also_allowed - {feature.name for feature in schema})
    fields += [(name, Any, None) for name in others]
    return msgspec.defstruct("Features", fields, forbid_unknown_fields=True, frozen=True, gc=False)


@functools.lru_cache(maxsize=64)
def request_type(
    schema: tuple[Feature, ...], facts: tuple[Feature, ...], also_allowed: frozenset[str] = frozenset()
) -> type[msgspec.Struct]:
    """The type of a request's `features` for a model whose row is completed: fields, derived features, other names.

    The fields of `request_fields` are strict, and a category with `other` is any text. A derived feature may be there,
    as any value, for callers of a release that did not derive it; so may the names in `also_allowed`.
    """
    fields: list[Any] = [(field.name, _open_type(field)) for field in request_fields(schema, facts)]
    derived = [feature for feature in schema if is_derived(feature)]
    fields += [(feature.name, _derived_type(feature), msgspec.UNSET) for feature in derived]
    others = sorted(also_allowed - {name for name, *_ in fields})
    fields += [(name, Any, None) for name in others]
    return msgspec.defstruct("Features", fields, forbid_unknown_fields=True, frozen=True, gc=False)


def _open_type(field: Feature) -> Any:
    """The type of a field; of a category with `other`, any text."""
    if not isinstance(field.other, str):
        return _field_type(field)
    listed = ", ".join(field.categories or ())
    meta = msgspec.Meta(description=f"One of {listed}; any other text is {field.other}.")
    plain = Annotated[str, meta]
    return plain | None if field.is_nullable else plain


def _derived_type(feature: Feature) -> Any:
    """The type of a derived feature that a request need not carry."""
    read = ", ".join(derived_from(feature))
    meta = msgspec.Meta(
        description=f"Derived from {read}. Leave it out; a value other than the derived one is refused.",
        extra_json_schema={"deprecated": True},
    )
    plain = str if feature.dtype == "category" else float
    return Annotated[plain | None, meta] | msgspec.UnsetType


def encode(features: Mapping[str, Value], schema: Sequence[Feature]) -> Sequence[float]:
    """Check `features` as strictly as a request's, and turn them into the model's row.

    Raises
    ------
    ContractError
        If a feature is missing or unknown, has another type, or is outside its range or categories. The message
        names the feature and what was expected, never the value.
    """
    try:
        checked = msgspec.convert(features, features_type(tuple(schema)))
    except msgspec.ValidationError as error:
        raise ContractError(_without_value(str(error))) from None
    return RowEncoder(schema).row(msgspec.structs.astuple(checked))


def _codes(feature: Feature) -> dict[str, float] | None:
    if feature.dtype != "category":
        return None
    if not feature.categories:
        raise ContractError(f"Expected categories, got none - at feature {feature.name}")
    return {category: float(index) for index, category in enumerate(feature.categories)}


def _field_type(feature: Feature) -> Any:
    if feature.dtype == "category":
        if not feature.categories:
            raise ContractError(f"Expected categories, got none - at feature {feature.name}")
        plain: Any = Literal[feature.categories]
    elif feature.dtype == "int":
        plain = Annotated[int, msgspec.Meta(ge=_lowest(feature), le=_highest(feature))]
    elif feature.minimum is None and feature.maximum is None:
        plain = float
    else:
        plain = Annotated[float, msgspec.Meta(ge=feature.minimum, le=feature.maximum)]
    return plain | None if feature.is_nullable else plain


def _lowest(feature: Feature) -> int:
    return -LARGEST_INTEGER if feature.minimum is None else max(-LARGEST_INTEGER, math.ceil(feature.minimum))


def _highest(feature: Feature) -> int:
    return LARGEST_INTEGER if feature.maximum is None else min(LARGEST_INTEGER, math.floor(feature.maximum))


def _without_value(message: str) -> str:
    violation, _, path = message.partition(" - at ")
    if violation.startswith("Invalid enum value"):
        violation = "Expected one of the feature's categories"
    if violation.startswith("Object contains unknown field"):
        violation = "Expected only the features of the schema, got another one"
    return f"{violation} - at {path or '`$`'}"
