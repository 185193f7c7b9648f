"""A simulated portfolio of revolving credit: monthly behaviour of clients, and defaults that become known later.

Each client is observed once a month, on a day of its own. A latent ability to pay moves slowly; limits, bills, payments
and months of delay follow from it, and so does the default in the days after an observation. All numbers are of
this project: they give about one default in twelve observations, and one in seven in a downturn.
"""

import calendar
import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.errors import LifecycleError
from lifecycle.local.simulator.files import amounts, write_day, writing_below
from lifecycle.spec.cadence import periods_before
from lifecycle.warehouse.reading.examples import midnight

HISTORY_MONTHS = 6
"""Months of bills, payments and delays that an observation shows."""
OUTCOME_DAYS = 60
"""Days after an observation in which a default counts; without one, the outcome is known after them."""
REPORT_DAYS = 10
"""Longest time from a default to its report."""
LONGEST_DELAY = 8
EDUCATIONS = ("university", "graduate", "high_school", "vocational", None)
EDUCATION_SHARES = (0.46, 0.34, 0.16, 0.01, 0.03)
AGE_BANDS = ("under_30", "30_to_44", "45_to_59", "60_and_over")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CreditConfig:
    """One simulated portfolio; its rows depend on this alone, not on the days that are written.

    `downturn_date` is the first day of a recession, ``None`` for never.
    """

    start_date: dt.date
    days: int
    clients: int = 6000
    seed: int = 20180401
    downturn_date: dt.date | None = None

    def __post_init__(self) -> None:
        """Raise `LifecycleError` for a value out of range."""
        for name, value, lowest, highest in (
            ("days", self.days, 1, 3650),
            ("clients", self.clients, 1, 200_000),
            ("seed", self.seed, 0, 2**63 - 1),
        ):
            if not lowest <= value <= highest:
                raise LifecycleError(f"Expected {name} from {lowest:,} to {highest:,}, got {value:,}")

    @property
    def end_date(self) -> dt.date:
        """The day after the last one."""
        return self.start_date + dt.timedelta(days=self.days)


@dataclass(frozen=True)
class CreditSummary:
    """The written rows, whose folders are named after the raw tables."""

    out: str
    first_date: dt.date
    last_date: dt.date
    observations: int
    outcomes: int
    defaults: int
    """Observations that are followed by a default."""

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            **self.__dict__,
            "first_date": self.first_date.isoformat(),
            "last_date": self.last_date.isoformat(),
            "default_share": self.defaults / max(self.observations, 1),
        }


@dataclass
class _Clients:
    """What does not change about the clients."""

    day_of_month: Ints
    opened: Ints
    """Months before the first simulated one."""
    limit: Floats
    habit: Floats
    education: Ints
    sex: Ints
    age_band: Ints


def simulate_credit(config: CreditConfig, out: Path, progress: Callable[[int, int], None]) -> CreditSummary:
    """Write the observations, outcomes and protected attributes of a portfolio as Parquet below `out`.

    ``credit_clients/<day>.parquet`` by the day of the observation, ``credit_outcomes/<day>.parquet`` by the day on
    which the outcome became known, ``credit_protected/clients.parquet``. Only rows of the configured days are written.

    Raises
    ------
    LifecycleError
        If `out` cannot be written.
    """
    clients = _clients(config)
    observations, outcomes = _months(config, clients)
    end = pa.scalar(midnight(config.end_date), pa.timestamp("us"))
    known = outcomes.filter(pc.less(outcomes["known_at"], end))
    days = [config.start_date + dt.timedelta(days=offset) for offset in range(config.days)]
    with writing_below(out):
        write_day(_protected(config, clients), out / "credit_protected" / "clients.parquet")
        parts = zip(days, _of_days(observations, "observed_at", days), _of_days(known, "known_at", days), strict=True)
        for done, (day, observed, learned) in enumerate(parts, 1):
            write_day(observed, out / "credit_clients" / f"{day}.parquet")
            write_day(learned, out / "credit_outcomes" / f"{day}.parquet")
            progress(done, config.days)
    return CreditSummary(
        out=str(out),
        first_date=config.start_date,
        last_date=config.end_date - dt.timedelta(days=1),
        observations=observations.num_rows,
        outcomes=known.num_rows,
        defaults=pc.sum(outcomes["is_default"]).as_py() or 0,
    )


