"""The SQL of derived features: one scalar expression of an example's own fields, parsed into the tree of the contract.

sqlglot tokenises and parses. Only what `docs/features.md` lists is accepted; everything else is refused by its name and
its place, first by its tokens, so that nothing which the parser drops or rewrites passes unseen.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from serving.contract.expressions import (
    DATE_PARTS,
    DEEPEST,
    OCCURRED_AT,
    Call,
    Derivation,
    Expression,
    ExpressionError,
    Field,
    Null,
    Number,
    Operation,
    Text,
    check_size,
    fields_of,
)

LONGEST: Final = 4000
"""Characters of the longest expression."""
FUNCTIONS: Final = ("abs", "ceil", "coalesce", "extract", "floor", "greatest", "least", "nullif", "sqrt")
"""Functions with the same bits everywhere; `extract` takes the parts of `DATE_PARTS`."""

_DIALECT: Final = "duckdb"
_SYMBOLS: Final = frozenset(["+", "-", "*", "/", "(", ")", ",", "=", "<>", "!=", "<", "<=", ">", ">="])
_WORDS: Final = frozenset(
    ["and", "or", "not", "is", "null", "case", "when", "then", "else", "end", "in", "between", "from"]
)
_GRAMMAR: Final = "arithmetic, comparisons, AND, OR, NOT, CASE, IN, BETWEEN, IS NULL and the listed functions"
_REASONS: Final[Mapping[str, str]] = {
    "cast": "every number is a double already",
    "dayofweek": "its numbers differ between warehouses; write extract(isodow from ...), 1 for Monday to 7 for Sunday",
    "weekday": "its numbers differ between warehouses; write extract(isodow from ...), 1 for Monday to 7 for Sunday",
    "isodow": "write extract(isodow from ...)",
    "hour": "write extract(hour from ...)",
    "ln": "its last bits differ between libraries; trees need no logarithm",
    "log": "its last bits differ between libraries; trees need no logarithm",
    "exp": "its last bits differ between libraries",
    "round": "halves round differently between warehouses; write floor(x + 0.5)",
    "if": "write case when ... then ... else ... end",
    "ifnull": "write coalesce",
    "nvl": "write coalesce",
}
_PARTS_REASON: Final = "; for the day of the week write isodow, 1 for Monday to 7 for Sunday"


class DerivedError(ValueError):
    """An expression that cannot be a derived feature; the message ends with the place in its text."""


def parse(text: str, time_column: str = OCCURRED_AT) -> Derivation:
    """The derivation in a model's SQL.

    Parameters
    ----------
    text
        The expression.
    time_column
        The mart's column of the event's time, which a request calls `occurred_at`.

    Raises
    ------
    DerivedError
        If the text is no expression, or holds anything that is not allowed.

    Examples
    --------
    >>> parse("bill_1 / limit_bal").tree
    Call(operation='divide', arguments=(Field(name='bill_1'), Field(name='limit_bal')))
    >>> parse("sum(bill_1)")
    Traceback (most recent call last):
    ...
    lifecycle.spec.derived.DerivedError: Expected one of the functions abs, ceil, coalesce, extract, floor, greatest, \
least, nullif, sqrt, got `sum` - at character 1 of `sum(bill_1)`
    """
    import sqlglot
    from sqlglot.errors import ParseError, SqlglotError

    if len(text) > LONGEST:
        raise DerivedError(f"Expected an expression of at most {LONGEST} characters, got {len(text)}")
    try:
        tokens = sqlglot.tokenize(text, dialect=_DIALECT)
    except SqlglotError:
        raise DerivedError(f"Expected an expression of words, numbers and texts, got {_shown(text)}") from None
    _check_tokens(tokens, text)
    try:
        parsed = sqlglot.parse(text, dialect=_DIALECT)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise DerivedError(
            _message(text, "Expected a complete expression, got a fault of syntax", _offset(first))
        ) from None
    except (SqlglotError, RecursionError):
        raise DerivedError(f"Expected a complete expression, got {_shown(text)}") from None
    if len(parsed) != 1 or parsed[0] is None:
        raise DerivedError(f"Expected one expression, got {_shown(text)}")
    reader = _Reader(text, tokens, time_column)
    tree = reader.read(parsed[0])
    try:
        check_size(tree)
    except ExpressionError as error:
        raise DerivedError(f"{error} - in {_shown(text)}") from None
    return Derivation(" ".join(text.split()), tree)


@functools.lru_cache(maxsize=1024)
def derivation_of(text: str, time_column: str = OCCURRED_AT) -> Derivation:
    """`parse`, once for each text: a model's file is validated several times."""
    return parse(text, time_column)


