"""Checks that SQL is Snowflake's: functions by a list with links, constructs by the documentation's grammar.

A local endpoint over DuckDB accepts SQL that an account rejects or interprets differently. Everything that is not
listed here or in ``docs/snowflake_functions.md`` is reported.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import sqlglot
from sqlglot import exp

from lifecycle.settings.platform import PROJECT_ROOT
from tests.harness.sql_words import functions, word_problems

FUNCTIONS_FILE = PROJECT_ROOT / "docs" / "snowflake_functions.md"
FUNCTION_ROW = re.compile(r"^\| `(?P<name>\w+)` \| <(?P<link>https://docs\.snowflake\.com/\S+)> \|", re.MULTILINE)

STATEMENTS = (
    exp.Select, exp.Union, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable,
    exp.Create, exp.Drop, exp.Alter, exp.Describe, exp.Use, exp.Transaction, exp.Commit, exp.Rollback,
    exp.Put, exp.Copy, exp.ListStage, exp.Show,
)  # fmt: skip
COMMANDS = frozenset({"SHOW", "REMOVE", "LIST"})
"""Statements that sqlglot does not parse; they contain no expressions."""

CONSTRUCTS = (
    *STATEMENTS,
    # queries
    exp.With, exp.CTE, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Ordered,
    exp.Limit, exp.Offset, exp.Distinct, exp.Subquery, exp.Values, exp.Tuple, exp.Table, exp.TableAlias, exp.Alias,
    exp.Star, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Var, exp.Placeholder, exp.Parameter,
    # expressions
    exp.Paren, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe, exp.EQ, exp.NEQ, exp.GT, exp.GTE,
    exp.LT, exp.LTE, exp.Not, exp.Is, exp.In, exp.All, exp.Between, exp.Like, exp.ILike,
    exp.Interval, exp.Window, exp.WindowSpec, exp.DataType, exp.DataTypeParam, exp.WithinGroup,
    # definitions, rows that change, files
    exp.Schema, exp.ColumnDef, exp.ColumnConstraint, exp.NotNullColumnConstraint, exp.Properties, exp.Property,
    exp.TransientProperty, exp.TemporaryProperty, exp.ClusterProperty, exp.Cluster, exp.CopyGrantsProperty,
    exp.LikeProperty, exp.Whens, exp.When, exp.Credentials, exp.CopyParameter, exp.FileFormatProperty,
)  # fmt: skip

RANGE_FUNCTIONS = (
    exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance,
    exp.VariancePop, exp.CountIf, exp.FirstValue, exp.LastValue, exp.ArrayAgg,
)  # fmt: skip
"""Functions that accept a range frame with offsets; https://docs.snowflake.com/en/sql-reference/functions-window-syntax."""

TYPES = frozenset({
    "BIGINT", "BINARY", "BOOLEAN", "CHAR", "DATE", "DATETIME", "DECIMAL", "DOUBLE", "FLOAT", "INT", "SMALLINT", "TEXT",
    "TIME", "TIMESTAMP", "TIMESTAMPLTZ", "TIMESTAMPNTZ", "TIMESTAMPTZ", "TINYINT", "VARCHAR", "VARIANT",
})  # fmt: skip
"""As sqlglot names them; https://docs.snowflake.com/en/sql-reference/intro-summary-data-types."""


@cache
def allowed_functions(path: Path = FUNCTIONS_FILE) -> dict[str, str]:
    """Link to the documentation of each function that our SQL may call, by its name in lower case."""
    return {row["name"]: row["link"] for row in FUNCTION_ROW.finditer(path.read_text())}


