"""Accounts of the decisions in the warehouse: by day, those with and without a transaction."""

import datetime as dt

from lifecycle.monitoring.accounts import DayOfDecisions
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.reading.decisions import DECISIONS, is_answer, same_transaction
from lifecycle.warehouse.reading.examples import MARTS, midnight

_DAY = dt.timedelta(days=1)


def day_accounts(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date) -> list[DayOfDecisions]:
    """The accounts of each day of `occurred_at` in ``[start, end)``, days without decisions included."""
    counts: dict[dt.date, dict[str, int]] = {}
    for sql, parameters in (
        _decisions(spec, start, end),
        _transactions(spec, start, end),
        _failures(spec, start, end),
    ):
        for row in warehouse.query(sql, parameters).to_pylist():
            day = row.pop("day")
            counts.setdefault(day, {}).update({name: int(count) for name, count in row.items()})
    days = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
    return [DayOfDecisions(day, **counts.get(day, {})) for day in days]


def _decisions(spec: RiskModelSpec, start: dt.date, end: dt.date) -> tuple[str, list[object]]:
    sql = f"""
        select
            cast(decisions.occurred_at as date) as day,
            count(*) as decisions,
            sum(case when examples.{spec.columns.id} is null then 1 else 0 end) as unmatched,
            count(*) - count(distinct decisions.transaction_id) as repeated
        from {DECISIONS} as decisions
        left join {MARTS}.{spec.mart} as examples on {same_transaction(spec)}
        where {is_answer("decisions")} and decisions.occurred_at >= ? and decisions.occurred_at < ?
        group by 1
        """
    return sql, [spec.name, midnight(start), midnight(end)]


def _transactions(spec: RiskModelSpec, start: dt.date, end: dt.date) -> tuple[str, list[object]]:
    columns = spec.columns
    sql = f"""
        select
            cast(examples.{columns.occurred_at} as date) as day,
            count(*) as transactions,
            sum(case when decided.transaction_id is null then 1 else 0 end) as undecided
        from {MARTS}.{spec.mart} as examples
        left join (
            select distinct examples.{columns.id} as transaction_id
            from {DECISIONS} as decisions
            inner join {MARTS}.{spec.mart} as examples on {same_transaction(spec)}
            where {is_answer("decisions")} and decisions.occurred_at >= ? and decisions.occurred_at < ?
        ) as decided on decided.transaction_id = examples.{columns.id}
        where examples.{columns.occurred_at} >= ? and examples.{columns.occurred_at} < ?
        group by 1
        """
    return sql, [spec.name, midnight(start - _DAY), midnight(end + _DAY), midnight(start), midnight(end)]


def _failures(spec: RiskModelSpec, start: dt.date, end: dt.date) -> tuple[str, list[object]]:
    sql = f"""
        select cast(failed.occurred_at as date) as day, count(distinct failed.decision_id) as failed
        from {DECISIONS} as failed
        left join {DECISIONS} as decisions
            on decisions.decision_id = failed.decision_id and {is_answer("decisions")}
        where failed.model = ? and failed.slot <> 'shadow' and failed.error is not null
            and failed.occurred_at >= ? and failed.occurred_at < ? and decisions.decision_id is null
        group by 1
        """
    return sql, [spec.name, spec.name, midnight(start), midnight(end)]
