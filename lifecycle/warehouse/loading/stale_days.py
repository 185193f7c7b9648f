"""Days whose features a load has made stale."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.raw_tables import Declarations, RawRelation

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, order=True)
class DayRange:
    """Days of an event, half-open: ``[start_date, end_date)``."""

    start_date: dt.date
    end_date: dt.date

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end_date - self.start_date).days


def changed_range(relation: RawRelation, event_date: dt.date, own_date: dt.date) -> DayRange | None:
    """Days whose features a row changes, ``None`` if it comes too late for all of them.

    Parameters
    ----------
    relation
        The row's table, which declares the first and the last changed day, counted from `event_date`.
    event_date
        Day of the event that the row is about.
    own_date
        Day of the row itself, such as that of a report: no earlier day changes.
    """
    start = max(event_date + relation.changes_from_days * _DAY, own_date)
    end = event_date + (relation.changes_until_days + 1) * _DAY
    return DayRange(start, end) if start < end else None


def merge(ranges: Iterable[DayRange], last_date: dt.date) -> tuple[DayRange, ...]:
    """The same days as the fewest ranges, in order, without days after `last_date`.

    Examples
    --------
    >>> day = dt.date(2018, 4, 1)
    >>> weeks = [DayRange(day, day + dt.timedelta(days=7)), DayRange(day, day + dt.timedelta(days=14))]
    >>> [(str(r.start_date), str(r.end_date)) for r in merge(weeks, dt.date(2018, 4, 10))]
    [('2018-04-01', '2018-04-11')]
    """
    bound = last_date + dt.timedelta(days=1)
    merged: list[DayRange] = []
    for days in sorted(ranges):
        end = min(days.end_date, bound)
        if days.start_date >= end:
            continue
        if merged and days.start_date <= merged[-1].end_date:
            merged[-1] = DayRange(merged[-1].start_date, max(merged[-1].end_date, end))
        else:
            merged.append(DayRange(days.start_date, end))
    return tuple(merged)


def touched_days(session: Session, declared: Declarations, inserted: Mapping[str, str]) -> tuple[DayRange, ...]:
    """Days whose features must be rebuilt after a load.

    Parameters
    ----------
    inserted
        The table of inserted rows by the name of its raw table.
    """
    ranges: list[DayRange] = []
    last_dates: list[dt.date] = []
    for name, rows in inserted.items():
        relation = declared.tables[name]
        root = declared.root_of(relation)
        if relation.event_at is None or root.event_at is None:
            continue
        ranges += [days for date in _dates(session, relation, root, rows) if (days := changed_range(relation, *date))]
        newest = session.query(f"select max({root.event_at})::date as newest from {root.table}").column(0)[0].as_py()
        last_dates += [newest] if newest else []
    return merge(ranges, max(last_dates)) if last_dates else ()


def _dates(session: Session, relation: RawRelation, root: RawRelation, rows: str) -> list[tuple[dt.date, dt.date]]:
    """Distinct days of the events that rows are about, each with a day of the rows."""
    if root == relation:
        days = session.query(f"select distinct {relation.event_at}::date as day from {rows}").column(0).to_pylist()
        return [(day, day) for day in days]
    key = relation.key
    table = session.query(
        f"select distinct t.{root.event_at}::date as of_event, s.{relation.event_at}::date as of_row "
        f"from {root.table} t join {rows} s on s.{key} = t.{key} "
        f"where t.{key} between (select min({key}) from {rows}) and (select max({key}) from {rows})"
    )
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
