"""Strict decoding of score requests; errors never repeat input."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from serving.contract.derivation import EXAMPLE_MOMENT, is_completed, request_fields
from serving.contract.documents import Feature
from serving.contract.features import Value, features_type, request_type
from serving.contract.schema_rules import ENVELOPE
from serving.errors import Fault, InvalidRequestError
from serving.wire.row_completion import RowCompletion

# The pattern is only for the schema: `_checked` tests the same without a regular expression, which is slower.
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, extra_json_schema={"pattern": "^[!-~]+$"})]
_EntityKey = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]

_KEYS: Final = (*ENVELOPE, "features")

# Messages of msgspec that hold no input: types, bounds of the schema, positions.
_HARMLESS: Final = re.compile(
    r"Expected `[a-z| ]+`, got `[a-z]+`"
    r"|Expected `[a-z]+` (?:<|>)=? -?[0-9.e+-]+"
    r"|Expected `str` of length (?:<|>)= [0-9]+"
    r"|Expected `datetime` with a timezone component"
    r"|Number out of range"
    r"|JSON is malformed: [a-z0-9 ,'-]+ \(byte [0-9]+\)"
)
_FAULTS: Final[tuple[tuple[re.Pattern[str], Fault], ...]] = (
    (re.compile("Invalid enum value"), "category"),
    (re.compile("Expected `[a-z| ]+`, got `null`"), "null"),
    (re.compile("Number out of range|Expected `[a-z]+` (?:<|>)"), "range"),
    (re.compile("Expected `[a-z]+` of length"), "range"),
    (re.compile("Expected `|Invalid RFC3339"), "type"),
    (re.compile("Object missing required field"), "missing"),
    (re.compile("Object contains unknown field"), "unknown_key"),
)
_REWORDED: Final = (
    ("Invalid RFC3339 encoded datetime", "Expected an RFC 3339 timestamp such as 2026-01-31T23:59:00Z"),
    ("Input data was truncated", "Expected a complete JSON document, got a truncated one"),
)


class ScoreRequest(msgspec.Struct, frozen=True, gc=False):
    """A valid request: `values` holds the features in the schema's order, derived ones included.

    `facts` holds the fields that are no features. `derived_sent` counts the derived features that the request carried
    although it need not, `unseen` the categories that became their field's `other`.
    """

    decision_id: str
    transaction_id: str
    entity_key: str
    occurred_at: dt.datetime
    values: tuple[Value, ...]
    facts: tuple[Value, ...] = ()
    derived_sent: int = 0
    unseen: int = 0


class RequestReader:
    """Decodes the score requests of one model.

    Parameters
    ----------
    schema
        The model's features. A request carries all but the derived ones, which may be there if they are equal.
    facts
        Further fields that derived features follow from.
    also_allowed
        Names of features that other models of the same release need; a request may hold them, and they are ignored.
    """

    def __init__(
        self,
        schema: Sequence[Feature],
        also_allowed: frozenset[str] = frozenset(),
        facts: Sequence[Feature] = (),
    ) -> None:
        self._schema = {feature.name: feature for feature in (*schema, *facts)}
        fields = request_fields(schema, facts)
        self._fields = tuple(field.name for field in fields)
        self._width = len(fields)
        self._floats = tuple(index for index, field in enumerate(fields) if field.dtype == "float")
        self._completion = RowCompletion(schema, facts) if is_completed(schema, facts) else None
        self._features_type = (
            features_type(tuple(schema), also_allowed)
            if self._completion is None
            else request_type(tuple(schema), tuple(facts), also_allowed)
        )
        self._has_others = len(self._features_type.__struct_fields__) > self._width
        self._type = msgspec.defstruct(
            "ScoreRequest",
            list(zip(_KEYS, (_Id, _Id, _EntityKey, _Moment, self._features_type), strict=True)),
            forbid_unknown_fields=True,
            frozen=True,
            gc=False,
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._type)

    def read(self, body: bytes | msgspec.Raw, at: str = "$") -> ScoreRequest:
        """Decode one request from JSON; `at` is its JSON path in the body, for errors.

        Raises
        ------
        InvalidRequestError
            If the body is not JSON, a key is missing or unknown, or a value has the wrong type or is out of range.
        """
        try:
            request = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._error_of(error, lambda: msgspec.json.decode(body), at) from None
        return self._checked(request, at)

    def convert(self, document: Mapping[str, Any], at: str = "$") -> ScoreRequest:
        """Check a request that another protocol has decoded, as strictly as `read`; raises as `read`."""
        try:
            request: Any = msgspec.convert(document, self._type)
        except msgspec.ValidationError as error:
            raise self._error_of(error, lambda: document, at) from None
        # Unlike JSON, a tensor can hold NaN and infinity.
        for index in self._floats:
            name = self._fields[index]
            value = getattr(request.features, name)
            if value is not None and not math.isfinite(value):
                path = f"{at}.features.{name}"
                refusal = InvalidRequestError("Expected a finite number", path, feature=name, fault="range")
                refusal.occurred_on = _day_of(lambda: document)
                raise refusal
        return self._checked(request, at)

    def _checked(self, request: Any, at: str) -> ScoreRequest:
        occurred_at = request.occurred_at
        for name, value in (("decision_id", request.decision_id), ("transaction_id", request.transaction_id)):
            if not (value.isascii() and value.isprintable()) or " " in value:
                message = "Expected printable ASCII characters without spaces"
                raise InvalidRequestError(message, f"{at}.{name}", feature=name, fault="range")
        if occurred_at.tzinfo is not dt.UTC:
            try:
                occurred_at = occurred_at.astimezone(dt.UTC)
            except OverflowError:
                message, path = "Expected a year from 1 to 9999 in UTC", f"{at}.occurred_at"
                raise InvalidRequestError(message, path, feature="occurred_at", fault="range") from None
        values = msgspec.structs.astuple(request.features)
        if self._completion is not None:
            row, facts, derived_sent, unseen = self._completion.completed(values, occurred_at, at)
            return ScoreRequest(
                request.decision_id,
                request.transaction_id,
                request.entity_key,
                occurred_at,
                row,
                facts,
                derived_sent,
                unseen,
            )
        return ScoreRequest(
            request.decision_id,
            request.transaction_id,
            request.entity_key,
            occurred_at,
            values[: self._width] if self._has_others else values,
        )

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the request."""
        schema: dict[str, Any] = msgspec.json.schema(self._type)
        return schema

    def schema_components(self, prefix: str, reference: str) -> dict[str, Any]:
        """`json_schema` as components, named with `prefix` and referred to by `reference` (``{name}``)."""
        template = reference.replace("{name}", prefix + "{name}")
        _, components = msgspec.json.schema_components([self._type], ref_template=template)
        return {prefix + name: schema for name, schema in components.items()}

    def _error_of(self, error: Exception, document: Callable[[], Any], at: str) -> InvalidRequestError:
        if isinstance(error, UnicodeDecodeError):
            return InvalidRequestError("Expected UTF-8", at, fault="form")
        if isinstance(error, RecursionError):
            return InvalidRequestError("Expected a less deeply nested document", at, fault="form")
        violation, _, rest = str(error).partition(" - at `")
        path = self._declared(rest.removesuffix("`") or "$")
        refusal = InvalidRequestError(
            self._message(violation, path, document),
            at + path.removeprefix("$"),
            feature=self._feature(violation, path),
            fault=_fault_of(violation),
        )
        refusal.occurred_on = _day_of(document)
        return refusal

    def _feature(self, violation: str, path: str) -> str | None:
        """The feature, or key of the envelope, at fault: the path's last name, or the first one that is missing."""
        name = path.removeprefix("$").removeprefix(".features").removeprefix(".") or _quoted(violation)
        return name if name in self._schema or name in ENVELOPE else None

    def _message(self, violation: str, path: str, document: Callable[[], Any]) -> str:
        if violation.startswith("Object contains unknown field"):
            return f"Expected only the keys {self._keys(path)}, got another one"
        if violation.startswith("Object missing required field"):
            return self._missing(path, document)
        if violation.startswith("Invalid enum value"):
            categories = self._schema[path.rpartition(".")[2]].categories
            return f"Expected one of {list(categories or ())}"
        for prefix, message in _REWORDED:
            if violation.startswith(prefix):
                return message
        return violation if _HARMLESS.fullmatch(violation) else "Expected a valid score request"

    def _declared(self, path: str) -> str:
        """`path` if it consists of the schema's names, else the document's root."""
        names = path.split(".")[1:]
        return path if all(name in _KEYS or name in self._schema for name in names) else "$"

    def _keys(self, path: str) -> list[str]:
        return list(self._fields if path == "$.features" else _KEYS)

    def _missing(self, path: str, document: Callable[[], Any]) -> str:
        expected = self._keys(path)
        noun = "features" if path == "$.features" else "keys"
        try:
            received = document()["features"] if path == "$.features" else document()
            missing = [name for name in expected if name not in received]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            # The document is invalid after this point, or repeats a key.
            missing = []
        return f"Expected {len(expected)} {noun}, " + (f"missing {missing}" if missing else "got fewer")


