"""Reads documents that an earlier version wrote under other names."""

from typing import Any, TypeVar

import msgspec

_Document = TypeVar("_Document")
EARLIER_NAMES = {
    "frauds": "positives",
    "new_frauds": "new_positives",
    "fraud_share": "positive_share",
    "fraud": "positive",
    "genuine": "negative",
}


def decode_document(raw: bytes, document: type[_Document]) -> _Document:
    """A JSON document, with the names of today or those of `EARLIER_NAMES`.

    Such files are never rewritten, since they are named by the digest of their bytes.

    Raises
    ------
    msgspec.DecodeError
        If it is neither.
    """
    try:
        return msgspec.json.decode(raw, type=document)
    except msgspec.ValidationError as error:
        try:
            return msgspec.convert(_renamed(msgspec.json.decode(raw)), type=document)
        except msgspec.ValidationError:
            raise error from None


def has_earlier_names(raw: bytes) -> bool:
    """Whether a JSON document has one of `EARLIER_NAMES`; raises as `decode_document`."""
    document = msgspec.json.decode(raw)
    return bool(_renamed(document) != document)


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {EARLIER_NAMES.get(name, name): _renamed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return value
