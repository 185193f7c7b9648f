"""Independent random streams, each named by what it is for and the day it is for."""

from enum import IntEnum

import numpy as np

_DAYS_BEFORE_START = 100_000
"""Keeps the index of a day before the start, from which an episode reaches in, from being negative."""


class Stream(IntEnum):
    """What a stream decides. Numbers are never used again for something else: simulated rows depend on them."""

    POPULATION = 1
    TRANSACTIONS = 2
    TERMINAL_EPISODES = 3
    CUSTOMER_EPISODES = 4
    FRAUDS = 5
    TESTING = 6
    REPORTS = 7


def generator(seed: int, stream: Stream, day_index: int = 0) -> np.random.Generator:
    """The generator of one stream on one day: the same draws, whichever other days are simulated."""
    return np.random.default_rng([seed, int(stream), day_index + _DAYS_BEFORE_START])
