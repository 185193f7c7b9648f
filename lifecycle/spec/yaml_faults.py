"""Faults of a YAML file as a person needs them: expected, got, key, line, and the nearest valid key."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lifecycle.spec.older_keys import older_forms

Key = str | int
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C is ten times as fast, where PyYAML was built with it."""
_SHOWN_CHARACTERS = 60
_LONG_KINDS = {dict: "a mapping", list: "a list"}
_CLAUSE = re.compile(r"(?:\w+) should (be|have|match) (.*)", re.DOTALL)


class DuplicateKeyError(yaml.YAMLError):
    """A key that is in a mapping twice; YAML's reader would keep the last value without a word."""


class YamlFile:
    """The document of a YAML text, and the line of each of its keys.

    Raises
    ------
    yaml.YAMLError
        If the text is not YAML, or has a key twice.
    """

    def __init__(self, text: str) -> None:
        self._node = yaml.compose(text, Loader=_LOADER)
        if self._node is not None:
            _refuse_duplicates(self._node)
        self.document: Any = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one

    def line(self, keys: Sequence[Key]) -> int | None:
        """Line of a key, counted from 1, or of the part above it that exists; ``None`` in an empty file."""
        node, line = self._node, None
        for key in keys:
            found = _child(node, key)
            if found is None:
                break
            line, node = found
        return line

    def has(self, keys: Sequence[Key]) -> bool:
        """Whether the file has a value under the keys."""
        node = self._node
        for key in keys:
            found = _child(node, key)
            if found is None:
                return False
            _, node = found
        return True


def describe(error: ValidationError, schema: type[BaseModel], file: YamlFile | None, above: Sequence[Key] = ()) -> str:
    """A validation error as text: for each fault what was expected, what the file has, the key and its line.

    Parameters
    ----------
    schema
        Model that was validated, for the nearest valid key.
    above
        Keys of the file above the validated part, not shown.
    """
    lines = []
    for fault in error.errors(include_url=False):
        place = tuple(key for key in fault["loc"] if isinstance(key, str | int))
        message = _message(dict(fault), place, schema)
        # A rule about several keys names them itself.
        if place or " - at `" not in message:
            message = f"{message} - at `{'.'.join(map(str, place)) or 'attributes'}`"
        lines.append(message if file is None else with_lines(message, file, above))
    return "; ".join(lines)


def with_lines(message: str, file: YamlFile, above: Sequence[Key] = ()) -> str:
    """The message with the line of each key that it names as ``at `key```."""

    def with_line(match: re.Match[str]) -> str:
        keys = [int(part) if part.isdecimal() else part for part in match[1].split(".")]
        place = list(above) if match[1] == "attributes" else [*above, *keys]
        line = file.line(next((older for older in older_forms(place) if file.has(older)), place))
        return match[0] if line is None else f"{match[0]}, line {line}"

    return re.sub(r"at `([^`]+)`(?!, line)", with_line, message)


def _message(fault: dict[str, Any], place: tuple[Key, ...], schema: type[BaseModel]) -> str:
    match fault["type"]:
        case "missing":
            return "Expected a value, got none"
        case "extra_forbidden":
            allowed = _allowed_keys(schema.model_json_schema(), place[:-1])
            similar = difflib.get_close_matches(str(place[-1]), allowed, n=1)
            remedy = f"; did you mean {similar[0]}?" if similar else f"; the keys are {', '.join(allowed)}"
            return f"Expected a known key, got {str(place[-1])!r}{remedy}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    clause = _CLAUSE.fullmatch(message)
    if clause is None:
        return message
    verb, rest = clause.groups()
    rest = re.sub(r" after validation|, not \d+$", "", rest)
    subject = "text to match " if verb == "match" else "a value " if rest.startswith(("greater", "less")) else ""
    return f"Expected {subject}{rest}, got {_shown(fault['input'])}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{_LONG_KINDS[type(value)]} of {len(value)}"
    text = "null" if value is None else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _allowed_keys(schema: dict[str, Any], place: Sequence[Key]) -> list[str]:
    """Keys of the mapping at a place of a JSON schema."""
    part = schema
    for key in place:
        part = _resolved(schema, part)
        if isinstance(key, int):
            part = part.get("items", {})
        else:
            part = part.get("properties", {}).get(key) or part.get("additionalProperties") or {}
    return sorted(_resolved(schema, part).get("properties", {}))


def _resolved(schema: dict[str, Any], part: Any) -> dict[str, Any]:
    """The part that a reference means; of alternatives, the one with properties."""
    if not isinstance(part, dict):
        return {}
    if "$ref" in part:
        target: dict[str, Any] = schema["$defs"][part["$ref"].rpartition("/")[2]]
        return target
    for alternative in part.get("anyOf", ()):
        if "$ref" in alternative:
            return _resolved(schema, alternative)
    return part


def _child(node: yaml.Node | None, key: Key) -> tuple[int, yaml.Node] | None:
    """Line and value of a key of a mapping, or of an index of a list."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        item = node.value[key]
        return item.start_mark.line + 1, item
    return None


def _refuse_duplicates(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            if name.value in lines and isinstance(name, yaml.ScalarNode):
                raise DuplicateKeyError(
                    f"Expected each key once, got {name.value!r} in line {lines[name.value]} and again in line {line}"
                )
            if isinstance(name, yaml.ScalarNode):
                lines[name.value] = line
            _refuse_duplicates(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item)
