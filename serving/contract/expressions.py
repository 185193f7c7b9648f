"""Expressions of derived features: a small tree that a bundle holds, and the rules that it must keep.

`lifecycle` parses a model's SQL into such a tree when it publishes; the server checks the tree when it loads a bundle
and never sees a parser. `serving.contract.derivation` evaluates it.

Every number is a double. An operation that has no finite result (a division by zero, an overflow, the root of a
negative number) gives null, and so does an operation on null, as in SQL: conditions are true, false or null, and a
``case`` takes the first branch whose condition is true. Zero has no sign: a result of -0.0 is 0.0. Nothing else rounds,
so that two evaluators that keep these rules return the same bits.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

Kind = Literal["number", "text", "time", "condition"]
"""Type of a value. Null belongs to each; a time is never null."""

DEEPEST: Final = 32
"""Levels of the largest tree: an evaluator and a reader of JSON may recurse."""
MOST_NODES: Final = 500
"""Nodes of the largest tree."""

COMPARISONS: Final = ("equal", "different", "less", "less_or_equal", "greater", "greater_or_equal")
OCCURRED_AT: Final = "occurred_at"
"""The only time that an expression reads, in UTC."""
DATE_PARTS: Final = ("year", "month", "day", "hour", "minute", "isodow")
"""Parts of a time in UTC; `isodow` is 1 for Monday to 7 for Sunday."""

Operation = Literal[
    "add", "subtract", "multiply", "divide", "negate", "abs", "floor", "ceil", "sqrt", "least", "greatest",
    "equal", "different", "less", "less_or_equal", "greater", "greater_or_equal", "and", "or", "not", "is_null",
    "case", "coalesce", "nullif", "year", "month", "day", "hour", "minute", "isodow",
]  # fmt: skip


class ExpressionError(ValueError):
    """A tree breaks a rule; the message says what was expected and received, and at which node."""


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="node"):
    """Base of the nodes: immutable and hashable."""


class Field(Node, frozen=True, tag="field"):
    """A field of the request, or `occurred_at`."""

    name: str


class Number(Node, frozen=True, tag="number"):
    """A finite constant."""

    value: float


class Text(Node, frozen=True, tag="text"):
    """A constant that a category is compared with, or becomes."""

    value: str


class Null(Node, frozen=True, tag="null"):
    """No value."""


class Call(Node, frozen=True, tag="call"):
    """An operation on other nodes. Those of ``case`` are condition, result, condition, result, ..., else."""

    operation: Operation
    arguments: tuple["Expression", ...]


Expression: TypeAlias = Field | Number | Text | Null | Call


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a feature follows from the fields of its request: the SQL that people wrote, and its tree, which decides."""

    sql: str
    tree: Expression


_Signature: TypeAlias = tuple[int, int, tuple[Kind, ...], Kind | None]
_SIGNATURES: Final[Mapping[str, _Signature]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide"), (2, 2, ("number",), "number")),
    **dict.fromkeys(("negate", "abs", "floor", "ceil", "sqrt"), (1, 1, ("number",), "number")),
    **dict.fromkeys(("least", "greatest"), (2, MOST_NODES, ("number",), "number")),
    **dict.fromkeys(("equal", "different"), (2, 2, ("number", "text"), "condition")),
    **dict.fromkeys(("less", "less_or_equal", "greater", "greater_or_equal"), (2, 2, ("number",), "condition")),
    **dict.fromkeys(("and", "or"), (2, MOST_NODES, ("condition",), "condition")),
    "not": (1, 1, ("condition",), "condition"),
    "is_null": (1, 1, ("number", "text"), "condition"),
    **dict.fromkeys(DATE_PARTS, (1, 1, ("time",), "number")),
    "coalesce": (2, MOST_NODES, (), None),
    "nullif": (2, 2, (), None),
}
"""Least and greatest number of arguments, their one type (empty: numbers or texts, or null), and the result's."""