def check_fields(
    derivation: Derivation, names: frozenset[str], forbidden: Mapping[str, str], time_column: str = OCCURRED_AT
) -> None:
    """Check that an expression reads only fields of its own example that a request carries.

    Parameters
    ----------
    names
        The fields that a request carries, `occurred_at` not counted.
    forbidden
        Columns that no expression may read, with what each is.

    Raises
    ------
    DerivedError
        If it reads another one, or no field at all.
    """
    read = fields_of(derivation.tree)
    if not read:
        raise DerivedError(
            f"Expected an expression of the example's fields, got a constant - in {_shown(derivation.sql)}"
        )
    known = sorted({*names, time_column})
    for name in read:
        if name in names or name == OCCURRED_AT:
            continue
        at = _message(derivation.sql, "", _place_of(derivation.sql, name))
        if name in forbidden:
            raise DerivedError(f"Expected a field that a request carries, got {name!r}, {forbidden[name]}{at}")
        similar = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {similar[0]}?" if similar else f"; the fields are {', '.join(known)}"
        raise DerivedError(f"Expected a field that a request carries, got {name!r}{hint}{at}")


def _check_tokens(tokens: list[Any], text: str) -> None:
    """Refuse every token that is no part of the grammar, comments and functions by name."""
    if not tokens:
        raise DerivedError("Expected an expression, got an empty text or a comment")
    depth = deepest = 0
    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        word = token.text.lower()
        if token.comments:
            raise DerivedError(_message(text, "Expected an expression without a comment, got one", token.start))
        kind = token.token_type.name
        is_call = following is not None and following.token_type.name == "L_PAREN" and word not in _WORDS
        if kind == "VAR" and is_call and word not in FUNCTIONS:
            raise DerivedError(_message(text, _unknown_function(word), token.start))
        if kind not in {"VAR", "NUMBER", "STRING"} and word not in _SYMBOLS | _WORDS:
            got = _NAMES.get(kind, f"`{token.text}`")
            expected = f"Expected {_GRAMMAR}"
            if kind != "VAR" and is_call:
                expected, got = _unknown_function(word).rsplit(", got ", 1)
            raise DerivedError(_message(text, f"{expected}, got {got}", token.start))
        depth += _NESTS.get(kind, 0)
        deepest = max(deepest, depth)
    prefixes = max(len(list(run)) for _, run in itertools.groupby(tokens, lambda each: each.token_type.name))
    if deepest > DEEPEST or prefixes > DEEPEST:
        raise DerivedError(f"Expected an expression of at most {DEEPEST} levels, got a deeper one - in {_shown(text)}")


_NESTS: Final[Mapping[str, int]] = {"L_PAREN": 1, "R_PAREN": -1, "CASE": 1, "END": -1}
_NAMES: Final[Mapping[str, str]] = {
    "IDENTIFIER": "a quoted name",
    "DOT": "a qualified name",
    "DCOLON": "a cast `::`; every number is a double already",
    "PLACEHOLDER": "a parameter",
    "PARAMETER": "a parameter",
    "COLON": "a parameter",
    "SEMICOLON": "the end of a statement `;`",
    "SELECT": "a subquery `select`",
}


def _unknown_function(word: str) -> str:
    reason = f" ({_REASONS[word]})" if word in _REASONS else ""
    return f"Expected one of the functions {', '.join(FUNCTIONS)}, got `{word}`{reason}"


