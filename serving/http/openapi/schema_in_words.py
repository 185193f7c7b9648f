"""What a JSON Schema within an OpenAPI document asks for, for a person: a type in words, a list of fields, an example.

The document may lack anything, and may refer to itself: what cannot be read is left out, what is too deep is cut off.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

MAX_DEPTH: Final = 5
"""How deep fields are listed and examples are made."""
_MAX_REFERENCES: Final = 20
_MAX_CHOICES: Final = 16
_BOUNDS: Final = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "matches {}"),
)
_EXAMPLES: Final[Mapping[str, Any]] = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "object": {}}
_FORMATS: Final = {"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31"}

Document = Mapping[str, Any]


class Field(NamedTuple):
    """One key of a body; `path` leads to it from the top, ``[]`` standing for every item of a list."""

    path: str
    type: str
    is_required: bool
    bounds: str
    description: str


def mapping(value: object) -> Document:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """`value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def resolved(node: object, document: Document) -> Document:
    """What `node` refers to within `document`; an empty object if that leads nowhere."""
    for _ in range(_MAX_REFERENCES):
        reference = text(mapping(node).get("$ref"))
        if not reference:
            return mapping(node)
        if not reference.startswith("#/"):
            return {}
        node = document
        for part in reference[2:].split("/"):
            node = mapping(node).get(part.replace("~1", "/").replace("~0", "~"))
    return {}


def type_in_words(schema: object, document: Document, depth: int = 0) -> str:
    """The type of `schema`.

    Examples
    --------
    >>> type_in_words({"type": "array", "items": {"type": "string", "format": "date"}}, {})
    'list of string (date)'
    >>> type_in_words({"anyOf": [{"type": "number"}, {"type": "null"}]}, {})
    'number or null'
    """
    schema = resolved(schema, document)
    if depth > MAX_DEPTH:
        return "…"
    choices = [schema["const"]] if "const" in schema else sequence(schema.get("enum"))
    if choices:
        shown = [_literal(choice) for choice in choices[:_MAX_CHOICES]]
        return " or ".join(shown + ["…"] * (len(choices) > _MAX_CHOICES))
    options = [type_in_words(each, document, depth + 1) for each in _options(schema)]
    return " or ".join(dict.fromkeys(options)) if options else _one_type(schema, document, depth)


def _one_type(schema: Document, document: Document, depth: int) -> str:
    kinds = [text(each) for each in sequence(schema.get("type"))] or [text(schema.get("type"))]
    if kinds == ["array"]:
        return f"list of {type_in_words(schema.get('items'), document, depth + 1)}"
    if kinds == [""]:
        return "object" if _properties(schema, document) else "any"
    written = text(schema.get("format"))
    return " or ".join(kinds) + (f" ({written})" if written else "")


def fields(schema: object, document: Document, prefix: str = "", depth: int = 0) -> Iterator[Field]:
    """Every key of an object, those of objects and lists within it after it."""
    schema = resolved(schema, document)
    if depth > MAX_DEPTH:
        return
    required = {each for each in sequence(schema.get("required")) if isinstance(each, str)}
    for name, raw in _properties(schema, document).items():
        value = resolved(raw, document)
        path = f"{prefix}{name}"
        description = text(mapping(raw).get("description")) or text(value.get("description"))
        yield Field(path, type_in_words(value, document), name in required, bounds(value), description)
        yield from fields(value, document, f"{path}.", depth + 1)
    for option in _options(schema):
        yield from fields(option, document, prefix, depth + 1)
    if schema.get("type") == "array":
        yield from fields(schema.get("items"), document, f"{prefix.removesuffix('.')}[].", depth + 1)


def bounds(schema: Document) -> str:
    """What a value is held to besides its type.

    Examples
    --------
    >>> bounds({"minimum": 0, "maxLength": 3})
    '≥ 0, at most 3 characters'
    """
    found = [words.format(_plain(schema[key])) for key, words in _BOUNDS if key in schema]
    if "default" in schema:
        found.append(f"default {_literal(schema['default'])}")
    return ", ".join(found)


def example(schema: object, document: Document, depth: int = 0) -> Any:
    """A value that `schema` describes: its own example if it has one, else one made up."""
    schema = resolved(schema, document)
    given = [schema[key] for key in ("example", "default", "const") if key in schema]
    given += [each for key in ("examples", "enum") for each in sequence(schema.get(key))[:1]]
    if given:
        return given[0]
    return None if depth > MAX_DEPTH else _made_up(schema, document, depth + 1)


def _made_up(schema: Document, document: Document, depth: int) -> Any:
    properties = _properties(schema, document)
    if properties:
        return {name: example(each, document, depth) for name, each in properties.items()}
    options = _options(schema)
    if options:
        return example(options[0], document, depth)
    kind = text(schema.get("type")) or text(next(iter(sequence(schema.get("type"))), ""))
    if kind == "array":
        return [example(schema.get("items"), document, depth)]
    lowest = schema.get("minimum")
    if kind in {"integer", "number"} and isinstance(lowest, int | float):
        return lowest
    return _FORMATS.get(text(schema.get("format")), _EXAMPLES.get(kind))


def _options(schema: Document) -> list[Any]:
    return sequence(schema.get("anyOf")) or sequence(schema.get("oneOf"))


def _properties(schema: Document, document: Document, depth: int = 0) -> dict[str, Any]:
    found = dict(mapping(schema.get("properties")))
    for part in sequence(schema.get("allOf")) if depth <= MAX_DEPTH else []:
        found = _properties(resolved(part, document), document, depth + 1) | found
    return {name: value for name, value in found.items() if isinstance(name, str)}


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return value if isinstance(value, str) else _literal(value)
