"""The schema of a declared raw table: a table of a dbt source whose ``config.meta`` has `lifecycle`.

dbt's own keys say what dbt has keys for: name, description, columns with their `data_type`. The rest is below
`lifecycle`. The rules about several keys are in `table_faults`, so that each has a message with its key.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lifecycle.spec.raw_table import BOOLEAN, DATE, DOUBLE, MONEY, TEXT, TIMESTAMP, WHOLE, Column

META = "config.meta.lifecycle"
TYPES = {
    "bigint": WHOLE,
    "integer": WHOLE,
    "double": DOUBLE,
    "decimal(12,2)": MONEY,
    "varchar": TEXT,
    "text": TEXT,
    "boolean": BOOLEAN,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamp without time zone": TIMESTAMP,
}
"""Type in the warehouse of each `data_type`. Money is decimal(12,2), so that sums do not depend on the order."""
_NUMBERS = (WHOLE, DOUBLE, MONEY)
_RESERVED = frozenset(
    [
        "all",
        "alter",
        "and",
        "any",
        "as",
        "asc",
        "between",
        "by",
        "case",
        "cast",
        "check",
        "column",
        "connect",
        "constraint",
        "create",
        "cross",
        "current",
        "database",
        "delete",
        "desc",
        "distinct",
        "drop",
        "else",
        "end",
        "except",
        "exists",
        "false",
        "for",
        "foreign",
        "from",
        "full",
        "grant",
        "group",
        "having",
        "in",
        "increment",
        "inner",
        "insert",
        "intersect",
        "into",
        "is",
        "join",
        "lateral",
        "left",
        "like",
        "limit",
        "minus",
        "natural",
        "not",
        "null",
        "of",
        "offset",
        "on",
        "or",
        "order",
        "primary",
        "qualify",
        "references",
        "revoke",
        "right",
        "row",
        "rows",
        "sample",
        "schema",
        "select",
        "set",
        "some",
        "start",
        "table",
        "then",
        "to",
        "trigger",
        "true",
        "union",
        "unique",
        "update",
        "using",
        "values",
        "view",
        "when",
        "where",
        "window",
        "with",
    ]
)
"""Words that a statement would take for its own: reserved by DuckDB or Snowflake."""
OWN_TABLES = frozenset(
    [
        "loads",
        "load_rejects",
        "erased_keys",
        "removed_rows",
        "decisions",
        "decision_refusals",
        "decision_log_offsets",
        "loads_lock",
        "decisions_lock",
    ]
)
"""Tables that the installation keeps in the same schema."""


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise ValueError(f"Expected a name of lower-case letters, digits and underscores, got {name!r}")
    if name in _RESERVED:
        raise ValueError(f"Expected a name that SQL does not reserve, got {name!r}")
    return name


def _known_type(text: str) -> str:
    folded = " ".join(text.lower().split()).replace("( ", "(").replace(", ", ",")
    if folded not in TYPES:
        similar = difflib.get_close_matches(folded, TYPES, n=1)
        remedy = f"; did you mean {similar[0]}?" if similar else ""
        raise ValueError(f"Expected one of {', '.join(TYPES)}, got {text!r}{remedy}")
    return TYPES[folded]


Name = Annotated[str, AfterValidator(_plain_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Open(BaseModel):
    """Other keys are dbt's, which checks them."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ChangedDays(_Strict):
    """Days of features that a row changes, both included, from the day of its event or of the one that it is about."""

    after: Annotated[int, Field(ge=0, le=3650)] = 0
    until: Annotated[int, Field(ge=0, le=3650)] = 0


class LifecycleMeta(_Strict):
    """What dbt has no key for; `lifecycle.spec.raw_table.RawRelation` says what each key means."""

    key: str
    event_at: str | None = None
    entity: str | None = None
    entity_kind: Name | None = None
    key_kind: Name | None = None
    is_repeatable: bool = False
    corrected: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()
    minimum: dict[str, float] = {}
    maximum: dict[str, float] = {}
    refers_to: str | None = None
    changes_days: ChangedDays = ChangedDays()


class _Meta(_Open):
    lifecycle: LifecycleMeta


class _Config(_Open):
    meta: _Meta


class ColumnDeclaration(_Open):
    """A column as dbt declares it."""

    name: Name
    data_type: Annotated[str, AfterValidator(_known_type)]