def fields_of(tree: Expression) -> tuple[str, ...]:
    """Names of the fields that a tree reads, each once, in the order of their first use.

    Examples
    --------
    >>> fields_of(Call("divide", (Field("paid"), Call("add", (Field("due"), Field("paid"))))))
    ('paid', 'due')
    """
    return tuple(dict.fromkeys(node.name for node in nodes_of(tree) if isinstance(node, Field)))


def nodes_of(tree: Expression) -> Iterator[Expression]:
    """Every node, a parent before its arguments, from left to right; without recursion, since a tree may be hostile."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Call):
            waiting.extend(reversed(node.arguments))


def check_size(tree: Expression) -> None:
    """Raise `ExpressionError` if the tree is deeper than `DEEPEST` or has more than `MOST_NODES` nodes."""
    level, depth, count = [tree], 0, 0
    while level:
        depth, count = depth + 1, count + len(level)
        if depth > DEEPEST:
            raise ExpressionError(f"Expected an expression of at most {DEEPEST} levels, got a deeper one")
        if count > MOST_NODES:
            raise ExpressionError(f"Expected an expression of at most {MOST_NODES} terms, got more")
        level = [argument for node in level if isinstance(node, Call) for argument in node.arguments]


def kind_of(tree: Expression, fields: Mapping[str, Kind]) -> Kind | None:
    """The type of a tree's value, after a check of the whole tree; ``None`` if it is always null.

    Parameters
    ----------
    fields
        Type of every field that may be read.

    Raises
    ------
    ExpressionError
        If the tree is too large, reads another field, or an operation has arguments that it does not take.
    """
    check_size(tree)
    return _kind(tree, fields)


def _kind(node: Expression, fields: Mapping[str, Kind]) -> Kind | None:
    if isinstance(node, Field):
        if node.name not in fields:
            raise ExpressionError(f"Expected one of the fields {sorted(fields)}, got {node.name!r}")
        return fields[node.name]
    if isinstance(node, Number):
        if not math.isfinite(node.value):
            raise ExpressionError("Expected a finite constant, got infinity or NaN")
        return "number"
    if isinstance(node, Text):
        return "text"
    if isinstance(node, Null):
        return None
    return _kind_of_call(node, [_kind(argument, fields) for argument in node.arguments])


def _kind_of_call(call: Call, kinds: list[Kind | None]) -> Kind | None:
    operation = call.operation
    if operation == "case":
        _expect_count(call, len(kinds) >= 3 and len(kinds) % 2 == 1, "conditions, each with a result, and an else")
        _all(call, kinds[:-1:2], ("condition",))
        return _common(call, [*kinds[1::2], kinds[-1]])
    least, most, taken, given = _SIGNATURES[operation]
    expected = f"{least}" if least == most else f"{least} or more"
    _expect_count(call, least <= len(kinds) <= most, f"{expected} arguments")
    if not taken:
        return _common(call, kinds)
    kind = _all(call, kinds, taken)
    return kind if given is None else given


def _all(call: Call, kinds: list[Kind | None], expected: tuple[Kind, ...]) -> Kind:
    """The one type of the arguments, which must be one of `expected`."""
    found = set(kinds)
    if len(found) == 1:
        kind = found.pop()
        if kind is not None and kind in expected:
            return kind
    raise ExpressionError(
        f"Expected {' or '.join(f'{each}s' for each in expected)} for `{call.operation}`, got {_listed(kinds)}"
    )


def _common(call: Call, kinds: list[Kind | None]) -> Kind | None:
    """The type that all results share; null fits each."""
    found = {kind for kind in kinds if kind is not None}
    if len(found) > 1 or not found <= {"number", "text"}:
        raise ExpressionError(
            f"Expected numbers or texts, all of one type, as results of `{call.operation}`, got {_listed(kinds)}"
        )
    return found.pop() if found else None


def _expect_count(call: Call, is_expected: bool, expected: str) -> None:
    if not is_expected:
        raise ExpressionError(f"Expected {expected} for `{call.operation}`, got {len(call.arguments)}")


def _listed(kinds: list[Kind | None]) -> str:
    return ", ".join(kind or "null" for kind in kinds)
