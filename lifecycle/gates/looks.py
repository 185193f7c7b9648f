"""When to stop looking at further folds: a group-sequential test of non-inferiority and of superiority.

Evidence grows with the question: the gate looks at one fold, then at two, and stops as soon as it is decided. Each look
is another chance to err, so that the looks share the gate's error: the spending function of Lan and DeMets, Discrete
Sequential Boundaries for Clinical Trials (1983), in the form of O'Brien and Fleming, spends little of it at the first
looks and most of it at the last. The levels follow from the joint distribution of the looks (Armitage, McPherson and
Rowe, Repeated Significance Tests on Accumulating Data (1969)).

Non-inferiority: the lower end of the difference's interval is above ``-margin`` (ICH E9, section 3.3.2; CPMP, Points to
Consider on Switching between Superiority and Non-inferiority (2000)). Superiority is the case ``margin = 0``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.evaluation import Interval
from serving.contract.documents import Outcome

_POINTS = 2001
_LIMIT = 8.0
"""Grid of the standardised statistic: beyond it a normal variable has less than 1e-15."""


@dataclass(frozen=True)
class Look:
    """The interval after so many folds; each of its ends misses the truth with probability `level`."""

    interval: Interval
    level: float


@dataclass(frozen=True)
class LookDecision:
    """The outcome, ``None`` if a further fold is to be looked at, and a sentence's part for it."""

    outcome: Outcome | None
    word: str


def decide(looks: Sequence[Look], margin: float, *, is_last: bool) -> LookDecision:
    """The decision after the newest look.

    PASS if the lower end is above ``-margin``. FAIL if it is not, and the whole interval is below 0: surely worse, and
    not shown to be within the margin. Otherwise another look, and after the last INCONCLUSIVE.

    Examples
    --------
    >>> [
    ...     decide([Look(Interval(value, value - 0.015, value + 0.015), 0.05)], 0.02, is_last=True).outcome
    ...     for value in (0.0, -0.01, -0.02)
    ... ]
    ['PASS', 'INCONCLUSIVE', 'FAIL']
    """
    interval = looks[-1].interval
    if interval.low > -margin:
        return LookDecision("PASS", "above" if not margin else "not below")
    if interval.high < 0:
        return LookDecision("FAIL", "below")
    return LookDecision(
        "INCONCLUSIVE" if is_last else None, "not clearly above" if not margin else "not clearly within"
    )


def look_levels(information: Sequence[float], error: float) -> list[float]:
    """The one-sided level of each look, so that all looks together err with probability `error`.

    Parameters
    ----------
    information
        Share of the planned evidence that each look has, ascending; the last is 1.
    error
        Of all looks together, one-sided, between 0 and 0.5.

    Raises
    ------
    LifecycleError
        If the shares do not ascend to 1.

    Examples
    --------
    The boundaries of Lan and DeMets for four equal looks at 0.025 are 4.333, 2.963, 2.359 and 2.014 standard errors:

    >>> from scipy.stats import norm
    >>> [round(float(norm.isf(level)), 2) for level in look_levels([0.25, 0.5, 0.75, 1], 0.025)]
    [4.33, 2.96, 2.36, 2.01]
    >>> [round(level, 3) for level in look_levels([1.0], 0.05)]
    [0.05]
    """
    if not information or list(information) != sorted(set(information)) or information[-1] != 1 or information[0] <= 0:
        raise LifecycleError(f"Expected shares that ascend to 1, got {list(information)} - at the looks")
    return list(_levels(tuple(information), error))


@lru_cache(maxsize=64)
def _levels(information: tuple[float, ...], error: float) -> tuple[float, ...]:
    from scipy.stats import norm

    grid = np.linspace(-_LIMIT, _LIMIT, _POINTS)
    step = grid[1] - grid[0]
    spent, levels = 0.0, []
    # The density of the sum of information (a Brownian motion) over the runs that no look has stopped yet.
    alive = np.zeros(0)
    for number, share in enumerate(information):
        to_spend = 2 * float(norm.sf(norm.isf(error / 2) / share**0.5)) if share < 1 else error
        if number == 0:
            boundary = float(norm.isf(to_spend))
            alive = norm.pdf(grid / share**0.5) / share**0.5
        else:
            gained = share - information[number - 1]
            kernel = norm.pdf((grid[:, None] - grid[None, :]) / gained**0.5) / gained**0.5
            alive = kernel @ alive * step
            below = np.cumsum(alive) * step - alive * step / 2  # half of a cell is on each side of its point
            at = float(np.interp(float(alive.sum() * step) - (to_spend - spent), below, grid))
            boundary = at / share**0.5
        # Trapezoid: the cell that the boundary cuts counts by the part below it.
        below = np.clip((boundary * share**0.5 - grid) / step + 0.5, 0, 1)
        alive = alive * below
        spent = to_spend
        levels.append(float(norm.sf(boundary)))
    return tuple(levels)
