"""Frauds that span days: compromised terminals and leaked cards, derived independently for each day."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lifecycle.local.simulator.config import SimulationConfig
from lifecycle.local.simulator.population import Population
from lifecycle.local.simulator.randomness import Stream, generator

SHARE_AFTER_CHANGE = 0.12
"""Share of the three old kinds of fraud that remains after the pattern has changed."""

_TERMINALS_PER_DAY = 2.2e-4
_TERMINAL_DAYS = (14, 28)
_CUSTOMERS_PER_DAY = 6e-4
_CUSTOMER_DAYS = (14, 14)

Pick = Callable[[np.random.Generator, int], npt.NDArray[np.int64]]


def compromised_terminals(config: SimulationConfig, day_index: int) -> npt.NDArray[np.int64]:
    """Terminals that are compromised on this day, each for two to four weeks."""

    def pick(random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
        return random.integers(0, config.terminals, size=count)

    rate = config.terminals * _TERMINALS_PER_DAY * config.fraud_scale
    return _active(config, day_index, Stream.TERMINAL_EPISODES, rate, _TERMINAL_DAYS, pick)


def leaked_customers(config: SimulationConfig, people: Population, day_index: int) -> npt.NDArray[np.int64]:
    """Customers whose card details are leaked on this day; a card is replaced after two weeks."""
    weights = people.proneness(has_changed=False)
    shares = weights / weights.sum()

    def pick(random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
        return random.choice(config.customers, size=count, p=shares)

    rate = config.customers * _CUSTOMERS_PER_DAY * config.fraud_scale
    return _active(config, day_index, Stream.CUSTOMER_EPISODES, rate, _CUSTOMER_DAYS, pick)


def _active(
    config: SimulationConfig,
    day_index: int,
    stream: Stream,
    starts_per_day: float,
    duration_days: tuple[int, int],
    pick: Pick,
) -> npt.NDArray[np.int64]:
    """Ids of the episodes that cover this day, which may have begun on an earlier one.

    Episodes also begin before the first day, so that it is like any other. After the change of pattern only a share of
    them continues, which is drawn when they begin.
    """
    active = []
    for began in range(day_index - duration_days[1] + 1, day_index + 1):
        random = generator(config.seed, stream, began)
        count = int(random.poisson(starts_per_day))
        durations = random.integers(duration_days[0], duration_days[1], size=count, endpoint=True)
        persistence = random.random(count)
        ids = pick(random, count)
        is_active = durations > day_index - began
        if config.has_changed(day_index):
            is_active &= persistence < SHARE_AFTER_CHANGE
        active.append(ids[is_active])
    return np.unique(np.concatenate(active))
