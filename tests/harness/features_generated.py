"""Small raw tables in which every boundary of a window is hit often."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions

FEATURES_RELATION = "marts.card_transaction_features"
FIRST_DAY = dt.date(2018, 4, 1)
DAYS = 70
DAY_US = 86_400_000_000
TWO_HOURS_US = 7_200_000_000
FIRST_US = int(dt.datetime(2018, 4, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000
MOMENTS = pa.timestamp("us")


@dataclass(frozen=True)
class RawRows:
    """Transactions, reports and withdrawals to build from."""

    transactions: pa.Table
    reports: pa.Table
    withdrawals: pa.Table = field(
        default_factory=lambda: pa.table(
            {"transaction_id": pa.array([], pa.int64()), "withdrawn_at": pa.array([], MOMENTS)}
        )
    )


def generate(seed: int, rows: int = 4000, *, customers: int = 8, terminals: int = 15) -> RawRows:
    """Busy customers and terminals, times that often meet to the microsecond or exactly days apart.

    Reports come late; a third of them are withdrawn, and half of these come again.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, DAYS * 12, rows) * TWO_HOURS_US
    fine = np.where(rng.random(rows) < 0.6, rng.integers(-1, 2, rows), rng.integers(0, TWO_HOURS_US, rows))
    occurred_us = np.clip(coarse + fine, 0, DAYS * DAY_US - 1)
    ids = rng.permutation(rows)
    cents = rng.integers(0, 50_000, rows)
    frauds = rng.random(rows) < 0.15
    delay_us = np.where(
        rng.random(rows) < 0.4, 7 * DAY_US, rng.integers(0, 45 * 24, rows) * 3_600_000_000 + rng.integers(0, 2, rows)
    )
    transactions = pa.table(
        {
            "transaction_id": pa.array(ids, pa.int64()),
            "occurred_at": pa.array(FIRST_US + occurred_us, pa.int64()).cast(MOMENTS),
            "customer_id": pa.array(rng.integers(0, customers, rows), pa.int64()),
            "terminal_id": pa.array(rng.integers(0, terminals, rows), pa.int64()),
            "amount": pa.array([f"{value // 100}.{value % 100:02d}" for value in cents]).cast(pa.decimal128(12, 2)),
        }
    )
    reported_us = (FIRST_US + occurred_us + delay_us)[frauds]
    is_withdrawn = rng.random(len(reported_us)) < 1 / 3
    withdrawn_us = (reported_us + _pauses(rng, len(reported_us)))[is_withdrawn]
    is_again = rng.random(len(withdrawn_us)) < 0.5
    again_us = (withdrawn_us + 1 + _pauses(rng, len(withdrawn_us)))[is_again]
    withdrawn = ids[frauds][is_withdrawn]
    reports = _times_of("reported_at", [*ids[frauds], *withdrawn[is_again]], [*reported_us, *again_us])
    return RawRows(transactions, reports, _times_of("withdrawn_at", withdrawn.tolist(), withdrawn_us.tolist()))


def _pauses(rng: np.random.Generator, count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Up to twelve days, many of them none or whole days."""
    pauses = rng.integers(0, 12, count) * DAY_US
    return np.where(rng.random(count) < 0.5, pauses, pauses + rng.integers(0, DAY_US, count))


def _times_of(column: str, ids: Sequence[int], times_us: Sequence[int]) -> pa.Table:
    times = pa.array(times_us, pa.int64()).cast(MOMENTS)
    return pa.table({"transaction_id": pa.array(ids, pa.int64()), column: times})


def insert(settings: Settings, rows: RawRows) -> None:
    """Put generated rows into the raw tables."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(raw_definitions(warehouse.dialect))
    with warehouse.session("test data") as session:
        session.append("raw.card_transactions", rows.transactions)
        session.append("raw.fraud_reports", rows.reports)
        session.append("raw.report_withdrawals", rows.withdrawals)
