"""One simulated day: ordinary transactions, the frauds among them, and the card-testing burst of the new pattern."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lifecycle.local.simulator.config import ROWS_PER_DAY_BELOW, SimulationConfig
from lifecycle.local.simulator.episodes import SHARE_AFTER_CHANGE, compromised_terminals, leaked_customers
from lifecycle.local.simulator.population import Floats, Ints, Population
from lifecycle.local.simulator.randomness import Stream, generator

DAY_SECONDS = 86_400
_HOUR = 3_600

_WEEKDAY_FACTORS = (0.96, 0.96, 0.98, 1.0, 1.08, 1.12, 0.9)
"""Transactions by weekday, Monday first, around a mean of 1."""
_ELSEWHERE_SHARE = 0.05
"""Transactions at a terminal anywhere instead of near home."""

_LARGE_SHARE = 8e-4
_TERMINAL_FRAUD_SHARE = 0.75
_LEAKED_FRAUD_SHARE = 1 / 3
"""Of a leaked card's transactions, as in the Fraud Detection Handbook."""

_TESTS_PER_CARD = 12
_CASHED_OUT_SHARE = 0.09
"""Of the tested cards, at a `fraud_scale` of 1."""
_CASH_OUTS = (3, 6)
_TESTS_REPORTED_SHARE = 0.3
"""Of a cashed-out card's tests, since small amounts are easily overlooked; only tested cards report nothing."""


@dataclass(frozen=True)
class DayRows:
    """Transactions of one day in order of time; `is_fraud` marks those that will be reported."""

    transaction_id: Ints
    second: Ints
    customer_id: Ints
    terminal_id: Ints
    cents: Ints
    is_fraud: npt.NDArray[np.bool_]


@dataclass
class _Part:
    """Transactions before they are ordered."""

    second: Ints
    customer_id: Ints
    terminal_id: Ints
    amount: Floats
    is_fraud: npt.NDArray[np.bool_]


def day_rows(config: SimulationConfig, people: Population, day_index: int) -> DayRows:
    """All transactions of one day, from the seed and the day alone."""
    part = _ordinary(config, people, day_index)
    _defraud(config, people, day_index, part)
    parts = [part]
    if config.has_changed(day_index):
        parts.append(_stolen_cards(config, people, day_index, tests=round(len(part.second) * config.testing_share)))
    return _ordered(parts, day_index)


def _ordinary(config: SimulationConfig, people: Population, day_index: int) -> _Part:
    """Ordinary purchases: Poisson counts, normal amounts around the customer's mean, terminals near home."""
    random = generator(config.seed, Stream.TRANSACTIONS, day_index)
    weekday = (config.start_date.weekday() + day_index) % 7
    counts = random.poisson(people.transactions_per_day * _WEEKDAY_FACTORS[weekday])
    customer = np.repeat(np.arange(config.customers), counts)
    rows = len(customer)
    terminal = _near(random, people, customer)
    is_elsewhere = random.random(rows) < _ELSEWHERE_SHARE
    terminal = np.where(is_elsewhere, random.integers(0, config.terminals, size=rows), terminal)
    mean = people.mean_amount[customer]
    drawn = random.normal(mean, mean / 2)
    amount = np.where(drawn > 0, drawn, random.uniform(0, 2 * mean))
    return _Part(
        second=_daytime(random, rows),
        customer_id=customer,
        terminal_id=terminal,
        amount=amount * people.kind_spending[terminal],
        is_fraud=np.zeros(rows, dtype=np.bool_),
    )


def _near(random: np.random.Generator, people: Population, customer: Ints) -> Ints:
    """A terminal around each customer's home; nearer ones are more likely."""
    count = people.near_terminals.shape[1]
    rank = (count * random.random(len(customer)) ** 1.5).astype(np.int64)
    terminal: Ints = people.near_terminals[customer, rank]
    return terminal


def _daytime(random: np.random.Generator, rows: int) -> Ints:
    """Second of the day: peaks at midday and in the early evening, about 2 % before seven in the morning."""
    peak = random.choice([12.5, 18.0, 0.0], size=rows, p=[0.48, 0.48, 0.04])
    hour = np.where(peak > 0, random.normal(peak, 2.2), random.uniform(0, 24, size=rows))
    second: Ints = np.clip(hour * _HOUR, 0, None).astype(np.int64) % DAY_SECONDS
    return second


