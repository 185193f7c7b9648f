"""SQL checked by its tokens: sqlglot's tree does not keep the name by which a function was called."""

import re
from collections.abc import Iterator, Sequence

import sqlglot
from sqlglot.tokens import Token, TokenType

WORD = re.compile(r"[A-Za-z_][\w ]*$")
"""A word, or several that sqlglot takes as one (``group by``)."""

BEFORE_A_PARENTHESIS = frozenset({
    "all", "and", "any", "as", "between", "by", "case", "distinct", "else", "except", "exists", "from", "group",
    "having", "in", "insert", "intersect", "into", "is", "join", "key", "like", "limit", "not", "on", "or",
    "over", "qualify", "select", "set", "some", "table", "then", "union", "unique", "using", "values", "when",
    "where", "with",
})  # fmt: skip
"""Keywords that may precede a parenthesis and are not functions."""

STAR_WORDS = frozenset({"exclude", "rename", "replace"})
"""Keywords that begin a list after the star of a query."""

WITHOUT_PARENTHESES = frozenset({
    "current_date", "current_role", "current_time", "current_timestamp", "current_user", "localtime",
    "localtimestamp", "sysdate",
})  # fmt: skip

TYPE_WORDS = frozenset({
    "binary", "char", "decimal", "number", "numeric", "string", "text", "timestamp", "timestamp_ltz",
    "timestamp_ntz", "timestamp_tz", "varbinary", "varchar",
})  # fmt: skip
"""Types that take a length or a precision."""

DUCKDB_TYPES = frozenset({
    "bit", "blob", "bpchar", "bytea", "enum", "hugeint", "int1", "int128", "int16", "int32", "int64", "int8",
    "json", "list", "logical", "long", "map", "oid", "short", "signed", "struct", "timestamp_ms", "timestamp_ns",
    "timestamp_s", "timestamp_us", "ubigint", "uhugeint", "uint16", "uint32", "uint64", "uint8", "uinteger",
    "union", "usmallint", "utinyint", "uuid", "varint",
})  # fmt: skip

DATE_PARTS = frozenset({
    "day", "dayofweekiso", "dayofyear", "epoch_microsecond", "epoch_millisecond", "epoch_nanosecond",
    "epoch_second", "hour", "minute", "month", "nanosecond", "quarter", "second", "weekiso", "year",
})  # fmt: skip
"""Parts that ``date_part`` and ``extract`` take; https://docs.snowflake.com/en/sql-reference/functions-date-time.

Without ``dayofweek`` and ``week``, which depend on the session's WEEK_START.
"""

UNITS = frozenset({
    "day", "days", "hour", "hours", "microsecond", "microseconds", "millisecond", "milliseconds", "minute",
    "minutes", "month", "months", "second", "seconds", "weeks", "year", "years",
})  # fmt: skip

SYMBOLS = frozenset({
    TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA, TokenType.DOT, TokenType.SEMICOLON, TokenType.STAR,
    TokenType.PLUS, TokenType.DASH, TokenType.SLASH, TokenType.MOD, TokenType.EQ, TokenType.NEQ, TokenType.LT,
    TokenType.LTE, TokenType.GT, TokenType.GTE, TokenType.DPIPE, TokenType.DCOLON, TokenType.PLACEHOLDER,
    TokenType.PARAMETER, TokenType.STRING, TokenType.NUMBER, TokenType.IDENTIFIER,
})  # fmt: skip


def functions(sql: str) -> set[str]:
    """Names of all functions that the text calls, in lower case, as written; a qualified name with its dots."""
    tokens = sqlglot.tokenize(sql, read="snowflake")
    return {name for position in range(len(tokens)) if (name := _called_at(tokens, position))}


def word_problems(sql: str) -> list[str]:
    """Constructs outside of Snowflake's grammar that sqlglot's tree does not show."""
    try:
        tokens = sqlglot.tokenize(sql, read="snowflake")
    except sqlglot.errors.TokenError as error:
        return [f"no SQL of Snowflake: {str(error).splitlines()[0]}"]
    found = ["//: begins a comment"] if _has_double_slash(sql) else []
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        found += _problems_at(before, token, after)
    found += _parts(tokens)
    return found


def _called_at(tokens: Sequence[Token], position: int) -> str | None:
    """The called function whose name ends at this position, if any."""
    word = tokens[position].text.lower()
    if not WORD.match(word) or tokens[position].token_type is TokenType.STRING:
        return None
    if not _is(tokens, position + 1, "("):
        is_column = _is(tokens, position - 1, ".") or _is(tokens, position - 1, "as")
        return word if word in WITHOUT_PARENTHESES and not is_column else None
    first = position
    while _is(tokens, first - 1, "."):
        first -= 2
    before = tokens[first - 1].text.lower() if first > 0 else ""
    if before in {"into", "table", "view", "as"} or (before == "exists" and _is(tokens, first - 2, "not")):
        # A name with its columns, or a type with its length.
        return None
    if word in TYPE_WORDS and first == position and not _is(tokens, position - 1, "select"):
        return None
    if first == position and (word.split()[-1] in BEFORE_A_PARENTHESIS or (before == "*" and word in STAR_WORDS)):
        return None
    return "".join(token.text.lower() for token in tokens[first : position + 1])


def _is(tokens: Sequence[Token], position: int, text: str) -> bool:
    return 0 <= position < len(tokens) and tokens[position].text.lower() == text


def _problems_at(before: Token | None, token: Token, after: Token | None) -> Iterator[str]:
    word = token.text.lower()
    if not WORD.match(word) and token.token_type not in SYMBOLS:
        yield f"symbol {token.text}"
    if token.token_type is TokenType.INTERVAL and (after is None or after.token_type is not TokenType.STRING):
        yield "interval: its number and unit stand together between quotes, as in interval '30 days'"
    if before is not None and before.token_type is TokenType.STRING and word in UNITS:
        yield f"interval: its unit {word} stands outside of the quotes"
    if token.token_type is TokenType.FROM and (
        before is None or before.text in {"(", ";"} or before.text.lower() == "all"
    ):
        yield "from: a query that does not begin with select"
    if before is not None and word in DUCKDB_TYPES and (before.text == "::" or _ends_cast(before, after)):
        yield f"type {word}"


def _ends_cast(before: Token, after: Token | None) -> bool:
    return before.text.lower() == "as" and after is not None and after.text in {"(", ")", "["}


def _parts(tokens: Sequence[Token]) -> Iterator[str]:
    """Unknown parts of a date or time."""
    for name, parenthesis, part in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (
            name.text.lower() in {"date_part", "extract"}
            and parenthesis.text == "("
            and part.text.lower() not in DATE_PARTS
        ):
            yield f"part {part.text.lower()} of a moment"


def _has_double_slash(sql: str) -> bool:
    """Whether DuckDB's integer division occurs, which begins a comment in Snowflake."""
    return "//" in sql and any(token.text == "//" for token in sqlglot.tokenize(sql, read="duckdb"))