class _Reader:
    """Turns sqlglot's tree into ours."""

    def __init__(self, text: str, tokens: list[Any], time_column: str) -> None:
        self._text = text
        self._tokens = tokens
        self._time_column = time_column

    def read(self, node: Any) -> Expression:
        """The tree of a node; raises `DerivedError` if the grammar has no such node."""
        kind = type(node).__name__
        simple = _CALLS.get(kind)
        if simple is not None and self._has_only(node, "this", "expression", "expressions"):
            return Call(simple, tuple(self.read(argument) for argument in self._arguments(node)))
        special: Callable[[Any], Expression] | None = getattr(self, f"_{kind.lower()}", None)
        if special is None or kind.lower() not in _SPECIAL:
            raise self._refusal(node)
        return special(node)

    def _refusal(self, node: Any) -> DerivedError:
        what = _WHAT.get(type(node).__name__, type(node).__name__.upper())
        offset = next((each.args["this"] for each in node.find_all(_identifier()) if each.args.get("this")), None)
        place = None if offset is None else _place_of(self._text, str(offset))
        return DerivedError(_message(self._text, f"Expected {_GRAMMAR}, got {what}", place))

    def _has_only(self, node: Any, *allowed: str) -> bool:
        """Whether a node has no other argument that is set; sqlglot's own flags apart."""
        further = {key for key, value in node.args.items() if value} - {*allowed, *_FLAGS}
        if further:
            raise self._refusal(node)
        return True

    def _arguments(self, node: Any) -> list[Any]:
        single = [node.args.get("this"), node.args.get("expression")]
        return [each for each in (*single, *(node.args.get("expressions") or ())) if each is not None]

    def _paren(self, node: Any) -> Expression:
        return self.read(node.this)

    def _column(self, node: Any) -> Expression:
        self._has_only(node, "this")
        name = node.name
        if node.this.args.get("quoted"):
            raise DerivedError(_message(self._text, "Expected a name without quotes", _place_of(self._text, name)))
        if name == self._time_column:
            return Field(OCCURRED_AT)
        if name == OCCURRED_AT:
            message = f"Expected the mart's column {self._time_column!r}, got 'occurred_at'"
            raise DerivedError(_message(self._text, message, _place_of(self._text, name)))
        return Field(name)

    def _literal(self, node: Any) -> Expression:
        if node.is_string:
            _check_text(node.this, self._text)
            return Text(node.this)
        value = float(node.this)
        if value in {float("inf"), float("-inf")}:
            raise DerivedError(_message(self._text, "Expected a number that a double holds", None))
        return Number(value)

    def _null(self, _node: Any) -> Expression:
        return Null()

    def _neg(self, node: Any) -> Expression:
        argument = self.read(node.this)
        return Number(-argument.value) if isinstance(argument, Number) else Call("negate", (argument,))

    def _is(self, node: Any) -> Expression:
        if type(node.expression).__name__ != "Null":
            raise self._refusal(node)
        return Call("is_null", (self.read(node.this),))

    def _in(self, node: Any) -> Expression:
        self._has_only(node, "this", "expressions")
        value = self.read(node.this)
        options = [Call("equal", (value, self.read(each))) for each in node.expressions]
        if not options:
            raise self._refusal(node)
        return options[0] if len(options) == 1 else Call("or", tuple(options))

    def _between(self, node: Any) -> Expression:
        self._has_only(node, "this", "low", "high")
        value = self.read(node.this)
        low, high = self.read(node.args["low"]), self.read(node.args["high"])
        return Call("and", (Call("greater_or_equal", (value, low)), Call("less_or_equal", (value, high))))

    def _and(self, node: Any) -> Expression:
        return self._joined("and", node)

    def _or(self, node: Any) -> Expression:
        return self._joined("or", node)

    def _joined(self, operation: Operation, node: Any) -> Expression:
        """A chain of one connector as one operation."""
        arguments: list[Expression] = []
        for side in (node.this, node.expression):
            read = self.read(side)
            is_same = isinstance(read, Call) and read.operation == operation
            arguments += read.arguments if is_same and isinstance(read, Call) else [read]
        return Call(operation, tuple(arguments))

    def _case(self, node: Any) -> Expression:
        self._has_only(node, "this", "ifs", "default")
        subject = None if node.args.get("this") is None else self.read(node.args["this"])
        arguments: list[Expression] = []
        for branch in node.args["ifs"]:
            condition = self.read(branch.this)
            arguments.append(condition if subject is None else Call("equal", (subject, condition)))
            arguments.append(self.read(branch.args["true"]))
        otherwise = node.args.get("default")
        arguments.append(Null() if otherwise is None else self.read(otherwise))
        return Call("case", tuple(arguments))

    def _extract(self, node: Any) -> Expression:
        part = node.this.name.lower()
        if type(node.this).__name__ != "Var" or part not in DATE_PARTS:
            message = f"Expected one of the date parts {', '.join(DATE_PARTS)}, got `{part}`{_PARTS_REASON}"
            raise DerivedError(_message(self._text, message, _place_of(self._text, part)))
        return Call(part, (self.read(node.expression),))


_CALLS: Final[Mapping[str, Operation]] = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Abs": "abs", "Floor": "floor",
    "Ceil": "ceil", "Sqrt": "sqrt", "Least": "least", "Greatest": "greatest", "EQ": "equal", "NEQ": "different",
    "LT": "less", "LTE": "less_or_equal", "GT": "greater", "GTE": "greater_or_equal", "Not": "not",
    "Coalesce": "coalesce", "Nullif": "nullif",
}  # fmt: skip
_SPECIAL: Final = frozenset(
    ["paren", "column", "literal", "null", "neg", "is", "in", "between", "and", "or", "case", "extract"]
)
_FLAGS: Final = frozenset({"typed", "safe", "ignore_nulls"})
"""Arguments that sqlglot sets by its dialect, not by the text."""
_WHAT: Final[Mapping[str, str]] = {
    "Window": "a window function", "Subquery": "a subquery", "Select": "a subquery", "Alias": "an alias",
    "Tuple": "a list of values", "Star": "`*`", "Is": "IS with something other than NULL", "In": "IN without constants",
    "Boolean": "a truth value",
}  # fmt: skip


def _check_text(value: str, text: str) -> None:
    if not value.isprintable() or "'" in value or "\\" in value:
        message = "Expected a text of printable characters without ' and \\"
        raise DerivedError(_message(text, message, None))


def _identifier() -> Any:
    from sqlglot import exp

    return exp.Identifier


def _place_of(text: str, name: str) -> int | None:
    """Offset of a word in the text."""
    found = re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", text, re.IGNORECASE)
    return found.start() if found else None


def _offset(error: Mapping[str, Any]) -> int | None:
    column = error.get("col")
    return column - 1 if isinstance(column, int) and error.get("line") == 1 else None


def _message(text: str, violation: str, offset: int | None) -> str:
    at = "in" if offset is None else f"at character {offset + 1} of"
    return f"{violation} - {at} {_shown(text)}"


def _shown(text: str) -> str:
    shown = " ".join(text.split())
    return f"`{shown if len(shown) <= 80 else shown[:77] + '...'}`"
