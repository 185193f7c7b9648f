"""Simulated rows as Arrow tables in the raw relations' columns."""

import datetime as dt
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lifecycle.errors import LifecycleError
from lifecycle.local.simulator.config import LONGEST_DELAY_DAYS, SimulationConfig
from lifecycle.local.simulator.day import DAY_SECONDS, day_rows
from lifecycle.local.simulator.files import amounts
from lifecycle.local.simulator.population import AGE_BANDS, KINDS, SEGMENTS, SEXES, population
from lifecycle.local.simulator.randomness import Stream, generator

_MOMENT = pa.timestamp("us")
_PROMPT_DAYS = 7.0
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class SimulatedDay:
    """Rows that arrive on one day.

    `card_transactions` occurred on it; `fraud_reports` were reported on it, for transactions of this day and of the 30
    days before it.
    """

    date: dt.date
    card_transactions: pa.Table
    fraud_reports: pa.Table


class Simulator:
    """Simulates the days of one world. Consecutive days are cheap: the frauds of the last 30 days are cached."""

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self._frauds: OrderedDict[int, pa.Table] = OrderedDict()

    def day(self, date: dt.date) -> SimulatedDay:
        """The transactions of a day, and the reports that arrived on it.

        Raises
        ------
        LifecycleError
            If the day is not one of the configured days.
        """
        index = self._index(date)
        transactions = self._simulate(index)
        reports = pa.concat_tables(
            [self._reported_on(date, earlier) for earlier in range(max(0, index - LONGEST_DELAY_DAYS), index + 1)]
        )
        return SimulatedDay(
            date, transactions, reports.sort_by([("reported_at", "ascending"), ("transaction_id", "ascending")])
        )

    def frauds(self, date: dt.date) -> pa.Table:
        """All reports of the transactions of a day, whenever they arrive."""
        return self._frauds_of(self._index(date))

    def _index(self, date: dt.date) -> int:
        if not self.config.start_date <= date <= self.config.last_date:
            raise LifecycleError(f"Expected a day from {self.config.start_date} to {self.config.last_date}, got {date}")
        return self.config.index_of(date)

    def _reported_on(self, date: dt.date, occurred_index: int) -> pa.Table:
        reports = self._frauds_of(occurred_index)
        reported = reports.column("reported_at").to_numpy()
        start = np.datetime64(date, "us")
        return reports.filter(pa.array((reported >= start) & (reported < start + np.timedelta64(1, "D"))))

    def _frauds_of(self, index: int) -> pa.Table:
        if index not in self._frauds:
            self._simulate(index)
        return self._frauds[index]

    def _simulate(self, index: int) -> pa.Table:
        rows = day_rows(self.config, population(self.config), index)
        midnight = (self.config.start_date - _EPOCH).days + index
        occurred = midnight * DAY_SECONDS + rows.second
        self._keep(index, self._reports(index, rows.transaction_id[rows.is_fraud], occurred[rows.is_fraud]))
        return pa.table(
            {
                "transaction_id": rows.transaction_id,
                "occurred_at": _moments(occurred),
                "customer_id": rows.customer_id,
                "terminal_id": rows.terminal_id,
                "amount": amounts(rows.cents),
            }
        )

    def _reports(self, index: int, ids: npt.NDArray[np.int64], occurred: npt.NDArray[np.int64]) -> pa.Table:
        """Prompt reports: gamma of shape 2 within 7 days; late ones: uniform from 7 to 30 days."""
        random = generator(self.config.seed, Stream.REPORTS, index)
        mean = self.config.report_delay_mean_days
        prompt = random.gamma(2, mean / 2, size=len(ids))
        prompt = np.where(prompt < _PROMPT_DAYS, prompt, random.uniform(0, _PROMPT_DAYS, size=len(ids)))
        late = random.uniform(_PROMPT_DAYS, LONGEST_DELAY_DAYS, size=len(ids))
        delay = np.where(random.random(len(ids)) < self.config.late_report_share, late, prompt)
        reported = occurred + (delay * DAY_SECONDS).astype(np.int64)
        return pa.table({"transaction_id": ids, "reported_at": _moments(reported)})

    def _keep(self, index: int, reports: pa.Table) -> None:
        self._frauds[index] = reports
        self._frauds.move_to_end(index)
        while len(self._frauds) > LONGEST_DELAY_DAYS + 2:
            self._frauds.popitem(last=False)


@lru_cache(maxsize=2)
def _simulator(config: SimulationConfig) -> Simulator:
    return Simulator(config)


def simulate_day(config: SimulationConfig, date: dt.date) -> SimulatedDay:
    """One day in memory, the same rows as `simulate` writes for it.

    Raises
    ------
    LifecycleError
        If the day is not one of the configured days.
    """
    return _simulator(config).day(date)


def customers_table(config: SimulationConfig) -> pa.Table:
    """One row per customer."""
    people = population(config)
    return pa.table(
        {
            "customer_id": np.arange(config.customers, dtype=np.int64),
            "segment": _labels(SEGMENTS, people.segment),
            "age_band": _labels(AGE_BANDS, people.age_band),
            "sex": _labels(SEXES, people.sex),
        }
    )


def terminals_table(config: SimulationConfig) -> pa.Table:
    """One row per terminal."""
    people = population(config)
    return pa.table(
        {
            "terminal_id": np.arange(config.terminals, dtype=np.int64),
            "kind": _labels(KINDS, people.kind),
        }
    )


def _labels(names: tuple[str, ...], codes: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(names).take(pa.array(codes))


def _moments(seconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 1_000_000).cast(_MOMENT)
