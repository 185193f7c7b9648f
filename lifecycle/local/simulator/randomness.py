"""Independent random streams, each identified by its purpose and day."""

from enum import IntEnum

import numpy as np

_DAYS_BEFORE_START = 100_000
"""Added to a day's index, so that it is never negative: episodes begin before the first day."""


class Stream(IntEnum):
    """Purpose of a stream. Numbers are never reused, because simulated rows depend on them."""

    POPULATION = 1
    TRANSACTIONS = 2
    TERMINAL_EPISODES = 3
    CUSTOMER_EPISODES = 4
    FRAUDS = 5
    TESTING = 6
    REPORTS = 7


def generator(seed: int, stream: Stream, day_index: int = 0) -> np.random.Generator:
    """The generator of one stream on one day; its draws do not depend on other days."""
    return np.random.default_rng([seed, int(stream), day_index + _DAYS_BEFORE_START])
