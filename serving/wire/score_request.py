"""What a score request must be for one model: strict decoding, and faults that never repeat what was sent."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from serving.contract.documents import Feature
from serving.contract.features import Value, features_type
from serving.errors import InvalidRequestError

# The pattern is for the schema alone: `_checked` looks for the same without a regular expression, which takes longer.
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, extra_json_schema={"pattern": "^[!-~]+$"})]
_EntityKey = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]

_ENVELOPE: Final = ("decision_id", "transaction_id", "entity_key", "occurred_at", "features")

# What msgspec says that holds nothing of the input: types, bounds of the schema, positions.
_HARMLESS: Final = re.compile(
    r"Expected `[a-z| ]+`, got `[a-z]+`"
    r"|Expected `[a-z]+` (?:<|>)=? -?[0-9.e+-]+"
    r"|Expected `str` of length (?:<|>)= [0-9]+"
    r"|Expected `datetime` with a timezone component"
    r"|Number out of range"
    r"|JSON is malformed: [a-z0-9 ,'-]+ \(byte [0-9]+\)"
)
_OWN_WORDS: Final = (
    ("Invalid RFC3339 encoded datetime", "Expected a time as in RFC 3339, for example 2026-01-31T23:59:00Z"),
    ("Input data was truncated", "Expected a whole JSON document, got one that is cut off"),
)


class ScoreRequest(msgspec.Struct, frozen=True, gc=False):
    """A valid request: `values` holds the features in the schema's order."""

    decision_id: str
    transaction_id: str
    entity_key: str
    occurred_at: dt.datetime
    values: tuple[Value, ...]


