"""Classifies a statement before it runs, by its first words: parsing each one would cost more than running it."""

import re
from dataclasses import dataclass
from enum import Enum, auto

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)+", re.DOTALL)
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\s*\.\s*(?:"[^"]+"|[\w$]+))*'
_BEGIN = re.compile(
    r"(?:begin(?:\s+(?:work|transaction))?(?:\s+name\s+\w+)?|start\s+transaction)\s*;?\s*$", re.IGNORECASE
)
_COMMIT = re.compile(r"commit(?:\s+work)?\s*;?\s*$", re.IGNORECASE)
_ROLLBACK = re.compile(r"rollback(?:\s+work)?\s*;?\s*$", re.IGNORECASE)
_DEFINITION = re.compile(r"(?:create|alter|drop|undrop|comment|grant|revoke)\b", re.IGNORECASE)
_ALTER_SESSION = re.compile(r"alter\s+session\s+(set|unset)\s+(.*?)\s*;?\s*$", re.IGNORECASE | re.DOTALL)
_USE = re.compile(rf"use\s+(role|warehouse|secondary\s+roles)\s+({_NAME})\s*;?\s*$", re.IGNORECASE)
_LOCKING = re.compile(
    rf"(?:update|delete\s+from|merge\s+into|truncate(?:\s+table)?(?:\s+if\s+exists)?)\s+({_NAME})", re.IGNORECASE
)
_CREATED = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:(?:transient|temporary|temp|local|global)\s+)*(table|view|stage)\s+"
    rf"(if\s+not\s+exists\s+)?({_NAME})",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(r"(create\s+(?:or\s+replace\s+)?)(?:(?:local|global)\s+)?temp(?:orary)?\b", re.IGNORECASE)
_SHOW_GRANTS = re.compile(r"show\s+(?:future\s+)?grants\b", re.IGNORECASE)
_SHOW_PARAMETERS = re.compile(r"show\s+parameters\s+like\s+'(\w+)'(?:\s+(?:in|for)\s+session)?\s*;?\s*$", re.IGNORECASE)
_PARAMETER = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|''|\\.)*'|[^\s,]+)", re.DOTALL)
_CONTEXT = re.compile(
    r"('(?:[^'\\]|''|\\.)*')|\b(current_(?:role|warehouse|user|account|secondary_roles))\s*\(\s*\)", re.IGNORECASE
)


class Kind(Enum):
    """Kinds of statements that the endpoint treats itself."""

    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    SESSION = auto()
    USE = auto()
    SHOW_GRANTS = auto()
    SHOW_PARAMETERS = auto()
    DEFINITION = auto()
    LOCKING = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Statement:
    """A statement without leading and trailing comments, and its kind."""

    sql: str
    kind: Kind

    @property
    def ends_transaction(self) -> bool:
        """Whether it commits an open transaction before it runs, as every definition does in Snowflake."""
        return self.kind is Kind.DEFINITION or (self.kind is Kind.SESSION and "AUTOCOMMIT" in self.parameters())

    def locked_table(self) -> str | None:
        """Table that UPDATE, DELETE, MERGE or TRUNCATE locks, as written."""
        match = _LOCKING.match(self.sql)
        return match[1] if match else None

    def used(self) -> tuple[str, str]:
        """Kind (``role``, ``warehouse``) and name of the object that USE selects."""
        match = _USE.match(self.sql)
        assert match  # noqa: S101 - true for this kind
        return match[1].lower(), normal(match[2])

    def created(self) -> tuple[str, str, bool] | None:
        """Kind (TABLE, VIEW, STAGE), name as written, and IF NOT EXISTS, of a permanent object that it creates."""
        match = _CREATED.match(self.sql)
        return (match[1].upper(), match[3], bool(match[2])) if match and not _TEMPORARY.match(self.sql) else None

    def temporary_table(self) -> tuple[str, str] | None:
        """Name, as written, of a temporary table that is created with its schema, and the SQL without TEMPORARY."""
        match = _CREATED.match(self.sql)
        if not match or not _TEMPORARY.match(self.sql) or match[1].lower() != "table" or "." not in match[3]:
            return None
        return match[3], _TEMPORARY.sub(r"\1transient", self.sql, count=1)

    def parameters(self) -> dict[str, str | None]:
        """Session parameters that ALTER SESSION sets; ``None`` for those that it unsets."""
        match = _ALTER_SESSION.match(self.sql)
        if not match:
            return {}
        if match[1].lower() == "unset":
            return {name.strip().upper(): None for name in match[2].split(",")}
        return {name.upper(): unquoted(value) for name, value in _PARAMETER.findall(match[2])}

    def shown_parameter(self) -> str:
        """Name after SHOW PARAMETERS LIKE."""
        match = _SHOW_PARAMETERS.match(self.sql)
        assert match  # noqa: S101 - true for this kind
        return match[1].upper()


_KINDS = (
    (_BEGIN, Kind.BEGIN),
    (_COMMIT, Kind.COMMIT),
    (_ROLLBACK, Kind.ROLLBACK),
    (_ALTER_SESSION, Kind.SESSION),
    (_USE, Kind.USE),
    (_SHOW_GRANTS, Kind.SHOW_GRANTS),
    (_SHOW_PARAMETERS, Kind.SHOW_PARAMETERS),
    (_DEFINITION, Kind.DEFINITION),
    (_LOCKING, Kind.LOCKING),
)


def read(text: str) -> Statement:
    """The statement of a request."""
    leading = _LEADING.match(text)
    sql = _without_end(text[leading.end() :] if leading else text)
    return Statement(sql, next((kind for pattern, kind in _KINDS if pattern.match(sql)), Kind.OTHER))


def _without_end(text: str) -> str:
    """The text without trailing white space, semicolons and block comments; dbt appends one to each statement."""
    text = text.rstrip("; \t\r\n")
    while text.endswith("*/") and "/*" in text:
        text = text[: text.rindex("/*")].rstrip("; \t\r\n")
    return text


def in_context(sql: str, values: dict[str, str | None]) -> str:
    """The SQL with context functions such as CURRENT_ROLE() replaced; `values` are keyed by lower-case name."""

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        value = values.get(match[2].lower())
        return "cast(null as varchar)" if value is None else "'" + value.replace("'", "''") + "'"

    return _CONTEXT.sub(replaced, sql) if "current_" in sql.lower() else sql


def unquoted(value: str) -> str:
    """A literal's value."""
    if value.startswith("'") and value.endswith("'"):
        return re.sub(r"''|\\(.)", lambda match: match[1] or "'", value[1:-1])
    return value


def normal(name: str) -> str:
    """An identifier as Snowflake stores it: upper case unless quoted; applies to each part of a qualified name."""
    parts = re.findall(r'"[^"]+"|[^."\s]+', name)
    return ".".join(part[1:-1] if part.startswith('"') else part.upper() for part in parts)
