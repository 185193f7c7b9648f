"""Influences against numerical derivatives of the metrics that the bootstrap computes, and clustered variances."""

import numpy as np
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.clusters import clustered_interval, clustered_variance, clusterings
from lifecycle.modelling.evaluation import Predictions, Reviewed, evaluate, metric_draws
from lifecycle.modelling.fold_evidence import FoldDifference, fold_difference, pooled_interval
from lifecycle.modelling.influence import differences, influence_of, influences
from lifecycle.modelling.ranking import Outcomes
from lifecycle.tables.arrays import FloatArray

COPIES = 400


def window(rows: int = 300, seed: int = 1, cards: int = 90, digits: int = 1) -> tuple[Outcomes, Predictions]:
    generator = np.random.default_rng(seed)
    is_positive = generator.random(rows) < 0.15
    margins = np.round(generator.normal(size=rows) + 1.5 * is_positive, digits).astype(np.float64)
    seconds = np.sort(generator.integers(0, 7 * 86_400, rows)).astype("timedelta64[s]")
    occurred_at = np.datetime64("2018-08-01", "us") + seconds
    outcomes = Outcomes(occurred_at, generator.integers(0, cards, rows), None, is_positive)
    return outcomes, Predictions(margins, 1 / (1 + np.exp(2 - margins)))


def with_copies_of(row: int, outcomes: Outcomes, scored: Predictions) -> tuple[Outcomes, Predictions]:
    """Each row `COPIES` times, and one of them once more: its weight is 1 + 1 / COPIES."""
    index = np.append(np.repeat(np.arange(len(outcomes)), COPIES), row)
    return outcomes.rows(index), Predictions(scored.margins[index], scored.scores[index])


@pytest.mark.parametrize("digits", [1, 9], ids=["ties", "no ties"])
@pytest.mark.parametrize("row", [0, 7, 41, 99, 150, 222, 299])
def test_an_influence_is_the_derivative_of_the_metric(row: int, digits: int) -> None:
    outcomes, scored = window(digits=digits)
    reviewed = Reviewed(cut_off=0.3)
    found = influences(outcomes, scored, reviewed)
    before = metric_draws(outcomes, scored, reviewed, draws=0)
    after = metric_draws(*with_copies_of(row, outcomes, scored), reviewed, draws=0)
    for name, values in found.items():
        derivative = (after[name][0] - before[name][0]) * COPIES
        assert derivative == pytest.approx(values[row], rel=0.02, abs=1e-5), name


@pytest.mark.parametrize("reviewed", [Reviewed(capacity=5), Reviewed(cut_off=0.3)], ids=["capacity", "cut-off"])
def test_influences_sum_to_zero_and_one_alone_is_the_same(reviewed: Reviewed) -> None:
    outcomes, scored = window()
    found = influences(outcomes, scored, reviewed)
    assert {"roc_auc", "gini", "ks", "average_precision", "brier", *reviewed.metrics[:2]} == set(found)
    for name, values in found.items():
        assert abs(values.sum()) < 1e-12
        assert np.array_equal(influence_of(name, outcomes, scored, reviewed), values)


def test_at_a_capacity_the_variance_is_that_of_the_bootstrap() -> None:
    outcomes, scored = window(rows=6000, cards=3000, digits=9)
    reviewed = Reviewed(capacity=60)
    found = influences(outcomes, scored, reviewed)
    drawn = evaluate(outcomes, scored, reviewed, draws=400).metrics
    clusters = clusterings([outcomes.entity])
    error = {name: clustered_variance(values, clusters).variance ** 0.5 for name, values in found.items()}
    width = {name: (interval.high - interval.low) / 3.92 for name, interval in drawn.items()}
    for name in ("average_precision", "roc_auc", "recall_at_capacity", "brier"):
        assert error[name] == pytest.approx(width[name], rel=0.2)
    # A card that was found makes room for another one, which the selection as observed does not know.
    assert error["card_precision"] == pytest.approx(width["card_precision"], rel=0.1)


def test_a_window_of_one_class_has_no_influence() -> None:
    outcomes, scored = window()
    one = np.flatnonzero(outcomes.is_positive)
    with pytest.raises(LifecycleError, match="Expected positive and negative"):
        influences(outcomes.rows(one), Predictions(scored.margins[one], scored.scores[one]), Reviewed(capacity=5))


