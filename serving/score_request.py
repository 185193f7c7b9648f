"""What a score request must be for one model: strict decoding, and faults that never repeat what was sent."""

import datetime as dt
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from serving.contract import Feature
from serving.encoding import Value, features_type
from serving.errors import InvalidRequestError

_ID_PATTERN: Final = r"\A[!-~]+\Z"
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=_ID_PATTERN)]
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
    ("Expected `str` matching regex", "Expected printable ASCII characters without spaces"),
    ("Invalid RFC3339 encoded datetime", "Expected a time as in RFC 3339, for example 2026-01-31T23:59:00Z"),
    ("Input data was truncated", "Expected a whole JSON document, got one that is cut off"),
)


class ScoreRequest(NamedTuple):
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
    also_allowed
        Names of features that another slot's bundle knows: passed over, whatever their values.
    """

    def __init__(self, schema: Sequence[Feature], also_allowed: frozenset[str] = frozenset()) -> None:
        self._schema = {feature.name: feature for feature in schema}
        features = features_type(tuple(schema), also_allowed)
        request_type = msgspec.defstruct(
            "ScoreRequest",
            list(zip(_ENVELOPE, (_Id, _Id, _EntityKey, _Moment, features), strict=True)),
            forbid_unknown_fields=True,
            frozen=True,
            gc=False,
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request_type)

    def read(self, body: bytes) -> ScoreRequest:
        """Decode a body.

        Raises
        ------
        InvalidRequestError
            If it is no JSON, lacks or has an extra key, or a value has another type or lies outside its range; the
            error names what was expected and the path, and nothing of what came.
        """
        try:
            request = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._fault(error, body) from None
        occurred_at = request.occurred_at
        if occurred_at.tzinfo is not dt.UTC:
            try:
                occurred_at = occurred_at.astimezone(dt.UTC)
            except OverflowError:
                raise InvalidRequestError("Expected a year from 1 to 9999 in UTC", "$.occurred_at") from None
        return ScoreRequest(
            request.decision_id,
            request.transaction_id,
            request.entity_key,
            occurred_at,
            msgspec.structs.astuple(request.features)[: len(self._schema)],
        )

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the request, for people and for generators of clients."""
        return msgspec.json.schema(self._decoder.type)

    def _fault(self, error: Exception, body: bytes) -> InvalidRequestError:
        if isinstance(error, UnicodeDecodeError):
            return InvalidRequestError("Expected UTF-8", "$")
        complaint, _, rest = str(error).partition(" - at `")
        path = self._declared(rest.removesuffix("`") or "$")
        if complaint.startswith("Object contains unknown field"):
            return InvalidRequestError(f"Expected only the keys {self._keys(path)}, got another one", path)
        if complaint.startswith("Object missing required field"):
            return InvalidRequestError(self._missing(path, body), path)
        if complaint.startswith("Invalid enum value"):
            categories = self._schema[path.rpartition(".")[2]].categories
            return InvalidRequestError(f"Expected one of {list(categories or ())}", path)
        for prefix, words in _OWN_WORDS:
            if complaint.startswith(prefix):
                return InvalidRequestError(words, path)
        harmless = _HARMLESS.fullmatch(complaint) is not None
        return InvalidRequestError(complaint if harmless else "Expected a valid score request", path)

    def _declared(self, path: str) -> str:
        """`path` if it is made of the schema's own names, else the document's root."""
        names = path.split(".")[1:]
        return path if all(name in _ENVELOPE or name in self._schema for name in names) else "$"

    def _keys(self, path: str) -> list[str]:
        return list(self._schema if path == "$.features" else _ENVELOPE)

    def _missing(self, path: str, body: bytes) -> str:
        expected = self._keys(path)
        document = msgspec.json.decode(body)
        found = document["features"] if path == "$.features" else document
        missing = [name for name in expected if name not in found]
        what = "features" if path == "$.features" else "keys"
        return f"Expected {len(expected)} {what}, missing {missing}"


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