def _fault_of(violation: str) -> Fault:
    """The kind of a violation, from msgspec's message.

    Examples
    --------
    >>> _fault_of("Expected `float`, got `null`"), _fault_of("Expected `int` >= 0")
    ('null', 'range')
    """
    for pattern, fault in _FAULTS:
        if pattern.match(violation):
            return fault
    return "form"


def _day_of(document: Callable[[], Any]) -> dt.date | None:
    """The UTC day of the event that a refused request names, as far as it can be read."""
    try:
        moment = msgspec.convert(document()["occurred_at"], _Moment)
        return moment.astimezone(dt.UTC).date()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, KeyError, OverflowError):
        return None


def _quoted(violation: str) -> str:
    """The name that a message of msgspec quotes."""
    return violation.partition("`")[2].rpartition("`")[0]


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The body of a batch, with its requests not yet decoded."""

    requests: list[msgspec.Raw]


_batch_decoder = msgspec.json.Decoder(Batch)


def read_batch(body: bytes, max_batch: int) -> list[msgspec.Raw]:
    """The requests of a batch's body ``{"requests": [...]}``, not yet decoded.

    Raises
    ------
    InvalidRequestError
        If the body has another form, or not 1 to `max_batch` requests.
    """
    try:
        requests = _batch_decoder.decode(body).requests
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = 'Expected an object {"requests": [...]} with a list of score requests'
        raise InvalidRequestError(message, "$", fault="form") from None
    check_batch_size(len(requests), max_batch)
    return requests


def check_batch_size(size: int, max_batch: int) -> None:
    """Raise `InvalidRequestError` unless there are 1 to `max_batch` requests."""
    if not 1 <= size <= max_batch:
        raise InvalidRequestError(f"Expected 1 to {max_batch} requests, got {size}", "$.requests")


def example_request(fields: Sequence[Feature], values: Mapping[str, Value] | None = None) -> dict[str, Any]:
    """A valid request as a template for a first call: fields with `values`, others made up from the schema."""
    values = values or {}
    return {
        "decision_id": "example-1",
        "transaction_id": "1",
        "entity_key": "1",
        "occurred_at": EXAMPLE_MOMENT.isoformat().replace("+00:00", "Z"),
        "features": {
            field.name: values[field.name] if field.name in values else example_value(field) for field in fields
        },
    }


def example_value(feature: Feature) -> Value:
    """A value within a feature's domain: its first category, or the valid number closest to 1.

    Examples
    --------
    >>> example_value(Feature(name="share", dtype="float", minimum=0, maximum=0.5))
    0.5
    """
    if feature.categories:
        return feature.categories[0]
    lowest = -math.inf if feature.minimum is None else feature.minimum
    highest = math.inf if feature.maximum is None else feature.maximum
    value = min(max(1.0, lowest), highest)
    if feature.dtype == "float":
        return value
    return math.ceil(value) if math.ceil(value) <= highest else math.floor(value)