def problems(sql: str) -> list[str]:
    """Reasons why Snowflake would reject these statements, or interpret them differently from a local endpoint.

    Parameters
    ----------
    sql
        One or several statements, as they are sent.
    """
    found = [
        f"function {name}: not in {FUNCTIONS_FILE.name}" for name in sorted(functions(sql) - set(allowed_functions()))
    ]
    found += word_problems(sql)
    try:
        statements = sqlglot.parse(sql, read="snowflake", error_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.errors.SqlglotError as error:
        return [*found, f"no SQL of Snowflake: {str(error).splitlines()[0]}"]
    for statement in statements:
        if statement is not None:
            found += _statement_problems(statement)
    return list(dict.fromkeys(found))


def _statement_problems(statement: exp.Expression) -> Iterator[str]:
    if isinstance(statement, exp.Command):
        if str(statement.this).upper() not in COMMANDS:
            yield f"statement {str(statement.this).upper()}"
        return
    if not isinstance(statement, STATEMENTS):
        yield f"statement {statement.key.upper()}"
        return
    named = {alias.args["alias"].name for alias in statement.find_all(exp.Alias)}
    for node in statement.walk():
        if not isinstance(node, (*CONSTRUCTS, exp.Func)):
            yield f"construct {node.key.upper()}: {_text(node)}"
        for kind, check in CHECKS:
            if isinstance(node, kind):
                yield from check(node)
        if isinstance(node, (exp.Column, exp.Table)) and _is_lower_case(node.this, named):
            yield f"name {node.this}: quoted, it is not the name in capitals that a table has"


def _window(window: exp.Window) -> Iterator[str]:
    spec, function = window.args.get("spec"), window.this
    if window.args.get("alias") is not None:
        yield f"named window: {_text(window)}"
    if spec is None:
        return
    ends = {str(spec.args.get(end)).upper() for end in ("start", "end")}
    if ends == {"UNBOUNDED"} and function.find(exp.FirstValue, exp.LastValue, exp.NthValue) is not None:
        # sqlglot adds Snowflake's default frame; in other databases the default frame ends at the current row.
        yield f"the whole window as the frame, or none: {_text(window)}"
    kind = str(spec.args["kind"]).upper()
    if spec.args.get("exclude") is not None or kind not in {"ROWS", "RANGE"}:
        yield f"frame: {_text(spec)}"
    if kind == "RANGE" and any(isinstance(spec.args.get(end), exp.Expression) for end in ("start", "end")):
        yield from _range_frame(window, function, spec)


def _range_frame(window: exp.Window, function: exp.Expression, spec: exp.WindowSpec) -> Iterator[str]:
    """A frame with offsets: few functions, one key, constants, the earlier end first."""
    if not isinstance(function, RANGE_FUNCTIONS):
        yield f"{function.key} over a range frame with offsets"
    if isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
        yield "count(*) over a range frame with offsets; write count(1)"
    if isinstance(function.this, exp.Distinct):
        yield "distinct over a range frame with offsets"
    order = window.args.get("order")
    if order is None or len(order.expressions) != 1:
        yield "a range frame with offsets, and not exactly one key to order by"
    offsets = []
    for end in ("start", "end"):
        offset = spec.args.get(end)
        if not isinstance(offset, exp.Expression):
            continue
        if isinstance(offset, exp.Literal) and offset.is_int:
            sign = -1 if str(spec.args[f"{end}_side"]).upper() == "PRECEDING" else 1
            offsets.append(sign * int(offset.name))
        elif not isinstance(offset, exp.Interval):
            yield f"an offset that is no constant: {_text(offset)}"
    if offsets != sorted(offsets):
        yield f"a frame whose later end comes first: {_text(spec)}"


def _division(division: exp.Div) -> Iterator[str]:
    if not _is_float(division):
        yield f"division of numbers, of which six decimals stay; cast one to double: {_text(division)}"


def _is_float(node: exp.Expression) -> bool:
    """Whether the expression's text shows that it is a double."""
    if isinstance(node, exp.Cast):
        return bool(node.to.this in {exp.DataType.Type.DOUBLE, exp.DataType.Type.FLOAT})
    if isinstance(node, (exp.Div, exp.Mul, exp.Add, exp.Sub)):
        return _is_float(node.left) or _is_float(node.right)
    if isinstance(node, exp.Case):
        branches = [*(branch.args["true"] for branch in node.args["ifs"]), *filter(None, [node.args.get("default")])]
        return any(map(_is_float, branches))
    if isinstance(node, exp.Coalesce):
        return any(map(_is_float, [node.this, *node.expressions]))
    # https://docs.snowflake.com/en/sql-reference/functions-numeric: a double comes back as one.
    keeps = exp.Paren, exp.Neg, exp.Abs, exp.Ceil, exp.Floor, exp.Sqrt, exp.Nullif
    return isinstance(node, keeps) and _is_float(node.this)


def _join(join: exp.Join) -> Iterator[str]:
    if join.args.get("method") or join.kind not in {"", "INNER", "OUTER", "CROSS"}:
        yield f"join: {_text(join)}"


def _type(data_type: exp.DataType) -> Iterator[str]:
    name = getattr(data_type.this, "name", str(data_type.this))
    if name not in TYPES or data_type.args.get("nested"):
        yield f"type {data_type.sql(dialect='snowflake')}"


def _distinct(distinct: exp.Distinct) -> Iterator[str]:
    if distinct.args.get("on") is not None:
        yield f"distinct on: {_text(distinct)}"


def _insert(insert: exp.Insert) -> Iterator[str]:
    for name in ("by_name", "alternative", "conflict", "returning"):
        if insert.args.get(name):
            yield f"insert with {name.replace('_', ' ')}"


def _copy(copy: exp.Copy) -> Iterator[str]:
    if not copy.args.get("kind"):
        yield f"copy that is no copy into: {_text(copy)}"


CHECKS: tuple[tuple[type[exp.Expression], Callable[..., Iterator[str]]], ...] = (
    (exp.Window, _window),
    (exp.Div, _division),
    (exp.Join, _join),
    (exp.DataType, _type),
    (exp.Distinct, _distinct),
    (exp.Insert, _insert),
    (exp.Copy, _copy),
)


def _is_lower_case(identifier: exp.Expression, named: set[str]) -> bool:
    return bool(
        isinstance(identifier, exp.Identifier)
        and identifier.args.get("quoted")
        and identifier.name != identifier.name.upper()
        and identifier.name not in named
    )


def _text(node: exp.Expression) -> str:
    """The SQL of a node, at most 100 characters."""
    text = " ".join(node.sql(dialect="snowflake").split())
    return text if len(text) <= 100 else f"{text[:97]}..."
