"""Training examples and daily counts, read by standard SQL with bound values."""

import datetime as dt
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

MARTS = "marts"
RAW_EVENTS = "raw.card_transactions"


@dataclass(frozen=True)
class DailyVolume:
    """Row counts of one day of `occurred_at`, in the raw table and in the mart."""

    day: dt.date
    raw_rows: int
    mart_rows: int


def midnight(day: dt.date) -> dt.datetime:
    """The start of a UTC day as the warehouse stores it, without a time zone."""
    return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001 - timestamps in the warehouse are UTC


def training_batches(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date
) -> Generator["pa.RecordBatch", None, None]:
    """Examples of ``[start, end)`` with reports from before `as_of`, sorted by time and id.

    Runs one query per day of `occurred_at`, by which the tables are clustered. A day's rows are held in memory and
    yielded only when they are complete, so that a lost connection repeats that day's query. All batches have the schema
    of `canonical_schema`. Loads and builds of this machine wait until the generator is exhausted or closed, so that all
    days are of the same state; on other machines only Dagster's pool keeps them out. Read it in the thread that
    created it.

    Columns: the transaction, the entity, `occurred_at`, the amount, the features, and the time of the report (null
    if there was no report before `as_of`).

    Raises
    ------
    LifecycleError
        If a column's type is not allowed in a training set, or differs from that of earlier days.
    """
    from lifecycle.tables.canonical import canonical_batch, canonical_schema

    sql = _examples_sql(spec)
    schema: pa.Schema | None = None
    with warehouse.exclusive("reading a training set"):
        for offset in range((end - start).days):
            day = start + dt.timedelta(days=offset)
            span = [*report_parameters(spec, as_of), midnight(day), midnight(day + dt.timedelta(days=1))]
            for batch in warehouse.retrying(partial(_all_batches, warehouse, sql, span)):
                schema = schema or canonical_schema(batch.schema)
                yield canonical_batch(batch, schema)


def _all_batches(warehouse: Warehouse, sql: str, parameters: Sequence[object]) -> list["pa.RecordBatch"]:
    return list(warehouse.batches(sql, parameters))


def training_examples(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date
) -> "pa.Table":
    """The rows of `training_batches`, by one query and in memory; for few days."""
    from lifecycle.tables.canonical import canonical_table

    parameters = [*report_parameters(spec, as_of), midnight(start), midnight(end)]
    return canonical_table(warehouse.query(_examples_sql(spec), parameters))


def is_reported(spec: RiskModelSpec, outcomes: str) -> str:
    """SQL of whether a row of the outcomes is a report in force at a time; its parameters are `report_parameters`."""
    reported = f"{outcomes}.{spec.label.reported_at} < ?"
    if not spec.label.withdrawn_at:
        return reported
    withdrawn = f"{outcomes}.{spec.label.withdrawn_at}"
    return f"{reported} and ({withdrawn} is null or {withdrawn} >= ?)"


def report_parameters(spec: RiskModelSpec, as_of: dt.date) -> list[object]:
    """Values of the parameters of `is_reported` for what was known before `as_of`."""
    return [midnight(as_of)] * (2 if spec.label.withdrawn_at else 1)


def _examples_sql(spec: RiskModelSpec) -> str:
    """Parameters: those of `is_reported`, then start and end of `occurred_at`."""
    columns = spec.columns
    key, occurred_at, reported_at = columns.transaction, columns.occurred_at, spec.label.reported_at
    names = dict.fromkeys([key, columns.entity, occurred_at, columns.amount, *spec.feature_names])
    selected = ", ".join(f"examples.{name}" for name in names)
    return f"""
        select {selected}, outcomes.{reported_at} as {reported_at}
        from {MARTS}.{spec.mart} as examples
        left join {MARTS}.{spec.label.relation} as outcomes
            on outcomes.{key} = examples.{key} and {is_reported(spec, "outcomes")}
        where examples.{occurred_at} >= ? and examples.{occurred_at} < ?
        order by examples.{occurred_at}, examples.{key}
        """


def daily_volumes(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date) -> list[DailyVolume]:
    """Row counts of each day in ``[start, end)``, including days without rows."""
    occurred_at = spec.columns.occurred_at
    counts = {
        relation: {
            row["day"]: row["row_count"]
            for row in warehouse.query(
                f"""
                select cast({occurred_at} as date) as day, count(*) as row_count
                from {relation}
                where {occurred_at} >= ? and {occurred_at} < ?
                group by 1
                """,
                [midnight(start), midnight(end)],
            ).to_pylist()
        }
        for relation in (RAW_EVENTS, f"{MARTS}.{spec.mart}")
    }
    days = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
    raw, mart = counts[RAW_EVENTS], counts[f"{MARTS}.{spec.mart}"]
    return [DailyVolume(day, raw.get(day, 0), mart.get(day, 0)) for day in days]


def newest_event(warehouse: Warehouse, end: dt.date) -> dt.datetime | None:
    """`occurred_at` of the newest raw event before `end`; ``None`` if there is no such event."""
    rows = warehouse.query(
        f"select max(occurred_at) as newest from {RAW_EVENTS} where occurred_at < ?",
        [midnight(end)],
    ).to_pylist()
    newest: dt.datetime | None = rows[0]["newest"]
    return newest


def known_positives(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date) -> int:
    """Positives that occurred in ``[start, end)`` and were reported before `as_of`."""
    occurred_at = spec.columns.occurred_at
    rows = warehouse.query(
        f"""
        select count(*) as row_count
        from {MARTS}.{spec.label.relation} as outcomes
        where {occurred_at} >= ? and {occurred_at} < ? and {is_reported(spec, "outcomes")}
        """,
        [midnight(start), midnight(end), *report_parameters(spec, as_of)],
    ).to_pylist()
    count: int = rows[0]["row_count"]
    return count
