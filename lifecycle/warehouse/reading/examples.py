"""Training examples and daily counts, read by standard SQL with bound values."""

import datetime as dt
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lifecycle.errors import LifecycleError
from lifecycle.spec.arrivals import arrival_of
from lifecycle.spec.mart_contract import columns_of_mart, columns_of_outcomes
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

MARTS = "marts"
ROWS_KEPT_OPEN: Final = 100_000
"""Rows that one opening of the warehouse reads: an open file of DuckDB keeps what was read in memory."""
_PURPOSE: Final = "reading a training set"


@dataclass(frozen=True)
class DailyVolume:
    """Row counts of one day of `occurred_at`, in the raw table and in the mart."""

    day: dt.date
    raw_rows: int
    mart_rows: int


def midnight(day: dt.date) -> dt.datetime:
    """The start of a UTC day as the warehouse stores it, without a time zone."""
    return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001 - timestamps in the warehouse are UTC


def expect_built_columns(warehouse: Warehouse, spec: RiskModelSpec) -> None:
    """A model's file may be newer than the tables of its last build.

    Raises
    ------
    LifecycleError
        If a table is missing, or lacks a column that the model reads.
    """
    read = {spec.mart: columns_of_mart(spec)}
    if spec.label.relation is not None:
        read[spec.label.relation] = columns_of_outcomes(spec)
    for name, columns in read.items():
        needed = dict.fromkeys(columns.values())
        built = {column.lower() for column in warehouse.columns(f"{MARTS}.{name}")}
        missing = [column for column in needed if column.lower() not in built]
        if missing:
            raise LifecycleError(
                f"Expected {len(needed)} columns that {spec.name} reads in {MARTS}.{name}, it was built without "
                f"{', '.join(missing)}; build it again: lifecycle features build --full"
            )


def training_batches(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date
) -> Generator["pa.RecordBatch", None, None]:
    """Examples of ``[start, end)`` with reports from before `as_of`, sorted by time and id.

    Runs one query per day of `occurred_at`, by which the tables are clustered. A day's rows are held in memory and
    yielded only when they are complete, so that a lost connection repeats that day's query. All batches have the schema
    of `canonical_schema`. Loads and builds of this machine wait until the generator is exhausted or closed, so that all
    days are of the same state; on other machines only Dagster's pool keeps them out. Read it in the thread that
    created it.

    Columns: the id, the entity, `occurred_at`, the clusters, the amount if examples have one, the features, the facts,
    and the time at which the outcome became known (null if it was not known before `as_of`); with labels by column the
    outcome, too.

    Raises
    ------
    LifecycleError
        If a table has not been built or lacks a column, or a column's type is not allowed in a training set or differs
        from that of earlier days.
    """
    from lifecycle.tables.canonical import canonical_batch, canonical_schema

    expect_built_columns(warehouse, spec)
    sql = _examples_sql(spec)
    schema: pa.Schema | None = None
    days = deque(start + dt.timedelta(days=offset) for offset in range((end - start).days))
    with warehouse.exclusive(_PURPOSE):
        while days:
            rows = 0
            with warehouse.kept_open(_PURPOSE):
                while days and rows < ROWS_KEPT_OPEN:
                    day = days.popleft()
                    span = [*_known(spec, as_of), midnight(day), midnight(day + dt.timedelta(days=1))]
                    for batch in warehouse.retrying(partial(_all_batches, warehouse, sql, span)):
                        rows += batch.num_rows
                        schema = schema or canonical_schema(batch.schema)
                        yield canonical_batch(batch, schema)


def _all_batches(warehouse: Warehouse, sql: str, parameters: Sequence[object]) -> list["pa.RecordBatch"]:
    return list(warehouse.batches(sql, parameters))


def training_examples(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date
) -> "pa.Table":
    """The rows of `training_batches`, by one query and in memory; for few days."""
    from lifecycle.tables.canonical import canonical_table

    expect_built_columns(warehouse, spec)
    parameters = [*_known(spec, as_of), midnight(start), midnight(end)]
    return canonical_table(warehouse.query(_examples_sql(spec), parameters))


def last_examples(warehouse: Warehouse, spec: RiskModelSpec, day: dt.date, rows: int) -> "pa.Table":
    """At most `rows` examples of a day, as `training_examples` reads them, with the outcomes known the day after it."""
    end = day + dt.timedelta(days=1)
    return training_examples(warehouse, spec, day, end, end).slice(0, rows)


def _is_reported(spec: RiskModelSpec, outcomes: str) -> str:
    """SQL of whether a row of the outcomes is a report in force at a time, which is each of its parameters."""
    reported = f"{outcomes}.{spec.label.reported_at} < ?"
    if not spec.label.withdrawn_at:
        return reported
    withdrawn = f"{outcomes}.{spec.label.withdrawn_at}"
    return f"{reported} and ({withdrawn} is null or {withdrawn} >= ?)"


