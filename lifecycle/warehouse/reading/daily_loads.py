"""Cards that a model's answers stopped, by day."""

import datetime as dt
from typing import Any

from lifecycle.monitoring.decision_load import DayLoad
from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.reading.decisions import DECISIONS, is_answer
from lifecycle.warehouse.reading.examples import midnight


def daily_loads(warehouse: Warehouse, model: str, start: dt.date, end: dt.date) -> dict[dt.date, DayLoad]:
    """Cards stopped by a model's answers by day of `occurred_at` in ``[start, end)``, of champion and canary together.

    Cards are counted by the pseudonym of their entity key.
    """
    rows = warehouse.query(
        f"""
        select
            cast(occurred_at as date) as day,
            count(distinct entity_key) as cards,
            count(distinct case when decision in ('review', 'decline') then entity_key end) as reviewed_cards,
            count(distinct case when decision = 'decline' then entity_key end) as declined_cards,
            min(case when slot = 'champion' then bundle_digest end) as first_champion,
            max(case when slot = 'champion' then bundle_digest end) as last_champion
        from {DECISIONS} as decisions
        where {is_answer("decisions")} and occurred_at >= ? and occurred_at < ?
        group by 1
        """,
        [model, midnight(start), midnight(end)],
    ).to_pylist()
    return {row["day"]: _load_of(row) for row in rows}


def _load_of(row: dict[str, Any]) -> DayLoad:
    first, last = row["first_champion"], row["last_champion"]
    return DayLoad(row["cards"], row["reviewed_cards"], row["declined_cards"], first if first == last else None)