class TableDeclaration(_Open):
    """A table of a dbt source."""

    name: Name
    description: Annotated[str, Field(pattern=r"\S")]
    columns: Annotated[tuple[ColumnDeclaration, ...], Field(min_length=1)]
    config: _Config

    @property
    def meta(self) -> LifecycleMeta:
        """What dbt has no key for."""
        return self.config.meta.lifecycle

    def raw_columns(self) -> tuple[Column, ...]:
        """The columns with their rules, in order."""
        meta = self.meta
        return tuple(
            Column(
                column.name,
                column.data_type,
                is_nullable=column.name in meta.nullable,
                minimum=meta.minimum.get(column.name),
                maximum=meta.maximum.get(column.name),
                is_key=column.name in {meta.key, meta.entity},
                is_event=column.name == meta.event_at,
            )
            for column in self.columns
        )


def table_faults(table: TableDeclaration) -> Iterator[str]:
    """Faults of several keys together, each with the key that holds it."""
    types = {column.name: column.data_type for column in table.columns}
    meta = table.meta
    named: dict[str, Iterable[str | None]] = {
        "key": [meta.key],
        "event_at": [meta.event_at],
        "entity": [meta.entity],
        "corrected": meta.corrected,
        "nullable": meta.nullable,
        "minimum": meta.minimum,
        "maximum": meta.maximum,
    }
    for key, names in named.items():
        unknown = [name for name in names if name is not None and name not in types]
        yield from (f"Expected a column of the table, got {name!r}{_near(name, types)} - at `{META}.{key}`"
                    for name in unknown)  # fmt: skip
    yield from _name_faults(table, types)
    yield from _type_faults(meta, types)
    fixed = {meta.key, meta.event_at, meta.entity}
    yield from (f"Expected no key, event or entity that may be null, got {name!r} - at `{META}.nullable`"
                for name in meta.nullable if name in fixed)  # fmt: skip
    yield from (f"Expected columns that may change, got {name!r}, which names another row - at `{META}.corrected`"
                for name in meta.corrected if name in fixed)  # fmt: skip
    if meta.event_at is None and (meta.is_repeatable or meta.refers_to):
        key = "is_repeatable" if meta.is_repeatable else "refers_to"
        yield f"Expected event_at, the time of a row, got none - at `{META}.{key}`"
    if meta.changes_days.until < meta.changes_days.after:
        yield (
            f"Expected until of at least after = {meta.changes_days.after}, got {meta.changes_days.until} "
            f"- at `{META}.changes_days.until`"
        )


def _name_faults(table: TableDeclaration, types: dict[str, str]) -> Iterator[str]:
    names = [column.name for column in table.columns]
    yield from (f"Expected each column once, got {name!r} again - at `columns`" for name in types
                if names.count(name) > 1)  # fmt: skip
    if table.meta.corrected and "known_at" in types:
        yield "Expected no column 'known_at', which later versions of rows add - at `columns`"
    if table.name in OWN_TABLES or table.name.endswith("_versions") or table.name.startswith("scratch_"):
        yield f"Expected a name that the installation does not use itself, got {table.name!r} - at `name`"


def _type_faults(meta: LifecycleMeta, types: dict[str, str]) -> Iterator[str]:
    if types.get(meta.key, TEXT) not in {TEXT, WHOLE}:
        yield f"Expected a key of type bigint or varchar, got {types[meta.key].lower()} - at `{META}.key`"
    if meta.entity and types.get(meta.entity, TEXT) not in {TEXT, WHOLE}:
        yield f"Expected an entity of type bigint or varchar, got {types[meta.entity].lower()} - at `{META}.entity`"
    if meta.event_at and types.get(meta.event_at, DATE) not in {DATE, TIMESTAMP}:
        yield f"Expected a timestamp or a date, got {types[meta.event_at].lower()} - at `{META}.event_at`"
    for bound, values in (("minimum", meta.minimum), ("maximum", meta.maximum)):
        yield from (f"Expected a number to have a {bound}, got {types[name].lower()} - at `{META}.{bound}.{name}`"
                    for name in values if types.get(name, WHOLE) not in _NUMBERS)  # fmt: skip
    yield from (
        f"Expected a maximum of at least the minimum {meta.minimum[name]:g}, got {value:g} - at `{META}.maximum.{name}`"
        for name, value in meta.maximum.items()
        if name in meta.minimum and value < meta.minimum[name]
    )


def _near(name: str, names: dict[str, str]) -> str:
    similar = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {similar[0]}?" if similar else f"; its columns are {', '.join(names)}"
