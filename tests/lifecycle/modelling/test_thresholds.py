import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.thresholds import bands_from_capacity
from lifecycle.spec.risk_model import DecisionSpec
from lifecycle.tables.arrays import FloatArray


def traffic(seed: int, rows: int, cards: int, days: int) -> tuple[Outcomes, FloatArray]:
    generator = np.random.default_rng(seed)
    occurred = np.datetime64("2024-01-01", "us") + generator.integers(0, days * 24, rows).astype("timedelta64[h]")
    occurred[:days] = np.datetime64("2024-01-01", "us") + np.arange(days).astype("timedelta64[D]")
    outcomes = Outcomes(occurred, generator.integers(0, cards, rows), np.ones(rows), np.zeros(rows, dtype=np.bool_))
    return outcomes, generator.random(rows)


def cards_reaching(outcomes: Outcomes, scores: FloatArray, threshold: float) -> float:
    days = outcomes.occurred_at.astype("datetime64[D]")
    reached = {
        (day, card) for day, card, score in zip(days, outcomes.entity, scores, strict=True) if score >= threshold
    }
    return len(reached) / len(np.unique(days))


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(50, 400),
    cards=st.integers(5, 80),
    days=st.integers(1, 5),
    decline=st.integers(1, 3),
    more=st.integers(1, 30),
    decimals=st.sampled_from([1, 15]),
)
@settings(max_examples=40, deadline=None)
def test_on_average_no_more_cards_than_the_capacity_reach_a_threshold(
    seed: int, rows: int, cards: int, days: int, decline: int, more: int, decimals: int
) -> None:
    outcomes, scores = traffic(seed, rows, cards, days)
    scores = np.round(scores, decimals)
    review = decline + more
    bands = bands_from_capacity(
        outcomes, scores, DecisionSpec(review_cards_per_day=review, decline_cards_per_day=decline)
    )
    assert bands.review_from is not None
    assert bands.decline_from is not None
    assert bands.review_from <= bands.decline_from <= np.nextafter(1.0, 2.0)
    for threshold, capacity in ((bands.review_from, review), (bands.decline_from, decline)):
        reached = cards_reaching(outcomes, scores, threshold)
        assert threshold == 0.0 or reached <= capacity
        if threshold > 0.0 and decimals > 1:
            assert reached == pytest.approx(capacity)


def test_a_capacity_above_all_cards_reviews_everything_and_no_decline_band_is_none() -> None:
    outcomes, scores = traffic(1, 60, 5, 2)
    bands = bands_from_capacity(outcomes, scores, DecisionSpec(review_cards_per_day=500))
    assert (bands.review_from, bands.decline_from) == (0.0, None)


def test_one_score_for_all_reaches_no_threshold_as_people_could_not_look_at_all() -> None:
    outcomes, scores = traffic(1, 60, 30, 2)
    bands = bands_from_capacity(outcomes, np.full(len(scores), 0.5), DecisionSpec(review_cards_per_day=3))
    assert bands.review_from is not None
    assert bands.review_from > 0.5
