import datetime as dt

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.handbook_metrics import Metrics, Ranked, mean_and_deviation, mean_draws, paired_difference
from lifecycle.modelling.evaluation import Predictions, Reviewed, metric_draws
from lifecycle.modelling.ranking import Outcomes
from lifecycle.tables.arrays import FloatArray, instant

START = dt.date(2018, 8, 8)


def window(rows: int = 3_000, cards: int = 400, seed: int = 1) -> tuple[Outcomes, FloatArray]:
    """Outcomes of a week and margins that know something of them, with ties."""
    generator = np.random.default_rng(seed)
    is_positive = generator.random(rows) < 0.05
    seconds = generator.integers(0, 7 * 86_400, rows)
    outcomes = Outcomes(
        occurred_at=instant(START) + seconds.astype("timedelta64[s]"),
        entity=generator.integers(0, cards, rows),
        amount=np.ones(rows),
        is_positive=is_positive,
    )
    margins: FloatArray = (100 * (generator.normal(size=rows) + 2 * is_positive)).round() / 100
    return outcomes, margins


def test_unweighted_metrics_are_those_of_scikit_learn_and_of_the_platform() -> None:
    outcomes, margins = window()
    ours = Ranked(outcomes, margins).metrics()
    platform = metric_draws(outcomes, Predictions(margins, 1 / (1 + np.exp(-margins))), Reviewed(capacity=100), draws=0)
    assert ours.auc == pytest.approx(roc_auc_score(outcomes.is_positive, margins), abs=1e-12)
    assert ours.average_precision == pytest.approx(average_precision_score(outcomes.is_positive, margins), abs=1e-12)
    assert ours == pytest.approx([platform[name][0] for name in ("roc_auc", "average_precision", "card_precision")])


def test_a_card_drawn_twice_counts_twice_and_one_not_drawn_does_not_count() -> None:
    outcomes, margins = window()
    ranked = Ranked(outcomes, margins)
    drawn = np.random.default_rng(2).integers(0, 3, ranked.card_count).astype(np.float64)
    weights = drawn[np.searchsorted(ranked.cards, outcomes.entity)]
    weighted = ranked.metrics(drawn)
    assert weighted.auc == pytest.approx(roc_auc_score(outcomes.is_positive, margins, sample_weight=weights))
    expected = average_precision_score(outcomes.is_positive, margins, sample_weight=weights)
    assert weighted.average_precision == pytest.approx(expected)


def test_card_precision_is_of_the_100_cards_and_a_found_card_leaves() -> None:
    # Two days of 150 cards, ranked by number; cards 0 to 9 are defrauded on both days, card 120 on the second.
    days = np.repeat([0, 1], 150)
    entity = np.tile(np.arange(150), 2)
    is_positive = (entity < 10) | ((entity == 109) & (days == 1)) | ((entity == 120) & (days == 1))
    occurred_at = instant(START) + days.astype("timedelta64[D]")
    ranked = Ranked(Outcomes(occurred_at, entity, np.ones(300), is_positive), -entity.astype(np.float64))
    # The second day's first hundred are the cards 10 to 109: one of them is defrauded, card 120 lies beyond.
    assert ranked.metrics().card_precision_100 == pytest.approx((10 / 100 + 1 / 100) / 2)


def test_the_first_draw_is_the_mean_over_folds_and_draws_repeat() -> None:
    folds = [Ranked(*window(seed=seed)) for seed in (1, 2)]
    draws = mean_draws(folds, seed=3, draws=5)
    mean, deviation = mean_and_deviation([fold.metrics() for fold in folds])
    assert draws.shape == (6, 3)
    assert draws[0] == pytest.approx(mean)
    assert draws.tolist() == mean_draws(folds, seed=3, draws=5).tolist()
    assert deviation.auc == pytest.approx(abs(folds[0].metrics().auc - folds[1].metrics().auc) / 2)


def test_a_difference_from_a_worse_model_is_positive_beyond_its_interval() -> None:
    outcomes, margins = window()
    noise = np.random.default_rng(4).normal(size=len(margins)) * 4
    ours, theirs = (mean_draws([Ranked(outcomes, of)], seed=5, draws=60) for of in (margins, margins + noise))
    difference = paired_difference(ours, theirs)
    assert set(difference) == set(Metrics._fields)
    assert 0 < difference["auc"].low < difference["auc"].value < difference["auc"].high
    assert paired_difference(ours, ours)["auc"].value == 0
