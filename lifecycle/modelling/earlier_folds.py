"""Out-of-time folds before the holdout: the same recipe, fitted again before each of them.

``train | gap | fold 2 | fold 1 | holdout | maturity | as_of``: a fold is as long as the holdout; its model is fitted
on the periods of `training.train` that end a gap before it, with the labels that were known when it began. The folds
overlap the validation windows that selected the recipe, so that they favour it slightly, by what a search can gain.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.fitting import FitRows
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.splits import holdout_days
from lifecycle.modelling.training_set import Examples, labels
from lifecycle.spec.cadence import period_start, periods_before
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import BoolArray, FloatArray, IntArray, date_of, instant


@dataclass(frozen=True)
class EarlierFold:
    """Days ``[start, end)`` with their outcomes and features, and the rows that a model before them learns from."""

    start: dt.date
    end: dt.date
    outcomes: Outcomes
    features: FloatArray
    learned: FitRows


def earlier_folds(
    spec: RiskModelSpec, examples: Examples, as_of: dt.date, count: int, not_before: dt.date
) -> list[EarlierFold]:
    """At most `count` folds before the holdout of `as_of`, the newest first.

    None begins before `not_before`, or has less than the whole window to learn from; a fold without both outcomes, or
    whose model would learn from one outcome only, ends the list.
    """
    training, maturity_days, cadence = spec.training, spec.label.maturity_days, spec.examples.cadence
    end = holdout_days(as_of, training, maturity_days, cadence)[0]
    first_day = date_of(examples.occurred_at.min())
    found: list[EarlierFold] = []
    while len(found) < count:
        start = periods_before(end, training.holdout, cadence)
        learned_end = period_start(start - dt.timedelta(days=maturity_days), cadence)
        learned_start = periods_before(learned_end, training.train, cadence)
        if start < not_before or learned_start < first_day:
            break
        rows, is_positive = _rows(spec, examples, start, end, as_of)
        learned, is_learned = _rows(spec, examples, learned_start, learned_end, start)
        if len(np.unique(is_positive)) < 2 or len(np.unique(is_learned)) < 2:
            break
        outcomes = Outcomes(
            examples.occurred_at[rows],
            examples.entity[rows],
            None if examples.amount is None else examples.amount[rows],
            is_positive,
            tuple(column[rows] for column in examples.clusters),
        )
        features = np.ascontiguousarray(examples.features[rows])
        fit_rows = FitRows(np.ascontiguousarray(examples.features[learned]), is_learned)
        found.append(EarlierFold(start, end, outcomes, features, fit_rows))
        end = start
    return found


def _rows(
    spec: RiskModelSpec, examples: Examples, start: dt.date, end: dt.date, known_at: dt.date
) -> tuple[IntArray, BoolArray]:
    """Positions of the examples of ``[start, end)`` whose outcome is known at a date, and which are positive."""
    is_positive, is_mature = labels(examples, known_at, spec.label.maturity_days)
    inside = (examples.occurred_at >= instant(start)) & (examples.occurred_at < instant(end))
    rows = np.flatnonzero(inside if examples.outcome is None else inside & is_mature)
    return rows, is_positive[rows]