def by_hand(values: FloatArray, *columns: list[int]) -> float:
    """The variance by one set of columns, summed cluster by cluster."""
    sums: dict[tuple[int, ...], float] = {}
    for value, *key in zip(values.tolist(), *columns, strict=True):
        sums[tuple(key)] = sums.get(tuple(key), 0.0) + value
    return sum(value**2 for value in sums.values()) * len(sums) / (len(sums) - 1)


def test_two_ways_add_and_their_intersection_is_subtracted() -> None:
    values = np.array([0.3, -0.1, 0.2, -0.4, 0.1, -0.1])
    card, terminal = [1, 1, 2, 2, 3, 3], [7, 8, 7, 7, 8, 9]
    found = clustered_variance(values, clusterings([np.array(card), np.array(terminal)]))
    total = by_hand(values, card) + by_hand(values, terminal) - by_hand(values, card, terminal)
    assert found.variance == pytest.approx(max(total, by_hand(values, card), by_hand(values, terminal)), abs=1e-15)


def test_a_second_way_never_narrows_an_interval_and_the_same_way_twice_is_that_way() -> None:
    outcomes, scored = window()
    values = influence_of("average_precision", outcomes, scored, Reviewed(capacity=5))
    one = clustered_variance(values, clusterings([outcomes.entity]))
    twice = clustered_variance(values, clusterings([outcomes.entity, outcomes.entity]))
    assert twice.variance == pytest.approx(one.variance)
    other = clustered_variance(values, clusterings([outcomes.entity, np.arange(len(values)) % 20]))
    assert other.variance >= one.variance
    assert other.degrees <= one.degrees


def test_a_few_clusters_with_most_of_the_influence_widen_the_interval() -> None:
    even, uneven = np.tile([0.1, -0.1], 50), np.concatenate([[0.7, -0.7], np.tile([0.01, -0.01], 49)])
    clusters = clusterings([np.arange(100)])
    widths = []
    for values in (even, uneven):
        scaled = values / np.sqrt((values**2).sum())
        interval = clustered_interval(0.0, scaled, clusters, 0.95)
        widths.append(interval.high - interval.low)
    assert widths[1] > 1.1 * widths[0]


def test_without_a_way_of_clustering_and_with_one_cluster_there_is_no_interval() -> None:
    with pytest.raises(LifecycleError, match="Expected at least one column of clusters"):
        clusterings([])
    interval = clustered_interval(0.1, np.array([0.1, -0.1]), clusterings([np.zeros(2)]), 0.95)
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)


def test_two_models_that_rank_alike_do_not_differ() -> None:
    outcomes, scored = window()
    found = differences(*[influences(outcomes, scored, Reviewed(capacity=5))] * 2)
    assert all(not values.any() for values in found.values())


def test_folds_are_weighted_by_their_events_and_share_their_clusters() -> None:
    values = np.array([0.2, -0.2])
    cards = np.array([1, 2])
    folds = [FoldDifference(0.1, values, (cards,), 300), FoldDifference(-0.1, values, (cards,), 100)]
    pooled = pooled_interval(folds, 0.95)
    assert pooled.value == pytest.approx(0.05)
    alone = pooled_interval([FoldDifference(0.05, values, (cards,), 1)], 0.95)
    assert pooled.high - pooled.low == pytest.approx(alone.high - alone.low)
    apart = pooled_interval([folds[0], FoldDifference(-0.1, values, (cards + 10,), 100)], 0.95)
    assert apart.high - apart.low < pooled.high - pooled.low


def test_more_folds_narrow_the_interval_of_two_models() -> None:
    folds = []
    for seed in range(4):
        outcomes, ours = window(rows=2000, seed=seed, cards=700, digits=9)
        noise = np.random.default_rng(seed).normal(size=2000)
        theirs = Predictions(ours.margins + 0.3 * noise, ours.scores)
        ways = (outcomes.entity, np.arange(2000) % 300)
        folds.append(fold_difference(outcomes, ours, theirs, Reviewed(capacity=20), "average_precision", ways))
    widths = [pooled.high - pooled.low for pooled in (pooled_interval(folds[:count], 0.95) for count in (1, 4))]
    assert widths[1] < 0.7 * widths[0]
