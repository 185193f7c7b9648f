import dataclasses

import pytest

from lifecycle.gates.candidate_gates.bounded_declines import NAME, Bounds, bounded_declines
from lifecycle.modelling.thresholds import BandCounts, Floors
from lifecycle.spec.decision import CapacitySpec, DecisionSpec
from serving.contract.documents import Bands

BANDS = Bands(review_from=0.2, decline_from=0.8)
DECISION = DecisionSpec(capacity=CapacitySpec(review=100, decline=20))
BOUNDS = Bounds(0.02, 7)
COUNTS = BandCounts(
    days=7, payments=14_000, card_days=7_000, reviewed_card_days=700, declined_card_days=140, declined_payments=280
)
FLOORS = Floors(review=0.02, decline=0.5)


@pytest.mark.parametrize(
    ("bands", "changes", "fault"),
    [
        (BANDS, {}, None),
        (BANDS, {"declined_card_days": 0, "reviewed_card_days": 0}, None),
        (Bands(review_from=0.2), {"declined_card_days": 0}, None),
        (BANDS, {"declined_card_days": 141}, "2.01% of the cards declined, above 2.00%"),
        (BANDS, {"declined_card_days": 141}, "20.1 cards a day declined, above 20"),
        (BANDS, {"card_days": 700, "reviewed_card_days": 350}, "20.00% of the cards declined, above 2.00%"),
        (BANDS, {"reviewed_card_days": 701}, "100.1 cards a day reviewed or declined, above 100"),
        (BANDS, {"days": 6}, "examples on 6 of the last days, where 7"),
        (
            BANDS,
            dict.fromkeys(("days", "payments", "card_days"), 0),
            "examples on 0 of the last days, where 7",
        ),
        (Bands(review_from=0.01, decline_from=0.8), {}, "review from 0.01, below the floor 0.0200"),
        (Bands(review_from=0.2, decline_from=0.4), {}, "decline from 0.4, below the floor 0.5000"),
        (Bands(review_from=0.2, decline_from=0.0), {}, "decline from 0.0, below the floor 0.5000"),
        (Bands(review_from=0.2, decline_from=float("nan")), {}, "decline from nan, below the floor"),
        (Bands(review_from=None, decline_from=0.8), {}, "review from None, below the floor"),
    ],
)
def test_bounded_declines(bands: Bands, changes: dict[str, int], fault: str | None) -> None:
    counts = dataclasses.replace(COUNTS, **changes)
    if not counts.days:
        counts = BandCounts(0, 0, 0, 0, 0, 0)
    verdict = bounded_declines(bands, counts, FLOORS, DECISION, BOUNDS)
    assert verdict.gate == NAME
    assert verdict.is_passed == (fault is None)
    assert (fault or "reviewed or declined") in verdict.summary


def test_the_verdict_shows_the_numbers_that_it_compares() -> None:
    verdict = bounded_declines(BANDS, COUNTS, FLOORS, DECISION, BOUNDS)
    assert verdict.summary == "20.0 cards a day declined (2.00% of the cards), 100.0 reviewed or declined"
    assert verdict.observed == {
        "declined_card_share": 0.02, "declined_cards_per_day": 20.0, "reviewed_cards_per_day": 100.0,
        "declined_payment_share": 0.02, "cards_per_day": 1000.0, "days": 7, "decline_from": 0.8, "review_from": 0.2,
    }  # fmt: skip
    assert verdict.required == {
        "maximum_decline_share": 0.02, "decline_cards_per_day": 20, "review_cards_per_day": 100, "days": 7,
        "decline_floor": 0.5, "review_floor": 0.02,
    }  # fmt: skip


def test_the_share_is_the_specifications() -> None:
    wide = Bounds(0.5, 7)
    counts = dataclasses.replace(COUNTS, card_days=700, reviewed_card_days=350)
    assert bounded_declines(BANDS, counts, FLOORS, DECISION, wide).is_passed
