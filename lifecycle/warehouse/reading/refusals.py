"""Requests without a decision in the warehouse: counted by model, day, kind, feature and fault."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lifecycle.monitoring.accounts import RefusalKind
from lifecycle.warehouse.interface import Definition, Session, Warehouse
from serving.contract.documents import RejectionRecord

if TYPE_CHECKING:
    import pyarrow as pa

REFUSALS = "raw.decision_refusals"
"""Counts of the log's rejection records. Each load adds rows, so that a group may have several: readers sum them."""

_Group = tuple[str | None, dt.date, RefusalKind]
Refusals = Mapping[_Group, int]
"""Refused requests by model, day and kind."""
_COLUMNS = """
    model varchar, occurred_on date not null, kind varchar not null, feature varchar, fault varchar,
    requests bigint not null
"""


def refusal_definition() -> Definition:
    """Definition of the table of refusals."""
    return Definition(REFUSALS, f"create table if not exists {REFUSALS} ({_COLUMNS})")


def counted(rejections: Iterable[RejectionRecord]) -> Refusals:
    """Requests by model, day and kind; the day is that of the event, or of the refusal if the request names none."""
    counts: Counter[_Group] = Counter()
    for rejection in rejections:
        day = rejection.occurred_on or rejection.rejected_at.astimezone(dt.UTC).date()
        kind = RefusalKind(rejection.kind, rejection.feature, rejection.fault)
        counts[rejection.model, day, kind] += rejection.count
    return counts


def append_refusals(session: Session, counts: Refusals) -> None:
    """Add counts, in the transaction that also stores the position in the log."""
    if counts:
        session.append(REFUSALS, _rows(counts))


def daily_refusals(
    warehouse: Warehouse, model: str, start: dt.date, end: dt.date
) -> dict[dt.date, dict[RefusalKind, int]]:
    """Refused requests of a model by day in ``[start, end)`` and kind."""
    rows = warehouse.query(
        f"""
        select occurred_on as day, kind, feature, fault, sum(requests) as requests
        from {REFUSALS}
        where model = ? and occurred_on >= ? and occurred_on < ?
        group by 1, 2, 3, 4
        order by 1, 2, 3, 4
        """,
        [model, start, end],
    ).to_pylist()
    days: dict[dt.date, dict[RefusalKind, int]] = {}
    for row in rows:
        kind = RefusalKind(row["kind"], row["feature"], row["fault"])
        days.setdefault(row["day"], {})[kind] = int(row["requests"])
    return days


def _rows(counts: Refusals) -> "pa.Table":
    import pyarrow as pa

    texts = pa.string()
    return pa.table(
        {
            "model": pa.array([model for model, _, _ in counts], texts),
            "occurred_on": pa.array([day for _, day, _ in counts], pa.date32()),
            "kind": pa.array([kind.kind for _, _, kind in counts], texts),
            "feature": pa.array([kind.feature for _, _, kind in counts], texts),
            "fault": pa.array([kind.fault for _, _, kind in counts], texts),
            "requests": pa.array(list(counts.values()), pa.int64()),
        }
    )