class RequestReader:
    """Decodes the score requests of one model.

    Parameters
    ----------
    schema
        The model's features.
    also_allowed
        Names of features that other models of the same release need: a request may hold them, and they are passed over.
    """

    def __init__(self, schema: Sequence[Feature], also_allowed: frozenset[str] = frozenset()) -> None:
        self._schema = {feature.name: feature for feature in schema}
        self._width = len(schema)
        self._floats = tuple(index for index, feature in enumerate(schema) if feature.dtype == "float")
        self._features_type = features_type(tuple(schema), also_allowed)
        self._has_others = len(self._features_type.__struct_fields__) > self._width
        self._type = msgspec.defstruct(
            "ScoreRequest",
            list(zip(_ENVELOPE, (_Id, _Id, _EntityKey, _Moment, self._features_type), strict=True)),
            forbid_unknown_fields=True,
            frozen=True,
            gc=False,
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._type)

    def read(self, body: bytes | msgspec.Raw, at: str = "$") -> ScoreRequest:
        """Decode one request from JSON; `at` is its place in the body, for errors.

        Raises
        ------
        InvalidRequestError
            If it is no JSON, lacks or has an extra key, or a value has another type or lies outside its range; the
            error names what was expected and the path, and nothing of what came.
        """
        try:
            request = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._fault(error, lambda: msgspec.json.decode(body), at) from None
        return self._checked(request, at)

    def convert(self, document: Mapping[str, Any], at: str = "$") -> ScoreRequest:
        """Check a request that another protocol has decoded already, as strictly; raises as `read`."""
        try:
            request = msgspec.convert(document, self._type)
        except msgspec.ValidationError as error:
            raise self._fault(error, lambda: document, at) from None
        checked = self._checked(request, at)
        # JSON has no such numbers, but a tensor has.
        for index in self._floats:
            value = checked.values[index]
            if value is not None and not math.isfinite(value):  # type: ignore[arg-type]  # a float by its type
                name = self._features_type.__struct_fields__[index]
                raise InvalidRequestError("Expected a finite number", f"{at}.features.{name}")
        return checked

    def _checked(self, request: Any, at: str) -> ScoreRequest:
        occurred_at = request.occurred_at
        for name, given in (("decision_id", request.decision_id), ("transaction_id", request.transaction_id)):
            if not (given.isascii() and given.isprintable()) or " " in given:
                raise InvalidRequestError("Expected printable ASCII characters without spaces", f"{at}.{name}")
        if occurred_at.tzinfo is not dt.UTC:
            try:
                occurred_at = occurred_at.astimezone(dt.UTC)
            except OverflowError:
                raise InvalidRequestError("Expected a year from 1 to 9999 in UTC", f"{at}.occurred_at") from None
        values = msgspec.structs.astuple(request.features)
        return ScoreRequest(
            request.decision_id,
            request.transaction_id,
            request.entity_key,
            occurred_at,
            values[: self._width] if self._has_others else values,
        )

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the request, for people and for generators of clients."""
        schema: dict[str, Any] = msgspec.json.schema(self._type)
        return schema

    def schema_components(self, prefix: str, reference: str) -> dict[str, Any]:
        """The same in parts: ``<prefix>ScoreRequest`` and what it refers to, as `reference` names it (``{name}``)."""
        template = reference.replace("{name}", prefix + "{name}")
        _, components = msgspec.json.schema_components([self._type], ref_template=template)
        return {prefix + name: schema for name, schema in components.items()}

    def _fault(self, error: Exception, document: Callable[[], Any], at: str) -> InvalidRequestError:
        if isinstance(error, UnicodeDecodeError):
            return InvalidRequestError("Expected UTF-8", at)
        if isinstance(error, RecursionError):
            return InvalidRequestError("Expected a document that is not nested so deeply", at)
        violation, _, rest = str(error).partition(" - at `")
        path = self._declared(rest.removesuffix("`") or "$")
        return InvalidRequestError(self._words(violation, path, document), at + path.removeprefix("$"))

    def _words(self, violation: str, path: str, document: Callable[[], Any]) -> str:
        if violation.startswith("Object contains unknown field"):
            return f"Expected only the keys {self._keys(path)}, got another one"
        if violation.startswith("Object missing required field"):
            return self._missing(path, document)
        if violation.startswith("Invalid enum value"):
            categories = self._schema[path.rpartition(".")[2]].categories
            return f"Expected one of {list(categories or ())}"
        for prefix, words in _OWN_WORDS:
            if violation.startswith(prefix):
                return words
        return violation if _HARMLESS.fullmatch(violation) else "Expected a valid score request"

    def _declared(self, path: str) -> str:
        """`path` if it is made of the schema's own names, else the document's root."""
        names = path.split(".")[1:]
        return path if all(name in _ENVELOPE or name in self._schema for name in names) else "$"

    def _keys(self, path: str) -> list[str]:
        return list(self._schema if path == "$.features" else _ENVELOPE)

    def _missing(self, path: str, document: Callable[[], Any]) -> str:
        expected = self._keys(path)
        what = "features" if path == "$.features" else "keys"
        try:
            found = document()["features"] if path == "$.features" else document()
            missing = [name for name in expected if name not in found]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            # What follows is no JSON any more, or names the same key again.
            missing = []
        return f"Expected {len(expected)} {what}, " + (f"missing {missing}" if missing else "got fewer")


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The body of a batch: its requests, not yet read."""

    requests: list[msgspec.Raw]


_batch_decoder = msgspec.json.Decoder(Batch)


def read_batch(body: bytes, max_batch: int) -> list[msgspec.Raw]:
    """The requests of a batch's body ``{"requests": [...]}``, not yet read.

    Raises
    ------
    InvalidRequestError
        If it is another document, empty, or longer than `max_batch`.
    """
    try:
        requests = _batch_decoder.decode(body).requests
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequestError('Expected {"requests": [...]}, a list of score requests in an object', "$") from None
    check_batch_size(len(requests), max_batch)
    return requests


def check_batch_size(size: int, max_batch: int) -> None:
    """Raise `InvalidRequestError` unless there are 1 to `max_batch` requests."""
    if not 1 <= size <= max_batch:
        raise InvalidRequestError(f"Expected 1 to {max_batch} requests, got {size}", "$.requests")


def example_request(schema: Sequence[Feature]) -> dict[str, Any]:
    """A request that the model answers, to build a first call from; its values are made up from the schema alone."""
    return {
        "decision_id": "example-1",
        "transaction_id": "1",
        "entity_key": "1",
        "occurred_at": "2026-01-31T12:00:00Z",
        "features": {feature.name: example_value(feature) for feature in schema},
    }


def example_value(feature: Feature) -> Value:
    """A value within a feature's domain: its first category, or the number next to 1.

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
