import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LifecycleError
from lifecycle.modelling.thresholds import Traffic, count_bands, decision_bands, floors
from lifecycle.spec.decision import CapacitySpec, DecisionSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Bands

BASE_RATE = 0.01


def traffic(seed: int, rows: int, cards: int, days: int) -> Traffic:
    generator = np.random.default_rng(seed)
    occurred = np.datetime64("2024-01-01", "us") + generator.integers(0, days * 24, rows).astype("timedelta64[h]")
    occurred[:days] = np.datetime64("2024-01-01", "us") + np.arange(days).astype("timedelta64[D]")
    return Traffic(occurred, generator.integers(0, cards, rows), generator.random(rows))


def scored(payments: Traffic, scores: FloatArray) -> Traffic:
    return Traffic(payments.occurred_at, payments.entity, scores)


def cards_reaching(payments: Traffic, threshold: float) -> float:
    days = payments.occurred_at.astype("datetime64[D]")
    reached = {
        (day, card)
        for day, card, score in zip(days, payments.entity, payments.scores, strict=True)
        if score >= threshold
    }
    return len(reached) / len(np.unique(days))


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(5, 400),
    cards=st.integers(1, 80),
    days=st.integers(1, 5),
    decline=st.integers(1, 3),
    more=st.integers(1, 30),
    decimals=st.sampled_from([0, 1, 15]),
    base_rate=st.floats(1e-6, 0.9),
    minimum=st.floats(0.01, 0.99),
    scale=st.sampled_from([1.0, 0.3, 0.01]),
)
@settings(max_examples=80, deadline=None)
def test_no_band_lets_more_cards_through_than_the_capacity_or_a_score_below_its_floor(
    seed: int, rows: int, cards: int, days: int, decline: int, more: int, decimals: int,
    base_rate: float, minimum: float, scale: float,
) -> None:  # fmt: skip
    payments = traffic(seed, rows, cards, days)
    payments = scored(payments, np.round(payments.scores, decimals) * scale)
    decision = DecisionSpec(
        capacity=CapacitySpec(review=decline + more, decline=decline), minimum_decline_score=minimum
    )
    bands, lowest = decision_bands(payments, decision, base_rate), floors(decision, base_rate)
    assert bands.review_from is not None
    assert bands.decline_from is not None
    assert bands.review_from <= bands.decline_from <= np.nextafter(1.0, 2.0)
    assert bands.review_from >= lowest.review > base_rate
    assert bands.decline_from >= lowest.decline >= minimum
    for threshold, capacity in ((bands.review_from, decline + more), (bands.decline_from, decline)):
        reached = cards_reaching(payments, threshold)
        assert reached <= capacity
        if threshold not in {lowest.review, lowest.decline} and decimals == 15:
            assert reached == pytest.approx(capacity)


def test_a_capacity_above_all_cards_stops_nobody_whose_score_is_low() -> None:
    payments = traffic(1, 60, 5, 2)
    payments = scored(payments, payments.scores / 100)
    decision = DecisionSpec(capacity=CapacitySpec(review=500, decline=400))
    bands = decision_bands(payments, decision, BASE_RATE)
    assert bands.review_from == pytest.approx(0.02 / 1.01)
    assert bands.decline_from == 0.5
    assert count_bands(payments, bands).declined_entity_days == 0


def test_without_a_decline_capacity_there_is_no_decline_band() -> None:
    bands = decision_bands(traffic(1, 60, 5, 2), DecisionSpec(capacity=CapacitySpec(review=500)), BASE_RATE)
    assert bands.decline_from is None


@pytest.mark.parametrize("score", [0.001, 0.5, 1.0])
def test_one_score_for_all_reaches_no_threshold_as_people_could_not_look_at_all(score: float) -> None:
    payments = traffic(1, 60, 30, 2)
    payments = scored(payments, np.full(len(payments), score))
    decision = DecisionSpec(capacity=CapacitySpec(review=3, decline=1))
    bands = decision_bands(payments, decision, BASE_RATE)
    counts = count_bands(payments, bands)
    assert (counts.reviewed_entity_days, counts.declined_entity_days) == (0, 0)


def test_a_tie_at_the_cut_is_left_to_the_next_higher_score() -> None:
    day = np.full(6, np.datetime64("2024-01-01", "us"))
    payments = Traffic(day, np.arange(6), np.array([0.9, 0.8, 0.8, 0.8, 0.7, 0.6]))
    decision = DecisionSpec(capacity=CapacitySpec(review=5, decline=2))
    assert decision_bands(payments, decision, BASE_RATE) == Bands(review_from=0.7, decline_from=0.9)


def test_no_traffic_gives_no_bands() -> None:
    empty = Traffic(np.array([], "datetime64[us]"), np.array([], np.int64), np.array([]))
    with pytest.raises(LifecycleError, match="Expected examples to cut the decision bands on, got none"):
        decision_bands(empty, DecisionSpec(capacity=CapacitySpec(review=3)), BASE_RATE)


def test_one_day_has_the_capacity_of_one_day() -> None:
    payments = traffic(1, 60, 40, 1)
    bands = decision_bands(payments, DecisionSpec(capacity=CapacitySpec(review=4)), BASE_RATE)
    assert count_bands(payments, bands).reviewed_entity_days == 4


@pytest.mark.parametrize(
    ("base_rate", "lift", "review", "decline"),
    [(0.01, 2.0, 0.0198, 0.5), (0.6, 2.0, 0.75, 0.75), (0.999, 5.0, 0.9998, 0.9998), (0.01, 1.0, 0.01, 0.5)],
)
def test_floors_follow_the_odds_and_stay_below_one(
    base_rate: float, lift: float, review: float, decline: float
) -> None:
    lowest = floors(DecisionSpec(capacity=CapacitySpec(review=1), minimum_review_lift=lift), base_rate)
    assert lowest.review == pytest.approx(review, abs=1e-4)
    assert lowest.decline == pytest.approx(decline, abs=1e-4)
    assert lowest.review < 1


@pytest.mark.parametrize("base_rate", [0.0, 1.0, float("nan")])
def test_a_base_rate_without_both_outcomes_is_refused(base_rate: float) -> None:
    with pytest.raises(ValueError, match="Expected a base rate between 0 and 1"):
        floors(DecisionSpec(capacity=CapacitySpec(review=1)), base_rate)


def test_a_card_counts_once_a_day_and_a_declined_one_is_a_reviewed_one() -> None:
    days = np.array(["2024-01-01", "2024-01-01", "2024-01-01", "2024-01-02"], "datetime64[us]")
    payments = Traffic(days, np.array([1, 1, 2, 1]), np.array([0.9, 0.4, 0.4, 0.9]))
    counts = count_bands(payments, Bands(review_from=0.3, decline_from=0.8))
    assert (counts.days, counts.examples, counts.entity_days) == (2, 4, 3)
    assert (counts.reviewed_entity_days, counts.declined_entity_days, counts.declined_examples) == (3, 2, 2)
    assert count_bands(payments, Bands(review_from=None)).reviewed_entity_days == 0
