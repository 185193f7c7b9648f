"""Small raw tables in which every boundary of a window is hit often."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions

FIRST_DAY = dt.date(2018, 4, 1)
DAYS = 70
DAY_US = 86_400_000_000
TWO_HOURS_US = 7_200_000_000
FIRST_US = int(dt.datetime(2018, 4, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000


@dataclass(frozen=True)
class RawRows:
    """Transactions and reports to build from."""

    transactions: pa.Table
    reports: pa.Table


def generate(seed: int, rows: int = 4000, *, customers: int = 8, terminals: int = 15) -> RawRows:
    """Busy customers and terminals, times that often meet to the microsecond or exactly days apart, late reports."""
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
    moments = pa.timestamp("us")
    transactions = pa.table(
        {
            "transaction_id": pa.array(ids, pa.int64()),
            "occurred_at": pa.array(FIRST_US + occurred_us, pa.int64()).cast(moments),
            "customer_id": pa.array(rng.integers(0, customers, rows), pa.int64()),
            "terminal_id": pa.array(rng.integers(0, terminals, rows), pa.int64()),
            "amount": pa.array([f"{value // 100}.{value % 100:02d}" for value in cents]).cast(pa.decimal128(12, 2)),
        }
    )
    reports = pa.table(
        {
            "transaction_id": pa.array(ids[frauds], pa.int64()),
            "reported_at": pa.array((FIRST_US + occurred_us + delay_us)[frauds], pa.int64()).cast(moments),
        }
    )
    return RawRows(transactions, reports)


def insert(settings: Settings, rows: RawRows) -> None:
    """Put generated rows into the raw tables."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(raw_definitions(warehouse.dialect))
    with warehouse.session("test data") as session:
        session.append("raw.card_transactions", rows.transactions)
        session.append("raw.fraud_reports", rows.reports)
