"""Writes simulated days as Parquet, one file per day."""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.local.simulator.config import SimulationConfig
from lifecycle.local.simulator.files import write_day, writing_below
from lifecycle.local.simulator.tables import Simulator, customers_table, terminals_table

Progress = Callable[[int, int], None]
"""Called with the number of days done and the total number."""
SIMULATED: tuple[str, ...] = ("card_transactions", "fraud_reports", "customers", "terminals")
"""Raw relations that are simulated, in the order in which they are loaded."""


@dataclass(frozen=True)
class SimulationSummary:
    """Summary of the written files, whose folders are named after the raw relations."""

    out: str
    first_date: dt.date
    last_date: dt.date
    customers: int
    terminals: int
    card_transactions: int
    fraud_reports: int
    """Reports that arrived on these days."""
    frauds: int
    """Transactions of these days that are reported at some time."""

    @property
    def fraud_share(self) -> float:
        """Share of the transactions that are reported at some time."""
        return self.frauds / self.card_transactions if self.card_transactions else 0.0

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types; dates as ISO text."""
        document = asdict(self)
        document["first_date"] = self.first_date.isoformat()
        document["last_date"] = self.last_date.isoformat()
        document["fraud_share"] = self.fraud_share
        return document


def _silent(_done: int, _total: int) -> None:
    """Ignore progress."""


def simulate(
    config: SimulationConfig,
    out: Path,
    first_date: dt.date | None = None,
    last_date: dt.date | None = None,
    progress: Progress = _silent,
) -> SimulationSummary:
    """Write the days from `first_date` to `last_date` (both included; ``None`` for all) below `out`.

    ``card_transactions/<day>.parquet`` by the day they occurred, ``fraud_reports/<day>.parquet`` by the day they were
    reported, ``customers/customers.parquet``, ``terminals/terminals.parquet``. Files are written atomically.

    Raises
    ------
    LifecycleError
        If a day is not one of the configured days, or `out` cannot be written.
    """
    first, last = first_date or config.start_date, last_date or config.last_date
    if first > last:
        raise LifecycleError(f"Expected the first day up to the last, got {first} after {last}")
    simulator = Simulator(config)
    transactions = reports = frauds = 0
    total = (last - first).days + 1
    with writing_below(out):
        write_day(customers_table(config), out / "customers" / "customers.parquet")
        write_day(terminals_table(config), out / "terminals" / "terminals.parquet")
        for done in range(total):
            day = simulator.day(first + dt.timedelta(days=done))
            write_day(day.card_transactions, out / "card_transactions" / f"{day.date}.parquet")
            write_day(day.fraud_reports, out / "fraud_reports" / f"{day.date}.parquet")
            transactions += day.card_transactions.num_rows
            reports += day.fraud_reports.num_rows
            frauds += simulator.frauds(day.date).num_rows
            progress(done + 1, total)
    return SimulationSummary(
        out=str(out),
        first_date=first,
        last_date=last,
        customers=config.customers,
        terminals=config.terminals,
        card_transactions=transactions,
        fraud_reports=reports,
        frauds=frauds,
    )
