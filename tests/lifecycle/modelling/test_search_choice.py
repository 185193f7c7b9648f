"""The trial that a search chooses."""

import numpy as np
import pytest

from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.search_choice import Choice, choose, is_a_deviation_better, paired_gain
from lifecycle.tables.arrays import FloatArray

TRIALS = 20


def window(generator: np.random.Generator, rows: int = 1500) -> tuple[Outcomes, FloatArray]:
    """Outcomes of one fold and the log-odds behind them; a tenth are positive."""
    odds = generator.normal(-3, 1.5, rows)
    is_positive = generator.random(rows) < 1 / (1 + np.exp(-odds))
    return Outcomes(np.zeros(rows, "datetime64[us]"), np.arange(rows), None, is_positive), odds


def searched(seed: int, better_by: float = 0.0, rows: int = 1500) -> Choice:
    """A search of equal trials on two folds, each with noise of its own; one has less if it is `better_by`."""
    generator = np.random.default_rng(seed)
    folds = [window(generator, rows) for _ in range(2)]
    outcomes = [fold for fold, _ in folds]
    noise = [0.7, *([0.7] * (TRIALS - 2)), 0.7 - better_by]
    trials = [[odds + generator.normal(0, scale, len(odds)) for _, odds in folds] for scale in noise]
    gains = [paired_gain(outcomes, trial, trials[0], "average_precision", 0.95).value for trial in trials]
    best = int(np.argmax(gains))
    return choose(outcomes, (best, trials[best]), trials[0], TRIALS, "average_precision", is_stopped_early=False)


@pytest.mark.long
def test_among_equal_trials_the_default_stays_although_another_has_a_higher_metric() -> None:
    choices = [searched(seed) for seed in range(60)]
    assert np.mean([choice.best != 0 for choice in choices]) > 0.8
    assert np.mean([not choice.is_default for choice in choices]) <= 0.1


@pytest.mark.long
def test_a_trial_that_is_better_beyond_chance_is_chosen() -> None:
    choices = [searched(seed, better_by=0.65, rows=8000) for seed in range(10)]
    assert all(choice.trial == TRIALS - 1 for choice in choices)
    assert all(choice.low is not None and 0 < choice.low < choice.gain for choice in choices)


def test_the_reason_of_a_choice_is_told() -> None:
    assert (
        Choice(0, 0, 0.0, None, is_stopped_early=False).text == "the default parameters: no trial had a higher metric"
    )
    by_chance = Choice(0, 3, 0.01, -0.02, is_stopped_early=True)
    assert by_chance.text == (
        "the default parameters: trial 3 gained +0.0100 over the default parameters, no more than the best of the "
        "trials gains by chance"
    )
    assert Choice(3, 3, 0.03, 0.01, is_stopped_early=False).text == (
        "trial 3: it gained +0.0300 over the default parameters, beyond chance"
    )


def test_a_gain_knows_the_clusters_of_the_rows() -> None:
    """Each row ten times says no more than once."""
    generator = np.random.default_rng(1)
    outcomes, odds = window(generator, 600)
    ours, theirs = odds + generator.normal(0, 0.5, 600), odds + generator.normal(0, 0.7, 600)
    copies = np.repeat(np.arange(600), 10)
    repeated = Outcomes(outcomes.occurred_at[copies], copies, None, outcomes.is_positive[copies])
    once = paired_gain([outcomes], [ours], [theirs], "roc_auc", 0.95)
    again = paired_gain([repeated], [ours[copies]], [theirs[copies]], "roc_auc", 0.95)
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high), rel=0.01)


def test_a_deviation_is_a_standard_error() -> None:
    generator = np.random.default_rng(2)
    outcomes, odds = window(generator)
    assert is_a_deviation_better([outcomes], [odds], [odds + generator.normal(0, 2, len(odds))], "roc_auc")
    assert not is_a_deviation_better([outcomes], [odds], [odds], "roc_auc")
