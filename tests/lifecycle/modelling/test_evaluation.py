import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from lifecycle.errors import LifecycleError
from lifecycle.modelling.curves import POINTS, curves
from lifecycle.modelling.evaluation import (
    CALIBRATION_BINS,
    CAPACITY_METRICS,
    CUT_OFF_METRICS,
    PROBABILITY_METRICS,
    RANKING_METRICS,
    Predictions,
    Reviewed,
    _multiplicities,
    evaluate,
    metric_draws,
    paired_difference,
)
from lifecycle.modelling.ranking import Outcomes, card_codes
from lifecycle.tables.arrays import FloatArray


def window(seed: int, rows: int, cards: int, days: int, distinct: int | None = None) -> tuple[Outcomes, Predictions]:
    """A random window; with `distinct` the margins take that many values only."""
    generator = np.random.default_rng(seed)
    occurred = np.datetime64("2024-01-01", "us") + generator.integers(0, days * 86_400, rows).astype("timedelta64[s]")
    is_positive = generator.random(rows) < 0.1
    is_positive[:2] = [True, False]
    margins = generator.normal(size=rows) + is_positive
    if distinct:
        margins = np.round(margins * distinct / 6) / distinct
    outcomes = Outcomes(occurred, generator.integers(0, cards, rows), generator.random(rows) * 100, is_positive)
    return outcomes, Predictions(margins, 1 / (1 + np.exp(-margins)))


WINDOWS = st.builds(
    window,
    seed=st.integers(0, 10_000),
    rows=st.integers(30, 300),
    cards=st.integers(2, 60),
    days=st.integers(1, 4),
    distinct=st.sampled_from([None, 3, 12]),
)


def weights_of(outcomes: Outcomes, draws: int, seed: int) -> FloatArray:
    codes, cards = card_codes(outcomes.entity)
    drawn: FloatArray = np.concatenate(list(_multiplicities(cards, len(outcomes), draws, seed)))[:, codes]
    return drawn


@given(WINDOWS)
@settings(max_examples=30, deadline=None)
def test_ranking_metrics_and_brier_are_those_of_scikit_learn_in_every_draw(case: tuple[Outcomes, Predictions]) -> None:
    outcomes, predictions = case
    drawn = metric_draws(outcomes, predictions, Reviewed(capacity=5), draws=5, seed=3)
    for draw, weights in enumerate(weights_of(outcomes, 5, 3)):
        if not 0 < weights[outcomes.is_positive].sum() < weights.sum():
            assert not np.isfinite(drawn["roc_auc"][draw])
            continue
        arguments: dict[str, Any] = {"sample_weight": weights}
        expected = roc_auc_score(outcomes.is_positive, predictions.margins, **arguments)
        assert drawn["roc_auc"][draw] == pytest.approx(expected, abs=1e-12)
        expected = average_precision_score(outcomes.is_positive, predictions.margins, **arguments)
        assert drawn["average_precision"][draw] == pytest.approx(expected, abs=1e-12)
        expected = brier_score_loss(outcomes.is_positive, predictions.scores, **arguments)
        assert drawn["brier"][draw] == pytest.approx(expected, abs=1e-12)


def slow_card_precision(outcomes: Outcomes, margins: FloatArray, capacity: int, window_days: int) -> float:
    """The book's loop: rank the day's cards, look at the first, let the found ones leave; a day without a card is 0."""
    found: set[int] = set()
    precisions = []
    days = outcomes.occurred_at.astype("datetime64[D]")
    for day in np.unique(days):
        cards: dict[int, tuple[float, bool]] = {}
        for card, margin, fraud in zip(
            outcomes.entity[days == day], margins[days == day], outcomes.is_positive[days == day], strict=True
        ):
            if card not in found:
                highest, any_fraud = cards.get(card, (-np.inf, False))
                cards[card] = (max(highest, margin), bool(any_fraud or fraud))
        first = sorted(cards, key=lambda card: (-cards[card][0], card))[:capacity]
        caught = {card for card in first if cards[card][1]}
        precisions.append(len(caught) / capacity)
        found |= caught
    return float(np.sum(precisions)) / window_days


def slow_recall(outcomes: Outcomes, margins: FloatArray, capacity: int, worth: FloatArray) -> float:
    caught = 0.0
    days = outcomes.occurred_at.astype("datetime64[D]")
    for day in np.unique(days):
        rows = days == day
        highest = {card: margins[rows & (outcomes.entity == card)].max() for card in np.unique(outcomes.entity[rows])}
        first = sorted(highest, key=lambda card: (-highest[card], card))[:capacity]
        caught += worth[rows & np.isin(outcomes.entity, first) & outcomes.is_positive].sum()
    return caught / float(worth[outcomes.is_positive].sum())


def cloned(outcomes: Outcomes, predictions: Predictions, weights: FloatArray) -> tuple[Outcomes, Predictions]:
    """Every card as many times as it was drawn, each copy a card of its own beside the original in rank."""
    codes, _ = card_codes(outcomes.entity)
    rows = [(row, copy) for row in range(len(outcomes)) for copy in range(int(weights[row]))]
    index = np.array([row for row, _ in rows])
    cards = codes[index] * 1000 + np.array([copy for _, copy in rows])
    assert outcomes.amount is not None
    copies = Outcomes(outcomes.occurred_at[index], cards, outcomes.amount[index], outcomes.is_positive[index])
    return copies, Predictions(predictions.margins[index], predictions.scores[index])


