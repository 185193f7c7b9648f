"""Which trial a search chooses, by a rule that does not reward noise, and when further trials bring nothing.

The best of many trials is the best by chance, too: forty trials beat the default parameters on the windows that chose
them, and by nothing on later weeks. The default parameters therefore stay, unless the best trial is better on the same
validation rows beyond what the best of so many trials gains by chance: many treatments against one control (Dunnett, A
Multiple Comparison Procedure for Comparing Several Treatments with a Control (1955)), at the level of Bonferroni, which
is above Dunnett's as trials resemble each other. Rows cluster by entity and every other declared way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.evaluation import Interval, Predictions, Reviewed
from lifecycle.modelling.fold_evidence import fold_difference, pooled_interval
from lifecycle.modelling.ranking import Outcomes
from lifecycle.tables.arrays import FloatArray

LEVEL = 0.05
"""Probability that the defaults are left although no trial is better."""
ONE_DEVIATION = 0.6827
"""Share of a normal distribution within one standard error of its mean."""


@dataclass(frozen=True)
class Choice:
    """The numbers of the chosen trial and of the one with the highest score, and what the latter gained.

    `gain` is the mean difference to the default parameters on the validation rows, weighted by the folds' events; `low`
    is the end of its interval at `LEVEL` for all trials together, ``None`` if the best trial is the default.
    """

    trial: int
    best: int
    gain: float
    low: float | None
    is_stopped_early: bool

    @property
    def is_default(self) -> bool:
        """Whether the default parameters stayed."""
        return self.trial == 0

    @property
    def text(self) -> str:
        """Why this trial was chosen, in a sentence's part."""
        if self.best == 0:
            return "the default parameters: no trial had a higher metric"
        gained = f"trial {self.best} gained {self.gain:+.4f} over the default parameters"
        if self.is_default:
            return f"the default parameters: {gained}, no more than the best of the trials gains by chance"
        return f"trial {self.trial}: it gained {self.gain:+.4f} over the default parameters, beyond chance"


def paired_gain(
    outcomes: Sequence[Outcomes],
    ours: Sequence[FloatArray],
    theirs: Sequence[FloatArray],
    metric: str,
    confidence: float,
) -> Interval:
    """Metric of one trial minus that of another over the folds' validation rows, from their margins.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing in a fold.
    """
    reviewed = Reviewed(cut_off=0.5)
    folds = [
        fold_difference(rows, _of(mine), _of(other), reviewed, metric, rows.ways)
        for rows, mine, other in zip(outcomes, ours, theirs, strict=True)
    ]
    return pooled_interval(folds, confidence)


def is_a_deviation_better(
    outcomes: Sequence[Outcomes], ours: Sequence[FloatArray], theirs: Sequence[FloatArray], metric: str
) -> bool:
    """Whether one trial gains more than a standard error over another."""
    return paired_gain(outcomes, ours, theirs, metric, ONE_DEVIATION).low > 0


def choose(
    outcomes: Sequence[Outcomes],
    best: tuple[int, Sequence[FloatArray]],
    default: Sequence[FloatArray],
    trials: int,
    metric: str,
    *,
    is_stopped_early: bool,
) -> Choice:
    """The best trial if it is surely better than the default parameters, which are trial 0; otherwise these.

    Parameters
    ----------
    best, default
        Margins on each fold's validation rows; of the best trial with its number.
    trials
        How many were tried, the default included.
    """
    number, margins = best
    if number == 0:
        return Choice(0, 0, 0.0, None, is_stopped_early)
    found = paired_gain(outcomes, margins, default, metric, 1 - 2 * LEVEL / (trials - 1))
    return Choice(number if found.low > 0 else 0, number, found.value, found.low, is_stopped_early)


def _of(margins: FloatArray) -> Predictions:
    return Predictions(margins, np.zeros(len(margins)))
