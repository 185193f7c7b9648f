"""What decisions cost."""

import numpy as np
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.decision_costs import cost_difference, costs_of, costs_of_approving_all
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.thresholds import Traffic, decision_bands
from lifecycle.spec.decision import CostsSpec, DecisionSpec
from serving.contract.documents import Bands

TIMES = np.datetime64("2024-01-01", "us") + np.arange(6).astype("timedelta64[h]")
IS_EVENT = np.array([True, False, True, False, True, False])
AMOUNTS = np.array([70.0, 10.0, 20.0, 30.0, 40.0, 50.0])
OUTCOMES = Outcomes(TIMES, np.arange(6), AMOUNTS, IS_EVENT)
SCORES = np.array([0.1, 0.1, 0.5, 0.5, 0.9, 0.9])
BANDS = Bands(review_from=0.3, decline_from=0.8)


def test_each_decision_costs_what_the_file_says() -> None:
    costs = CostsSpec(review=5, wrong_decline=20, missed=100)
    assert costs_of(OUTCOMES, SCORES, BANDS, costs).tolist() == [100, 0, 5, 5, 0, 20]
    assert costs_of_approving_all(OUTCOMES, costs).tolist() == [100, 0, 100, 0, 100, 0]


def test_a_missed_event_may_cost_its_own_amount() -> None:
    costs = CostsSpec(review=5, wrong_decline=20, missed="amount")
    assert costs_of(OUTCOMES, SCORES, BANDS, costs).tolist() == [70, 0, 5, 5, 0, 20]
    without = Outcomes(TIMES, np.arange(6), None, IS_EVENT)
    with pytest.raises(LifecycleError, match="Expected an amount of each example, got none"):
        costs_of(without, SCORES, BANDS, costs)


def test_the_interval_of_rows_that_are_clusters_of_their_own_is_that_of_a_mean() -> None:
    found = cost_difference(OUTCOMES, np.array([1.0, 2, 3, 4, 5, 6]), np.zeros(6), 0.95)
    half = (found.high - found.low) / 2
    assert found.value == 3.5
    deviation = np.std([1, 2, 3, 4, 5, 6], ddof=1) / 6**0.5
    assert deviation * 1.96 < half < deviation * 4.4


def test_the_cut_offs_of_the_costs_are_the_cheapest_decision_of_every_score() -> None:
    """Against the least of the three expected costs, on a grid of scores and costs."""
    generator = np.random.default_rng(1)
    scores = np.linspace(0.0005, 0.9995, 1000)
    checked = 0
    for _ in range(200):
        review, wrong_decline, missed = generator.uniform(1, 10), generator.uniform(5, 100), generator.uniform(20, 500)
        if not 0 < review / missed < 1 - review / wrong_decline:
            continue
        spec = DecisionSpec(costs=CostsSpec(review=review, wrong_decline=wrong_decline, missed=missed))
        bands = decision_bands(Traffic(TIMES, np.arange(6), SCORES), spec, 0.5)
        expected = np.stack([scores * missed, np.full(1000, review), (1 - scores) * wrong_decline])
        assert bands.review_from is not None
        assert bands.decline_from is not None
        decided = (scores >= bands.review_from).astype(int) + (scores >= bands.decline_from)
        assert (expected[decided, np.arange(1000)] <= expected.min(axis=0) + 1e-9).all()
        checked += 1
    assert checked > 100


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"costs": {"review": 5, "wrong_decline": 20, "missed": "amount"}}, "costs by amount"),
        (
            {"costs": {"review": 30, "wrong_decline": 20, "missed": 100}},
            "some score is reviewed: review / missed = 0.3",
        ),
        ({}, "Expected one of `capacity` and `review_from`, or `costs`"),
        ({"costs": {"review": 0, "wrong_decline": 20, "missed": 100}}, "greater than 0"),
        ({"costs": {"review": 1, "wrong_decline": 20, "missed": 100}, "decline_from": 0.5}, "`decline_from`"),
    ],
)
def test_costs_that_decide_nothing_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecisionSpec.model_validate(keys)


def test_a_capacity_decides_beside_costs() -> None:
    spec = DecisionSpec.model_validate(
        {"capacity": {"review": 10}, "costs": {"review": 5, "wrong_decline": 20, "missed": "amount"}}
    )
    assert spec.review_capacity == 10
    assert spec.review_cut_off is None