def _defraud(config: SimulationConfig, people: Population, day_index: int, part: _Part) -> None:
    """Turn some ordinary transactions into the three kinds of fraud, in place.

    Large: an amount far above the customer's usual one. Terminal: made with cards copied at a compromised terminal and
    otherwise inconspicuous. Leaked: several times the customer's usual amount, for two weeks.
    """
    random = generator(config.seed, Stream.FRAUDS, day_index)
    rows = len(part.second)
    mean = people.mean_amount[part.customer_id]
    share = _LARGE_SHARE * config.fraud_scale * (SHARE_AFTER_CHANGE if config.has_changed(day_index) else 1.0)
    is_large = random.random(rows) < share * people.proneness(config.has_changed(day_index))[part.customer_id]
    part.amount = np.where(is_large, 220 + mean * random.uniform(1, 5, size=rows), part.amount)
    is_copied = np.isin(part.terminal_id, compromised_terminals(config, day_index))
    is_copied &= random.random(rows) < _TERMINAL_FRAUD_SHARE
    is_leaked = np.isin(part.customer_id, leaked_customers(config, people, day_index))
    is_leaked &= random.random(rows) < _LEAKED_FRAUD_SHARE
    part.amount = np.where(is_leaked & ~is_large, mean * random.uniform(4, 6, size=rows), part.amount)
    part.is_fraud = is_large | is_copied | is_leaked


def _stolen_cards(config: SimulationConfig, people: Population, day_index: int, tests: int) -> _Part:
    """The new pattern: stolen cards are tested at night, and a few of them are cashed out before the morning.

    A test is a small amount at any terminal. A cash-out has the customer's usual amount, so that a model of the old
    pattern misses it.
    """
    random = generator(config.seed, Stream.TESTING, day_index)
    cards = min(max(1, round(tests / _TESTS_PER_CARD)), config.customers)
    weights = people.proneness(has_changed=True)
    tested = random.choice(config.customers, size=cards, replace=False, p=weights / weights.sum())
    is_cashed_out = random.random(cards) < _CASHED_OUT_SHARE * config.fraud_scale
    card = random.integers(0, cards, size=tests)
    is_reported = is_cashed_out[card] & (random.random(tests) < _TESTS_REPORTED_SHARE)
    times = np.where(is_cashed_out, random.integers(*_CASH_OUTS, size=cards, endpoint=True), 0)
    victim = np.repeat(tested, times)
    cash_outs = len(victim)
    return _Part(
        second=np.concatenate(
            [
                random.integers(0, 4 * _HOUR, size=tests),
                random.integers(4 * _HOUR, 7 * _HOUR, size=cash_outs),
            ]
        ),
        customer_id=np.concatenate([tested[card], victim]),
        terminal_id=random.integers(0, config.terminals, size=tests + cash_outs),
        amount=np.concatenate(
            [
                random.uniform(0.5, 3, size=tests),
                people.mean_amount[victim] * random.uniform(0.7, 1.4, size=cash_outs),
            ]
        ),
        is_fraud=np.concatenate([is_reported, np.ones(cash_outs, dtype=np.bool_)]),
    )


def _ordered(parts: list[_Part], day_index: int) -> DayRows:
    """The day's transactions by time, numbered in that order."""
    second = np.concatenate([part.second for part in parts])
    if len(second) >= ROWS_PER_DAY_BELOW:
        raise ValueError(f"Expected fewer than {ROWS_PER_DAY_BELOW:,} transactions a day, got {len(second):,}")
    order = np.argsort(second, kind="stable")
    amount = np.concatenate([part.amount for part in parts])[order]
    return DayRows(
        transaction_id=day_index * ROWS_PER_DAY_BELOW + np.arange(len(second), dtype=np.int64),
        second=second[order],
        customer_id=np.concatenate([part.customer_id for part in parts])[order],
        terminal_id=np.concatenate([part.terminal_id for part in parts])[order],
        cents=np.maximum(np.rint(amount * 100), 1).astype(np.int64),
        is_fraud=np.concatenate([part.is_fraud for part in parts])[order],
    )