def _clients(config: CreditConfig) -> _Clients:
    draw = np.random.default_rng([config.seed, 1])
    count = config.clients
    age_band = draw.choice(len(AGE_BANDS), count, p=(0.24, 0.4, 0.26, 0.1))
    education = draw.choice(len(EDUCATIONS), count, p=EDUCATION_SHARES)
    limit = 20_000 * np.exp(draw.normal(0.9 + 0.15 * age_band + 0.2 * (education == 1), 0.7))
    return _Clients(
        day_of_month=draw.integers(1, 32, count),
        opened=draw.integers(0, 60, count),
        limit=np.clip(np.round(limit, -3), 10_000, 800_000),
        habit=draw.normal(0, 0.15, count),
        education=education,
        sex=draw.integers(0, 2, count),
        age_band=age_band,
    )


def _months(config: CreditConfig, clients: _Clients) -> tuple[pa.Table, pa.Table]:
    """Every observation of the configured days, and its outcome, in order of time."""
    draw = np.random.default_rng([config.seed, 2])
    count = config.clients
    ability, delay = draw.normal(0, 1, count), np.zeros(count, dtype=np.int64)
    first = periods_before(config.start_date.replace(day=1), HISTORY_MONTHS, "monthly")
    bills = [np.zeros(count)] * HISTORY_MONTHS
    paid, statuses = list(bills), [np.full(count, -2, dtype=np.int64)] * HISTORY_MONTHS
    observed, known = [], []
    for number in range(10_000):
        month = periods_before(first, -number, "monthly")
        if month >= config.end_date:
            break
        is_downturn = config.downturn_date is not None and month >= config.downturn_date.replace(day=1)
        ability = 0.92 * ability + 0.39 * draw.normal(0, 1, count) - 0.12 * is_downturn
        use = np.clip(0.35 - 0.16 * ability + clients.habit + draw.normal(0, 0.08, count), 0, 1.25)
        bill = np.round(clients.limit * use, 2)
        delay = _delays(draw, ability, delay, bills[0])
        status = np.where(delay > 0, delay, np.where(bills[0] <= 0, -2, np.where(ability > 0.5, -1, 0)))
        share = np.where(status == -1, 1.0, np.where(status == 0, draw.uniform(0.04, 0.3, count), 0.0))
        bills, paid = [bill, *bills[:-1]], [np.round(bills[0] * share, 2), *paid[:-1]]
        statuses = [status, *statuses[:-1]]
        # Steps and interactions, as people behave: a second month of delay, a limit used up while behind or while new,
        # and an account that is hardly used, which is a second line of credit for a client who is in trouble elsewhere.
        is_behind, is_used_up, is_new = delay > 0, use > 0.55, clients.opened + number < 30
        logit = -3.6 - 0.2 * ability + 1.0 * (delay >= 2) + 2.0 * (is_used_up & (is_behind | is_new))
        logit += 1.6 * ((use < 0.15) & ~is_behind) + 0.4 * is_behind
        logit += 0.25 * (clients.education == 2) + 0.5 * is_downturn
        is_default = draw.random(count) < 1 / (1 + np.exp(-logit))
        seconds = draw.integers(0, 86_400, count)
        after = np.where(is_default, draw.integers(5, OUTCOME_DAYS - REPORT_DAYS, count), OUTCOME_DAYS)
        after = after + np.where(is_default, draw.integers(0, REPORT_DAYS, count), 0)
        moments = _moments(month, clients.day_of_month, seconds)
        is_written = (moments >= np.datetime64(config.start_date)) & (moments < np.datetime64(config.end_date))
        ids = [f"{index:06d}-{month:%Y%m}" for index in range(count)]
        on_book = clients.opened + number - HISTORY_MONTHS
        rows = _observations(ids, moments, on_book, clients, statuses, bills, paid)
        known_at = moments + after.astype("timedelta64[D]")
        results = {
            "application_id": pa.array(ids, pa.string()),
            "known_at": pa.array(known_at, pa.timestamp("us")),
            "is_default": is_default,
        }
        observed.append(rows.filter(pa.array(is_written)))
        known.append(pa.table(results).filter(pa.array(is_written)))
    outcomes = pa.concat_tables(known).sort_by([("known_at", "ascending"), ("application_id", "ascending")])
    rows = pa.concat_tables(observed).sort_by([("observed_at", "ascending"), ("application_id", "ascending")])
    return rows, outcomes