@given(WINDOWS, st.integers(1, 12))
@example(window(0, 30, 4, 4), 1)  # one draw leaves a day of the window without any card
@settings(max_examples=40, deadline=None)
def test_metrics_at_capacity_are_those_of_the_loop_over_copied_cards(
    case: tuple[Outcomes, Predictions], capacity: int
) -> None:
    outcomes, predictions = case
    drawn = metric_draws(outcomes, predictions, Reviewed(capacity=capacity), draws=3, seed=5)
    window_days = len(np.unique(outcomes.occurred_at.astype("datetime64[D]")))
    for draw, weights in enumerate(weights_of(outcomes, 3, 5)):
        if not weights[outcomes.is_positive].sum():
            continue
        copies, copied = cloned(outcomes, predictions, weights)
        expected = slow_card_precision(copies, copied.margins, capacity, window_days)
        assert drawn["card_precision"][draw] == pytest.approx(expected, abs=1e-12)
        expected = slow_recall(copies, copied.margins, capacity, np.ones(len(copies)))
        assert drawn["recall_at_capacity"][draw] == pytest.approx(expected, abs=1e-12)
        assert copies.amount is not None
        expected = slow_recall(copies, copied.margins, capacity, copies.amount)
        assert drawn["value_recall_at_capacity"][draw] == pytest.approx(expected, abs=1e-12)


def test_calibration_error_is_the_mean_gap_of_bins_with_equally_many_rows() -> None:
    outcomes, predictions = window(4, 1000, 50, 2)
    order = np.argsort(-predictions.margins)
    bins = np.array_split(order, CALIBRATION_BINS)
    gaps = [len(b) * abs(predictions.scores[b].mean() - outcomes.is_positive[b].mean()) for b in bins]
    evaluation = evaluate(outcomes, predictions, Reviewed(capacity=5), draws=2)
    assert evaluation.metrics["calibration_error"].value == pytest.approx(sum(gaps) / 1000, abs=1e-12)


def test_a_perfect_model_has_perfect_metrics() -> None:
    outcomes, _ = window(8, 500, 400, 2)
    margins = np.where(outcomes.is_positive, 30.0, -30.0)
    metrics = evaluate(
        outcomes, Predictions(margins, 1 / (1 + np.exp(-margins))), Reviewed(capacity=400), draws=20
    ).metrics
    for name in ("roc_auc", "average_precision", "recall_at_capacity", "value_recall_at_capacity"):
        assert (metrics[name].value, metrics[name].low, metrics[name].high) == (1.0, 1.0, 1.0)
    assert metrics["brier"].value == pytest.approx(0.0, abs=1e-12)
    assert metrics["calibration_error"].value == pytest.approx(0.0, abs=1e-12)


def test_evaluation_is_repeatable_and_states_its_size() -> None:
    outcomes, predictions = window(5, 800, 90, 3)
    first, second = (
        evaluate(outcomes, predictions, Reviewed(capacity=10)),
        evaluate(outcomes, predictions, Reviewed(capacity=10)),
    )
    assert first == second
    assert (first.rows, first.cards, first.days, first.capacity, first.draws) == (800, 90, 3, 10, 200)
    assert set(first.metrics) == {*RANKING_METRICS, *CAPACITY_METRICS, *PROBABILITY_METRICS}
    for interval in first.metrics.values():
        assert interval.low <= interval.high
    other = evaluate(outcomes, predictions, Reviewed(capacity=10), seed=1)
    assert other.metrics["roc_auc"].value == first.metrics["roc_auc"].value
    assert other.metrics["roc_auc"].low != first.metrics["roc_auc"].low


def test_a_block_of_draws_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, predictions = window(6, 400, 60, 3)
    whole = metric_draws(outcomes, predictions, Reviewed(capacity=10), draws=50)
    monkeypatch.setattr("lifecycle.modelling.evaluation.ELEMENTS_PER_BLOCK", 4000)
    for name, values in metric_draws(outcomes, predictions, Reviewed(capacity=10), draws=50).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12)


def test_a_paired_difference_is_narrower_than_two_intervals_and_zero_against_itself() -> None:
    outcomes, ours = window(7, 3000, 400, 3)
    noise = np.random.default_rng(1).normal(scale=0.3, size=len(outcomes))
    theirs = Predictions(ours.margins + noise, ours.scores)
    same = paired_difference(outcomes, ours, ours, Reviewed(capacity=10))
    assert all((d.value, d.low, d.high) == (0.0, 0.0, 0.0) for d in same.values())
    paired = paired_difference(outcomes, ours, theirs, Reviewed(capacity=10))["roc_auc"]
    alone = evaluate(outcomes, ours, Reviewed(capacity=10)).metrics["roc_auc"]
    assert paired.low < paired.value < paired.high
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        cards = np.arange(300)
        is_positive = np.arange(300) % 5 == 0
        margins = generator.normal(size=300) + is_positive
        outcomes = Outcomes(np.full(300, np.datetime64("2024-01-01", "us")), cards, np.ones(300), is_positive)
        interval = evaluate(
            outcomes, Predictions(margins, margins * 0 + 0.5), Reviewed(capacity=10), confidence=0.9
        ).metrics["roc_auc"]
        covered += interval.low <= 0.76025 <= interval.high  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    assert 46 <= covered <= 60


