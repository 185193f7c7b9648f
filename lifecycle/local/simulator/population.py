"""Customers and terminals: attributes, location and spending."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lifecycle.local.simulator.config import SimulationConfig
from lifecycle.local.simulator.randomness import Stream, generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEGMENTS = ("student", "standard", "premium", "business")
_SEGMENT_SHARES = (0.15, 0.60, 0.18, 0.07)
_SEGMENT_SPENDING = np.array([0.6, 1.0, 1.5, 1.8])

AGE_BANDS = ("18-24", "25-34", "35-49", "50-64", "65+")
_AGE_SHARES_OF_STUDENTS = (0.75, 0.20, 0.04, 0.007, 0.003)
_AGE_SHARES_OF_OTHERS = (0.06, 0.20, 0.30, 0.26, 0.18)
_PRONENESS_BEFORE = np.array([1.25, 1.1, 1.0, 0.9, 0.85])
_PRONENESS_AFTER = np.array([0.7, 0.8, 1.0, 1.2, 1.5])
"""Relative fraud rate of each age band before and after the pattern changes: mild differences of the base rate."""

SEXES = ("F", "M")

KINDS = ("grocery", "restaurant", "fuel", "online", "travel", "electronics")
_KIND_SHARES = (0.34, 0.24, 0.12, 0.16, 0.06, 0.08)
_KIND_SPENDING = np.array([0.8, 0.7, 0.9, 1.1, 1.6, 1.7])

_SIDE = 100.0
"""The country is a square of this side, as in the Fraud Detection Handbook."""
NEAR_TERMINALS = 30
"""A customer shops at this many terminals around home."""


@dataclass(frozen=True)
class Population:
    """Arrays by customer id and by terminal id, both from 0."""

    segment: Ints
    age_band: Ints
    sex: Ints
    mean_amount: Floats
    transactions_per_day: Floats
    near_terminals: Ints
    """Shape ``(customers, k)``: the terminals around home, nearest first."""
    kind: Ints
    kind_spending: Floats
    """Factor on the amounts paid at a terminal."""

    def proneness(self, has_changed: bool) -> Floats:
        """Relative fraud rate of each customer."""
        return (_PRONENESS_AFTER if has_changed else _PRONENESS_BEFORE)[self.age_band]


@lru_cache(maxsize=4)
def population(config: SimulationConfig) -> Population:
    """The customers and terminals of a world; they depend on the seed, not on the days."""
    random = generator(config.seed, Stream.POPULATION)
    segment = random.choice(len(SEGMENTS), size=config.customers, p=_SEGMENT_SHARES)
    of_students = random.choice(len(AGE_BANDS), size=config.customers, p=_AGE_SHARES_OF_STUDENTS)
    of_others = random.choice(len(AGE_BANDS), size=config.customers, p=_AGE_SHARES_OF_OTHERS)
    kind = random.choice(len(KINDS), size=config.terminals, p=_KIND_SHARES)
    homes = random.uniform(0, _SIDE, size=(config.customers, 2))
    places = random.uniform(0, _SIDE, size=(config.terminals, 2))
    usual = random.uniform(5, 100, size=config.customers)
    return Population(
        segment=segment,
        age_band=np.where(segment == 0, of_students, of_others),
        sex=random.integers(0, len(SEXES), size=config.customers),
        mean_amount=np.clip(usual * _SEGMENT_SPENDING[segment], 5, 100),
        transactions_per_day=random.uniform(0, 4, size=config.customers),
        near_terminals=_nearest(homes, places),
        kind=kind,
        kind_spending=_KIND_SPENDING[kind],
    )


def _nearest(homes: Floats, places: Floats) -> Ints:
    from scipy.spatial import cKDTree

    count = min(NEAR_TERMINALS, len(places))
    _, nearest = cKDTree(places).query(homes, k=range(1, count + 1))
    return np.asarray(nearest, dtype=np.int64)
