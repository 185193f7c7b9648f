"""A derived feature as a column of its mart: one SQL expression that DuckDB and Snowflake read alike.

Every number becomes a double, since both warehouses divide whole numbers and decimals by rules of their own. Neither
has an operation that gives null where a double has no finite result, so that divisors and results are tested. A test
repeats its operand's text: `LONGEST_SQL` bounds what nested divisions grow to.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from lifecycle.spec.derived import DerivedError
from serving.contract.documents import Feature
from serving.contract.expressions import (
    DATE_PARTS,
    OCCURRED_AT,
    Call,
    Derivation,
    Expression,
    Field,
    Null,
    Number,
    Text,
)
from serving.contract.whole_results import has_whole_results

LONGEST_SQL: Final = 20_000
"""Characters of the longest column."""

_LARGEST: Final = "cast('1.7976931348623157e+308' as double)"
_LARGEST_WHOLE: Final = "cast('9007199254740992' as double)"
_ZERO: Final = "cast('0' as double)"
_SYMBOLS: Final[Mapping[str, str]] = {
    "add": "+", "subtract": "-", "multiply": "*", "equal": "=", "different": "<>", "less": "<", "less_or_equal": "<=",
    "greater": ">", "greater_or_equal": ">=",
}  # fmt: skip
# The first day of the calendar is a Monday: independent of a session's first day of the week.
_ISODOW: Final = "mod(cast({time} as date) - cast('0001-01-01' as date), 7) + 1"


class _Sql(NamedTuple):
    """SQL of a node; `is_finite` if its value is no infinity and no NaN."""

    text: str
    is_finite: bool = True


def column_sql(feature: Feature, fields: Mapping[str, Feature], time_column: str = OCCURRED_AT) -> str:
    """The SQL of a derived feature over columns that are named as its fields.

    Parameters
    ----------
    feature
        With a derivation that keeps the rules of `schema_violations`.
    fields
        The fields of a request by name.
    time_column
        The mart's column of the event's time.

    Raises
    ------
    DerivedError
        If a category cannot be written in SQL, or the SQL gets too long.
    """
    if not isinstance(feature.derivation, Derivation):
        raise DerivedError(f"Expected a derived feature, got {feature.name!r} with source {feature.source}")
    writer = _Writer(fields, time_column)
    value = writer.sql(feature.derivation.tree)
    if feature.dtype == "float":
        result = f"({value.text} + {_ZERO})"
        sql = result if value.is_finite else f"case when abs{value.text} <= {_LARGEST} then {result} end"
    elif feature.dtype == "int":
        text = value.text
        sql = f"cast({text} as bigint)"
        if not has_whole_results(feature):
            sql = f"case when floor{text} = {text} and abs{text} <= {_LARGEST_WHOLE} then {sql} end"
    else:
        sql = _mapped(value.text, feature)
    if len(sql) > LONGEST_SQL:
        raise DerivedError(
            f"Expected an expression with fewer nested divisions: its SQL has {len(sql)} characters, "
            f"at most {LONGEST_SQL} are possible - in `{feature.derivation.sql[:80]}`"
        )
    return sql


class _Writer:
    """Writes nodes; every text is a name, a function call or in parentheses."""

    def __init__(self, fields: Mapping[str, Feature], time_column: str) -> None:
        self._fields = fields
        self._time_column = time_column

    def sql(self, node: Expression) -> _Sql:
        """SQL of a node, its numbers doubles."""
        if not isinstance(node, Call):
            return _Sql(self._leaf(node))
        if node.operation in DATE_PARTS:
            return _Sql(self._date_part(node.operation))
        if node.operation == "case":
            return self._case(node)
        arguments = [self.sql(argument) for argument in node.arguments]
        if node.operation in {"add", "subtract", "multiply", "negate", "abs"}:
            return self._propagating(node.operation, [each.text for each in arguments], arguments)
        texts = [_finite(each) for each in arguments]
        if len("".join(texts)) > LONGEST_SQL:
            raise DerivedError("Expected an expression with fewer nested divisions: its SQL gets too long")
        return _Sql(self._observing(node.operation, arguments, texts), node.operation != "divide")

    def _leaf(self, node: Field | Number | Text | Null) -> str:
        if isinstance(node, Field):
            return self._field(node.name)
        if isinstance(node, Number):
            return f"(cast('{node.value!r}' as double))"
        return f"({quoted(node.value)})" if isinstance(node, Text) else "(null)"

    def _field(self, name: str) -> str:
        if name == OCCURRED_AT:
            return self._time_column
        field = self._fields[name]
        return f"({_mapped(name, field)})" if field.dtype == "category" else f"(cast({name} as double))"

    def _date_part(self, part: str) -> str:
        time = self._time_column
        value = _ISODOW.format(time=time) if part == "isodow" else f"extract({part} from {time})"
        return f"(cast({value} as double))"

    def _propagating(self, operation: str, texts: list[str], arguments: list[_Sql]) -> _Sql:
        """Operations that are endless wherever an argument is: a later test finds it."""
        if operation in {"negate", "abs"}:
            text = f"(-{texts[0]})" if operation == "negate" else f"(abs{texts[0]})"
            return _Sql(text, arguments[0].is_finite)
        return _Sql(f"({texts[0]} {_SYMBOLS[operation]} {texts[1]})", False)

    def _observing(self, operation: str, arguments: list[_Sql], texts: list[str]) -> str:
        """Operations that could lose an endless argument: it is null before them."""
        first = texts[0]
        if operation == "divide":
            return f"({arguments[0].text} / case when {texts[1]} <> {_ZERO} then {texts[1]} end)"
        if operation in _SYMBOLS:
            return f"({first} {_SYMBOLS[operation]} {texts[1]})"
        if operation in {"and", "or"}:
            return f"({f' {operation} '.join(texts)})"
        if operation in {"least", "greatest"}:
            return _extreme("<" if operation == "least" else ">", texts)
        templates = {
            "not": f"(not {first})",
            "is_null": f"({first} is null)",
            "floor": f"(floor{first})",
            "ceil": f"(ceil{first})",
            "sqrt": f"(case when {first} >= {_ZERO} then sqrt{first} end)",
            "coalesce": f"(coalesce({', '.join(texts)}))",
            "nullif": f"(nullif({', '.join(texts)}))",
        }
        return templates[operation]

    def _case(self, node: Call) -> _Sql:
        *branches, otherwise = [self.sql(argument) for argument in node.arguments]
        pairs = zip(branches[::2], branches[1::2], strict=True)
        whens = " ".join(f"when {condition.text} then {value.text}" for condition, value in pairs)
        is_finite = all(each.is_finite for each in (*branches[1::2], otherwise))
        return _Sql(f"(case {whens} else {otherwise.text} end)", is_finite)


def quoted(text: str) -> str:
    """A text as a constant of both dialects.

    Raises
    ------
    DerivedError
        If it has a quote or a backslash, which the dialects escape differently, or is not printable.
    """
    if not text.isprintable() or "'" in text or "\\" in text:
        raise DerivedError("Expected a category of printable characters without ' and \\ in an expression")
    return f"'{text}'"


def _mapped(text: str, feature: Feature) -> str:
    """A category, with `other` instead of one that is not listed."""
    if not isinstance(feature.other, str):
        return text
    listed = ", ".join(quoted(category) for category in feature.categories or ())
    return f"case when {text} in ({listed}) or {text} is null then {text} else {quoted(feature.other)} end"


def _finite(value: _Sql) -> str:
    """The SQL of a value that is null instead of endless; both warehouses order NaN above every number."""
    text = value.text
    return text if value.is_finite else f"(case when abs{text} <= {_LARGEST} then {text} end)"


def _extreme(symbol: str, texts: list[str]) -> str:
    """The least or greatest of the values, null if one of them is: `least` itself ignores nulls in DuckDB alone."""
    chosen = texts[0]
    for other in texts[1:]:
        otherwise = f"when {chosen} is not null and {other} is not null then {chosen}"
        chosen = f"(case when {other} {symbol} {chosen} then {other} {otherwise} end)"
        if len(chosen) > LONGEST_SQL:
            raise DerivedError("Expected fewer arguments of least and greatest: the SQL gets too long")
    return chosen
