"""A declared raw table: its columns, its key, and how it refers to other tables."""

from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = "raw"
PROTECTED = "protected"
"""Schema of the attributes that only the fairness gate may read."""
WHOLE, DOUBLE, MONEY, TEXT, BOOLEAN, DATE, TIMESTAMP = (
    "BIGINT",
    "DOUBLE",
    "DECIMAL(12,2)",
    "VARCHAR",
    "BOOLEAN",
    "DATE",
    "TIMESTAMP",
)
"""SQL types of raw columns."""


@dataclass(frozen=True)
class Column:
    """A column of a file that is loaded; `type` is its SQL type in the warehouse."""

    name: str
    type: str
    is_nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    """Bounds of a number, themselves allowed; ``None`` for no bound."""
    is_key: bool = False
    """Whether it identifies a row or an entity: its text has no blanks around it."""
    is_event: bool = False
    """Whether it is the time of the event: it lies between 1990 and a day after the load."""


@dataclass(frozen=True)
class RawRelation:
    """A raw table: `key` identifies a row, and loads are reported by the day of `event_at`.

    A row is never changed. A later load with other values of the `corrected` columns adds a version, with the time
    from which it is known; the first version keeps its place in the table. With `is_repeatable`, one key may have
    several rows, which differ in `event_at`.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    key: str
    event_at: str | None = None
    schema: str = SCHEMA
    corrected: tuple[str, ...] = ()
    is_repeatable: bool = False
    entity: str | None = None
    """Column of the person or company that the row is about, by which an erasure finds it."""
    entity_kind: str | None = None
    """Kind of entity. Ids of one kind name the same person in every table."""
    key_kind: str = ""
    """Kind of the key, in the tombstones of erased rows."""
    refers_to: str | None = None
    """Table with the same key, whose row this one is about: it must be loaded before, and its event is not later."""
    changes_from_days: int = 0
    changes_until_days: int = 0
    """Days of features that a row changes, counted from the day of its event, or of the event that it is about."""
    path: Path = field(default=Path(), compare=False)
    """The declaring file."""
    project: Path = field(default=Path(), compare=False)
    """The dbt project of that file."""

    @property
    def versions_table(self) -> str:
        """Qualified name of the table of later versions: the columns of the table, and `known_at`."""
        return f"{self.table}_versions"

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return (self.key, self.event_at) if self.is_repeatable and self.event_at else (self.key,)

    @property
    def table(self) -> str:
        """Qualified name."""
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in table order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of this name, which must exist."""
        return next(column for column in self.columns if column.name == name)
