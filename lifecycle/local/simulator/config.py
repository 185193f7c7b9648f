"""Configuration of a simulation: population, days, and amount and pattern of fraud."""

import datetime as dt
from dataclasses import dataclass

from lifecycle.errors import LifecycleError

ROWS_PER_DAY_BELOW = 10_000_000
"""A transaction's id is its day's index times this, plus its rank within the day."""
LONGEST_DELAY_DAYS = 30
"""Longest delay of a fraud report."""


@dataclass(frozen=True)
class SimulationConfig:
    """One simulated world; its rows depend on the configuration alone, not on which days are simulated.

    Attributes
    ----------
    start_date, days
        The days that exist: ``[start_date, start_date + days)``.
    fraud_scale
        Factor on every kind of fraud; 1 gives slightly under 1 % of the transactions.
    report_delay_mean_days
        Mean delay of the prompt reports (within 7 days of the fraud).
    late_report_share
        Share of the reports that arrive 7 to 30 days after the fraud.
    pattern_change_date
        First day on which stolen cards are tested at night with small amounts and then cashed out at moderate ones; the
        three other kinds of fraud fall to a fraction. ``None`` for never.
    pattern_return_date
        First day after the change on which the former pattern applies again. ``None`` for never.
    testing_share
        Size of the card-testing burst: test transactions on top of the ordinary ones.
    """

    customers: int
    terminals: int
    start_date: dt.date
    days: int
    seed: int
    fraud_scale: float = 1.0
    report_delay_mean_days: float = 3.0
    late_report_share: float = 0.05
    pattern_change_date: dt.date | None = None
    pattern_return_date: dt.date | None = None
    testing_share: float = 0.18

    def __post_init__(self) -> None:
        """Raise `LifecycleError` for a value out of range."""
        bounds: tuple[tuple[str, float, float, float], ...] = (
            ("customers", self.customers, 1, 4_000_000),
            ("terminals", self.terminals, 1, 10_000_000),
            ("days", self.days, 1, 36_500),
            ("seed", self.seed, 0, 2**63 - 1),
            ("fraud_scale", self.fraud_scale, 0, 20),
            ("report_delay_mean_days", self.report_delay_mean_days, 0.01, 6),
            ("late_report_share", self.late_report_share, 0, 1),
            ("testing_share", self.testing_share, 0, 1),
        )
        for name, value, lowest, highest in bounds:
            if not lowest <= value <= highest:
                raise LifecycleError(f"Expected {name} from {lowest:,} to {highest:,}, got {value:,}")

    @property
    def last_date(self) -> dt.date:
        """The last day that exists."""
        return self.start_date + dt.timedelta(days=self.days - 1)

    def index_of(self, date: dt.date) -> int:
        """Days from `start_date` to `date`."""
        return (date - self.start_date).days

    def has_changed(self, day_index: int) -> bool:
        """Whether the new fraud pattern applies on this day, 0 for `start_date`."""
        date = self.start_date + dt.timedelta(days=day_index)
        is_over = self.pattern_return_date is not None and date >= self.pattern_return_date
        return self.pattern_change_date is not None and date >= self.pattern_change_date and not is_over
