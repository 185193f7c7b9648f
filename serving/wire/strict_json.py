"""Strict decoding of the foreign protocols' JSON; errors never repeat input.

Python's `json` writes a missing number of a data frame as ``NaN``, which JSON does not have, and so do the clients of
MLflow and Triton. It is read as null. An infinity is refused.
"""

import re
from typing import Final, TypeVar

import msgspec

from serving.errors import InvalidRequestError

Document = TypeVar("Document")
Scalar = None | bool | int | float | str
"""A cell of a table or an element of a tensor."""

# Messages of msgspec that hold no input: types, keys and bounds of the declared type, positions.
_HARMLESS: Final = re.compile(
    r"Expected `[a-z| ]+`, got `[a-z]+`"
    r"|Expected `[a-z]+` (?:<|>)=? -?[0-9.e+-]+"
    r"|Expected `(?:str|array)` of length (?:<|>)= [0-9]+"
    r"|Object missing required field `[a-z_]+`"
    r"|Number out of range"
    r"|JSON is malformed: [a-z0-9 ,'-]+ \(byte [0-9]+\)"
)
_NAN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\bNaN\b')
"""A text, which stays as it is, or a NaN outside of texts."""
_MALFORMED_AT: Final = re.compile(r"JSON is malformed: invalid character \(byte ([0-9]+)\)")


def decoded(decoder: "msgspec.json.Decoder[Document]", body: bytes) -> Document:
    """Decode a body as the type that `decoder` declares; NaN is null.

    Raises
    ------
    InvalidRequestError
        If the body is not JSON, a key is missing or unknown, or a value has the wrong type.

    Examples
    --------
    >>> decoded(msgspec.json.Decoder(list[int | None]), b"[1, NaN]")
    [1, None]
    >>> decoded(msgspec.json.Decoder(list[float]), b"[1, Infinity]")
    Traceback (most recent call last):
    serving.errors.InvalidRequestError: Expected JSON, which has no Infinity
    """
    try:
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise InvalidRequestError("Expected UTF-8", "$") from None
    except msgspec.DecodeError as error:
        # Only a body that is no JSON is searched for NaN: the search would take longer than decoding.
        if b"NaN" in body and _MALFORMED_AT.fullmatch(str(error)):
            with_nulls = _NAN.sub(lambda match: match[0] if match[0].startswith(b'"') else b"null", body)
            if with_nulls != body:
                return decoded(decoder, with_nulls)
        raise _error_of(str(error), body) from None


def _error_of(message: str, body: bytes) -> InvalidRequestError:
    violation, _, rest = message.partition(" - at `")
    path = rest.removesuffix("`") or "$"
    if violation.startswith("Object contains unknown field"):
        return InvalidRequestError("Expected only the keys that the protocol names, got another one", path)
    if violation.startswith("Input data was truncated"):
        return InvalidRequestError("Expected a complete JSON document, got a truncated one", path)
    malformed = _MALFORMED_AT.fullmatch(violation)
    if malformed and body[int(malformed[1]) :].lstrip(b"-")[:1] == b"I":
        return InvalidRequestError("Expected JSON, which has no Infinity", path)
    return InvalidRequestError(violation if _HARMLESS.fullmatch(violation) else "Expected a valid request", path)
