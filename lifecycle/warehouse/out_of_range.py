"""Finds and removes raw rows whose times no load accepts any more: sentinels that an earlier version loaded."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.deletion import Rows, built_tables, delete_rows
from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.loading.value_checks import EARLIEST, LATEST_DAYS
from lifecycle.warehouse.raw_tables import REMOVALS_TABLE, SCHEMA, RawRelation, declarations, raw_definitions
from serving.storage.crash_points import crash_point

REASON = "time out of range"


@dataclass(frozen=True)
class OutOfRange:
    """Rows out of range by table, tables without such rows left out; times are UTC."""

    earliest: dt.datetime
    latest: dt.datetime
    rows: dict[str, int]
    is_removed: bool

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"earliest": self.earliest.isoformat(), "latest": self.latest.isoformat()}


def count_out_of_range(settings: Settings) -> OutOfRange:
    """Count the rows with times out of range, and those that belong to such an event."""
    return _with_rows(settings, is_removing=False, by="")


def remove_out_of_range(settings: Settings, *, by: str) -> OutOfRange:
    """Remove these rows and record their numbers in `raw.removed_rows`; idempotent, also after a crash at any point.

    Rows of features and outcomes go first: the raw rows, by which they are found, go last, with the record.
    """
    return _with_rows(settings, is_removing=True, by=by)


def expect_in_range(warehouse: Warehouse) -> None:
    """Check the times of events before a build, whose windows they would break.

    Raises
    ------
    LifecycleError
        If there are rows out of range.
    """
    earliest, latest = bounds()
    timed = [table for table in _timed() if table.schema == SCHEMA]  # dbt's role reads no other
    if not timed:
        return
    counts = " union all ".join(
        f"select count(*) as row_count from {table.table} where {_out_of_range(table.event_at)}" for table in timed
    )
    rows = warehouse.query(
        f"select sum(row_count) as row_count from ({counts}) as counts", [earliest, latest] * len(timed)
    )
    count = int(rows.column(0)[0].as_py())
    if count:
        raise LifecycleError(
            f"Expected times from {EARLIEST} to {latest:%Y-%m-%d %H:%M}, got {count:,} rows of an earlier version that "
            "are outside - in the raw tables; `lifecycle warehouse remove-out-of-range` shows and removes them"
        )


def bounds() -> tuple[dt.datetime, dt.datetime]:
    """The earliest and the latest time that a load accepts now; UTC, without a zone."""
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    return dt.datetime.fromisoformat(EARLIEST), now + dt.timedelta(days=LATEST_DAYS)


def _with_rows(settings: Settings, *, is_removing: bool, by: str) -> OutOfRange:
    warehouse = open_warehouse(settings, Use("load"))
    warehouse.ensure(raw_definitions(warehouse.dialect))
    earliest, latest = bounds()
    declared, bound = declarations(settings), (earliest, latest)
    built: dict[str, Rows] = {}
    raw: dict[str, Rows] = {}
    for root in _timed(settings):
        if root.refers_to:
            continue
        is_out = _out_of_range(root.event_at)
        of_root = f"in (select cast({root.key} as varchar) from {root.table} where {is_out})"
        for found in built_tables(settings, root):
            conditions = [f"cast({key} as varchar) {of_root}" for key in found.keys]
            if conditions:
                built[found.name] = Rows(" or ".join(conditions), bound * len(conditions))
        for table in declared.referring_to(root):
            condition = f"{_out_of_range(table.event_at)} or cast({table.key} as varchar) {of_root}"
            raw[table.table] = Rows(condition, bound * 2)
            if table.corrected:
                raw[table.versions_table] = raw[table.table]
        if root.corrected:
            raw[root.versions_table] = Rows(is_out, bound)
        raw[root.table] = Rows(is_out, bound)
    purpose = "removing rows out of range"
    rows = delete_rows(settings, "transform", built, purpose, is_counting=not is_removing)
    crash_point("out_of_range.built")
    rows |= delete_rows(settings, "load", raw, purpose, is_counting=not is_removing, and_record=partial(_record, by=by))
    return OutOfRange(earliest, latest, {table: count for table, count in rows.items() if count}, is_removing)


def _timed(settings: Settings | None = None) -> list[RawRelation]:
    return [table for table in declarations(settings).tables.values() if table.event_at]


def _out_of_range(column: str | None) -> str:
    return f"({column} < ? or {column} > ?)"


def _record(session: Session, rows: Mapping[str, int], by: str) -> None:
    import pyarrow as pa

    removed = {table: count for table, count in rows.items() if count}
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    columns = {
        "table_name": pa.array(list(removed), pa.string()),
        "reason": pa.array([REASON] * len(removed), pa.string()),
        "rows_removed": pa.array(list(removed.values()), pa.int64()),
        "removed_by": pa.array([by] * len(removed), pa.string()),
        "removed_at": pa.array([now] * len(removed), pa.timestamp("us")),
    }
    if removed:
        session.append(REMOVALS_TABLE, pa.table(columns))
    crash_point("out_of_range.deleted")