@pytest.mark.parametrize("fraud", [True, False])
def test_a_window_of_one_class_is_refused(fraud: bool) -> None:
    outcomes, predictions = window(1, 50, 5, 1)
    one = Outcomes(outcomes.occurred_at, outcomes.entity, outcomes.amount, np.full(50, fraud))
    with pytest.raises(LifecycleError, match="Expected positive and negative examples"):
        evaluate(one, predictions, Reviewed(capacity=5))


def test_arrays_of_different_length_are_refused() -> None:
    outcomes, predictions = window(1, 50, 5, 1)
    with pytest.raises(LifecycleError, match=r"got \[49, 50\]"):
        evaluate(outcomes, Predictions(predictions.margins[1:], predictions.scores), Reviewed(capacity=5))


def test_two_hundred_draws_on_sixty_thousand_rows_take_seconds() -> None:
    outcomes, predictions = window(2, 60_000, 5_000, 7)
    started = time.process_time()
    evaluate(outcomes, predictions, Reviewed(capacity=100))
    assert time.process_time() - started < 20


def test_curves_go_from_corner_to_corner_and_stay_small() -> None:
    outcomes, predictions = window(9, 5000, 100, 2)
    drawn = curves(outcomes, predictions)
    for points in (drawn.roc, drawn.precision_recall):
        first, second = points.values()
        assert len(first) == len(second) <= POINTS
    assert (drawn.roc["false_positive_rate"][0], drawn.roc["true_positive_rate"][-1]) == (0.0, 1.0)
    assert drawn.precision_recall["recall"][-1] == 1.0
    auc = np.trapezoid(drawn.roc["true_positive_rate"], drawn.roc["false_positive_rate"])
    assert auc == pytest.approx(roc_auc_score(outcomes.is_positive, predictions.margins), abs=0.005)
    assert sum(drawn.calibration["rows"]) == 5000
    assert sum(drawn.histogram["positive"]) == outcomes.is_positive.sum()
    assert sum(drawn.histogram["negative"]) + sum(drawn.histogram["positive"]) == 5000


@given(WINDOWS)
@settings(max_examples=30, deadline=None)
def test_gini_and_ks_are_those_of_scikit_learn_in_every_draw(case: tuple[Outcomes, Predictions]) -> None:
    outcomes, predictions = case
    drawn = metric_draws(outcomes, predictions, Reviewed(capacity=5), draws=5, seed=3)
    for draw, weights in enumerate(weights_of(outcomes, 5, 3)):
        if not 0 < weights[outcomes.is_positive].sum() < weights.sum():
            continue
        false_rate, true_rate, _ = roc_curve(outcomes.is_positive, predictions.margins, sample_weight=weights)
        assert drawn["ks"][draw] == pytest.approx((true_rate - false_rate).max(), abs=1e-12)
        assert drawn["gini"][draw] == 2 * drawn["roc_auc"][draw] - 1


@given(WINDOWS, st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_metrics_at_a_cut_off_are_those_of_scikit_learn_in_every_draw(
    case: tuple[Outcomes, Predictions], cut_off: float
) -> None:
    outcomes, predictions = case
    drawn = metric_draws(outcomes, predictions, Reviewed(cut_off=cut_off), draws=5, seed=3)
    assert [*drawn] == [*RANKING_METRICS, *CUT_OFF_METRICS, *PROBABILITY_METRICS]
    is_reviewed = predictions.scores >= cut_off
    for draw, weights in enumerate(weights_of(outcomes, 5, 3)):
        arguments: dict[str, Any] = {"sample_weight": weights, "zero_division": np.nan}
        precision = precision_score(outcomes.is_positive, is_reviewed, **arguments)
        recall = recall_score(outcomes.is_positive, is_reviewed, **arguments)
        assert drawn["precision_at_cut_off"][draw] == pytest.approx(precision, abs=1e-12, nan_ok=True)
        assert drawn["recall_at_cut_off"][draw] == pytest.approx(recall, abs=1e-12, nan_ok=True)


def test_examples_without_an_amount_have_no_recall_by_value() -> None:
    outcomes, predictions = window(5, 800, 90, 3)
    plain = dataclasses.replace(outcomes, amount=None)
    for reviewed in (Reviewed(capacity=10), Reviewed(cut_off=0.4)):
        with_amount, without = (evaluate(rows, predictions, reviewed, draws=5).metrics for rows in (outcomes, plain))
        assert [*without] == [name for name in with_amount if not name.startswith("value_recall")]
        assert all(without[name] == with_amount[name] for name in without)
