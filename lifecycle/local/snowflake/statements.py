"""What the endpoint has to know of a statement before it runs; read from its first words, not parsed."""

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
    """Statements that the endpoint itself has a part in."""

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
    """A statement's text without the comments before and after it, and its kind."""

    sql: str
    kind: Kind

    @property
    def ends_transaction(self) -> bool:
        """Whether an open transaction is committed before it runs, as Snowflake does before every definition."""
        return self.kind is Kind.DEFINITION or (self.kind is Kind.SESSION and "AUTOCOMMIT" in self.parameters())

    def locked_table(self) -> str | None:
        """Table that UPDATE, DELETE, MERGE or TRUNCATE locks, as written."""
        found = _LOCKING.match(self.sql)
        return found[1] if found else None

    def used(self) -> tuple[str, str]:
        """What USE sets (``role``, ``warehouse``) and to which name."""
        found = _USE.match(self.sql)
        assert found  # noqa: S101 - its kind says so
        return found[1].lower(), normal(found[2])

    def created(self) -> tuple[str, str, bool] | None:
        """Kind (TABLE, VIEW, STAGE) and name, as written, of what outlives the session; whether it may be older."""
        found = _CREATED.match(self.sql)
        return (found[1].upper(), found[3], bool(found[2])) if found and not _TEMPORARY.match(self.sql) else None

    def temporary_table(self) -> tuple[str, str] | None:
        """Name, as written, of a temporary table that is made with its schema, and the text without TEMPORARY."""
        found = _CREATED.match(self.sql)
        if not found or not _TEMPORARY.match(self.sql) or found[1].lower() != "table" or "." not in found[3]:
            return None
        return found[3], _TEMPORARY.sub(r"\1transient", self.sql, count=1)

    def parameters(self) -> dict[str, str | None]:
        """Session parameters that ALTER SESSION sets; ``None`` where it unsets one."""
        found = _ALTER_SESSION.match(self.sql)
        if not found:
            return {}
        if found[1].lower() == "unset":
            return {name.strip().upper(): None for name in found[2].split(",")}
        return {name.upper(): unquoted(value) for name, value in _PARAMETER.findall(found[2])}

    def shown_parameter(self) -> str:
        """Name after SHOW PARAMETERS LIKE."""
        found = _SHOW_PARAMETERS.match(self.sql)
        assert found  # noqa: S101 - its kind says so
        return found[1].upper()


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
    """The text without the white space, semicolons and bracketed comments at its end, as dbt appends one to each."""
    text = text.rstrip("; \t\r\n")
    while text.endswith("*/") and "/*" in text:
        text = text[: text.rindex("/*")].rstrip("; \t\r\n")
    return text


def in_context(sql: str, values: dict[str, str | None]) -> str:
    """The text with CURRENT_ROLE() and its like replaced by `values`, by lower-case name without the brackets."""

    def replaced(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        value = values.get(found[2].lower())
        return "cast(null as varchar)" if value is None else "'" + value.replace("'", "''") + "'"

    return _CONTEXT.sub(replaced, sql) if "current_" in sql.lower() else sql


def unquoted(value: str) -> str:
    """A literal's value."""
    if value.startswith("'") and value.endswith("'"):
        return re.sub(r"''|\\(.)", lambda found: found[1] or "'", value[1:-1])
    return value


def normal(name: str) -> str:
    """An identifier as Snowflake stores it: upper case unless quoted; parts of a qualified name likewise."""
    parts = re.findall(r'"[^"]+"|[^."\s]+', name)
    return ".".join(part[1:-1] if part.startswith('"') else part.upper() for part in parts)