def _is_known(spec: RiskModelSpec, examples: str) -> str:
    """SQL of whether the outcome in the mart's column is known at a time, which is its parameter."""
    return f"{examples}.{spec.label.known_at} < ? and {examples}.{spec.label.column} is not null"


def known_before(sql: str, as_of: dt.date) -> list[object]:
    """A value for each parameter of the SQL of outcomes: what was known before a date."""
    return [midnight(as_of)] * sql.count("?")


def _examples_sql(spec: RiskModelSpec) -> str:
    """Parameters: those of `outcomes_of`, then start and end of `occurred_at`."""
    columns = spec.columns
    key, occurred_at = columns.id, columns.occurred_at
    fields = [*filter(None, [columns.amount]), *spec.feature_names, *(fact.name for fact in spec.facts)]
    names = dict.fromkeys([key, columns.entity, occurred_at, *spec.examples.clusters, *fields])
    selected = ", ".join(f"examples.{name}" for name in names)
    outcome = outcomes_of(spec)
    return f"""
        select {selected}, {outcome.selected}
        from {MARTS}.{spec.mart} as examples
        {outcome.join}
        where examples.{occurred_at} >= ? and examples.{occurred_at} < ?
        order by examples.{occurred_at}, examples.{key}
        """


def _known(spec: RiskModelSpec, as_of: dt.date) -> list[object]:
    sql = outcomes_of(spec)
    return known_before(sql.selected + sql.join, as_of)


@dataclass(frozen=True)
class OutcomeSql:
    """How the outcome of each row of the mart (`examples`) is read as known before a date.

    `selected` are the columns of a training set, and `is_positive` is null where the outcome is not known. Both need
    `join`. Every parameter is the date (`known_before`).
    """

    selected: str
    is_positive: str
    join: str = ""


def outcomes_of(spec: RiskModelSpec) -> OutcomeSql:
    """The SQL of a model's outcomes, by report or by column of the mart."""
    label, key = spec.label, spec.columns.id
    if label.column is None:
        return OutcomeSql(
            selected=f"outcomes.{label.reported_at} as {label.reported_at}",
            is_positive=f"outcomes.{label.reported_at} is not null",
            join=f"left join {MARTS}.{label.relation} as outcomes "
            f"on outcomes.{key} = examples.{key} and {_is_reported(spec, 'outcomes')}",
        )
    is_known, outcome = _is_known(spec, "examples"), f"examples.{label.column}"
    return OutcomeSql(
        selected=f"case when {is_known} then examples.{label.known_at} end as {label.known_at}, "
        f"case when {is_known} then {outcome} end as {label.column}",
        is_positive=f"case when {is_known} then cast({outcome} as integer) = 1 end",
    )


def daily_volumes(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date) -> list[DailyVolume]:
    """Row counts of each day in ``[start, end)``, including days without rows.

    Of the raw table the rows of `examples.population` count.
    """
    arrival, mart = arrival_of(spec), f"{MARTS}.{spec.mart}"
    counts = {
        relation: {
            row["day"]: row["row_count"]
            for row in warehouse.query(
                f"""
                select cast({occurred_at} as date) as day, count(*) as row_count
                from {relation}
                where {occurred_at} >= ? and {occurred_at} < ? and ({condition})
                group by 1
                """,
                [midnight(start), midnight(end)],
            ).to_pylist()
        }
        for relation, occurred_at, condition in (
            (arrival.table, arrival.event_at, spec.examples.population or "true"),
            (mart, spec.columns.occurred_at, "true"),
        )
    }
    days = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
    raw_rows, mart_rows = counts[arrival.table], counts[mart]
    return [DailyVolume(day, raw_rows.get(day, 0), mart_rows.get(day, 0)) for day in days]


def newest_event(warehouse: Warehouse, spec: RiskModelSpec, end: dt.date) -> dt.datetime | None:
    """Time of the newest raw event of a model before `end`, midnight if it is a date; ``None`` without one."""
    arrival = arrival_of(spec)
    rows = warehouse.query(
        f"select cast(max({arrival.event_at}) as timestamp without time zone) as newest from {arrival.table} "
        f"where {arrival.event_at} < ?",
        [midnight(end)],
    ).to_pylist()
    newest: dt.datetime | None = rows[0]["newest"]
    return newest


def known_positives(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date) -> int:
    """Positives that occurred in ``[start, end)`` and were known before `as_of`."""
    occurred_at, label = spec.columns.occurred_at, spec.label
    if label.column is None:
        relation, condition = label.relation, _is_reported(spec, "counted")
    else:
        relation = spec.mart
        condition = f"{_is_known(spec, 'counted')} and cast(counted.{label.column} as integer) = 1"
    rows = warehouse.query(
        f"""
        select count(*) as row_count
        from {MARTS}.{relation} as counted
        where {occurred_at} >= ? and {occurred_at} < ? and {condition}
        """,
        [midnight(start), midnight(end), *known_before(condition, as_of)],
    ).to_pylist()
    count: int = rows[0]["row_count"]
    return count