def _delays(draw: np.random.Generator, ability: Floats, delay: Ints, last_bill: Floats) -> Ints:
    """Months of delay: one more or none for who is behind, the first for a few others with a bill to pay."""
    is_cured = draw.random(len(delay)) < 1 / (1 + np.exp(-0.2 - 0.9 * ability))
    is_missed = (draw.random(len(delay)) < 1 / (1 + np.exp(3.0 + 1.1 * ability))) & (last_bill > 0)
    grown = np.where(is_cured, 0, np.minimum(delay + 1, LONGEST_DELAY))
    return np.where(delay > 0, grown, is_missed.astype(np.int64))


def _observations(
    ids: list[str],
    moments: npt.NDArray[np.datetime64],
    on_book: Ints,
    clients: _Clients,
    statuses: list[Ints],
    bills: list[Floats],
    paid: list[Floats],
) -> pa.Table:
    count = len(moments)
    columns: dict[str, Any] = {
        "application_id": pa.array(ids, pa.string()),
        "client_id": [f"C{index:06d}" for index in range(count)],
        "observed_at": pa.array(moments.astype("datetime64[us]"), pa.timestamp("us")),
        "months_on_book": np.maximum(on_book, 0),
        "credit_limit": amounts(_cents(clients.limit)),
        "education": [EDUCATIONS[code] for code in clients.education],
    }
    for back in range(HISTORY_MONTHS):
        columns[f"pay_status_{back + 1}"] = statuses[back]
    for name, money in (("bill", bills), ("paid", paid)):
        for back in range(HISTORY_MONTHS):
            columns[f"{name}_{back + 1}"] = amounts(_cents(money[back]))
    return pa.table(columns)


def _protected(config: CreditConfig, clients: _Clients) -> pa.Table:
    return pa.table(
        {
            "client_id": [f"C{index:06d}" for index in range(config.clients)],
            "sex": [("female", "male")[code] for code in clients.sex],
            "age_band": [AGE_BANDS[code] for code in clients.age_band],
        }
    )


def _cents(money: Floats) -> Ints:
    return np.rint(money * 100).astype(np.int64)


def _moments(month: dt.date, day_of_month: Ints, seconds: Ints) -> npt.NDArray[np.datetime64]:
    """The client's day of the month, the last one in a shorter month, and the time of that day."""
    last = calendar.monthrange(month.year, month.month)[1]
    days = (np.minimum(day_of_month, last) - 1).astype("timedelta64[D]")
    midnight = np.datetime64(month.isoformat(), "us")
    moments: npt.NDArray[np.datetime64] = midnight + days + seconds.astype("timedelta64[s]")
    return moments


def _of_days(table: pa.Table, moment: str, days: list[dt.date]) -> Iterator[pa.Table]:
    """The rows of each day; those of the table are in order of their moment."""
    starts = np.array([*days, days[-1] + dt.timedelta(days=1)], dtype="datetime64[us]")
    bounds = np.searchsorted(table[moment].to_numpy(), starts)
    for start, end in itertools.pairwise(bounds.tolist()):
        yield table.slice(start, end - start)
