"""Whether one JSON Schema, or one OpenAPI document, refines another.

A schema refines a wider one if every value that it allows is allowed by the wider one. A document refines a contract if
every message of a server that follows the document is a message of the contract: the requests that it accepts, so that
a client typed by the contract can express them, and the responses that it gives, so that such a client can read them.
Requests may therefore be narrower, too: the contract's feature map holds any name, a served model's only its features.
What a client of the contract sends without must not be demanded: no parameter may become required, no media type go.
The check is structural and errs on the side of refusing.
"""

from collections.abc import Iterator
from typing import Any

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}

Document = dict[str, Any]


def resolved(schema: Document, document: Document) -> Document:
    """The schema that a reference names."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def violations(narrow: Document, wide: Document) -> list[str]:
    """Where the document `narrow` does not refine the contract `wide`; empty if it does."""
    found = []
    for path, operations in wide["paths"].items():
        for method, contract in operations.items():
            operation = narrow["paths"].get(path, {}).get(method)
            if operation is None:
                found.append(f"{method} {path}")
            else:
                found += [f"{method} {path}: {place}" for place in _in_operation(operation, contract, narrow, wide)]
    return found


def _in_operation(operation: Document, contract: Document, narrow: Document, wide: Document) -> Iterator[str]:
    if operation["operationId"] != contract["operationId"]:
        yield "operationId"
    parameters = {(each["in"], each["name"]): each for each in operation.get("parameters", ())}
    known = {(each["in"], each["name"]): each for each in contract.get("parameters", ())}
    for key in parameters.keys() - known.keys():
        if parameters[key]["required"]:
            yield f"required parameter {key}"
    for key, parameter in known.items():
        if key not in parameters or parameters[key]["required"] > parameter["required"]:
            yield f"parameter {key}"
        elif not refines(parameters[key]["schema"], parameter["schema"], narrow, wide):
            yield f"schema of parameter {key}"
    yield from _in_body(operation.get("requestBody", {}), contract.get("requestBody", {}), narrow, wide, "request")
    if operation["responses"].keys() != contract["responses"].keys():
        yield "statuses"
        return
    for status, response in contract["responses"].items():
        yield from _in_body(operation["responses"][status], response, narrow, wide, status)


def _in_body(body: Document, contract: Document, narrow: Document, wide: Document, place: str) -> Iterator[str]:
    contents, known = body.get("content", {}), contract.get("content", {})
    if contents.keys() != known.keys():
        yield f"media types of {place}"
        return
    for kind, media in known.items():
        if not refines(contents[kind].get("schema", {}), media.get("schema", {}), narrow, wide):
            yield f"schema of {place}, {kind}"


def refines(schema: Document, wider: Document, document: Document, wide: Document) -> bool:
    """Whether `wider` allows every value of `schema`; `document` and `wide` hold what they refer to."""
    schema, wider = resolved(schema, document), resolved(wider, wide)
    if "anyOf" in schema:
        return all(refines(option, wider, document, wide) for option in schema["anyOf"])
    if "anyOf" in wider:
        return any(refines(schema, option, document, wide) for option in wider["anyOf"])
    if not wider.keys() - {"title", "description", "default"}:
        return True
    if "enum" in wider and not ("enum" in schema and set(schema["enum"]) <= set(wider["enum"])):
        return False
    kinds, allowed = _types(schema), _types(wider)
    if "number" in allowed:
        allowed.add("integer")
    if allowed and not (kinds and kinds <= allowed):
        return False
    return (
        all(schema.get(key) == wider[key] for key in ("pattern", "format") if key in wider)
        and all(schema.get(key, float("-inf")) >= wider[key] for key in _LOWER if key in wider)
        and all(schema.get(key, float("inf")) <= wider[key] for key in _UPPER if key in wider)
        and ("items" not in wider or refines(schema.get("items", {}), wider["items"], document, wide))
        and ("object" not in kinds or _refines_object(schema, wider, document, wide))
    )


def _types(schema: Document) -> set[str]:
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    return {_JSON_TYPES[type(value)] for value in schema.get("enum", ())}


def _refines_object(schema: Document, wider: Document, document: Document, wide: Document) -> bool:
    if not set(wider.get("required", ())) <= set(schema.get("required", ())):
        return False
    others, allowed = schema.get("additionalProperties", True), wider.get("additionalProperties", True)
    properties, known = schema.get("properties", {}), wider.get("properties", {})

    def fits(value: Document, by: Document | bool) -> bool:
        return by is True or (isinstance(by, dict) and refines(value, by, document, wide))

    if not all(fits(value, known.get(name, allowed)) for name, value in properties.items()):
        return False
    if others is False:
        return True
    open_schema = {} if others is True else others
    # A property that only the wider schema names falls under the narrower one's other properties.
    unnamed = [known[name] for name in known.keys() - properties.keys()]
    return all(fits(open_schema, by) for by in (allowed, *unnamed))
