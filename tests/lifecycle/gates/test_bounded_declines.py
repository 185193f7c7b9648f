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
    days=7,
    examples=14_000,
    entity_days=7_000,
    reviewed_entity_days=700,
    declined_entity_days=140,
    declined_examples=280,
)
FLOORS = Floors(review=0.02, decline=0.5)


@pytest.mark.parametrize(
    ("bands", "changes", "fault"),
    [
        (BANDS, {}, None),
        (BANDS, {"declined_entity_days": 0, "reviewed_entity_days": 0}, None),
        (Bands(review_from=0.2), {"declined_entity_days": 0}, None),
        (BANDS, {"declined_entity_days": 141}, "2.01% of the entities declined, above 2.00%"),
        (BANDS, {"declined_entity_days": 141}, "20.1 entities a day declined, above 20"),
        (BANDS, {"entity_days": 700, "reviewed_entity_days": 350}, "20.00% of the entities declined, above 2.00%"),
        (BANDS, {"reviewed_entity_days": 701}, "100.1 entities a day reviewed or declined, above 100"),
        (BANDS, {"days": 6}, "examples on 6 of the last days, where 7"),
        (
            BANDS,
            dict.fromkeys(("days", "examples", "entity_days"), 0),
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
    assert verdict.summary == "20.0 entities a day declined (2.00% of the entities), 100.0 reviewed or declined"
    assert verdict.observed == {
        "declined_entity_share": 0.02, "declined_entities_per_day": 20.0, "reviewed_entities_per_day": 100.0,
        "declined_example_share": 0.02, "entities_per_day": 1000.0, "days": 7, "decline_from": 0.8, "review_from": 0.2,
    }  # fmt: skip
    assert verdict.required == {
        "maximum_decline_share": 0.02, "decline_entities_per_day": 20, "review_entities_per_day": 100, "days": 7,
        "decline_floor": 0.5, "review_floor": 0.02,
    }  # fmt: skip


def test_the_share_is_the_specifications() -> None:
    wide = Bounds(0.5, 7)
    counts = dataclasses.replace(COUNTS, entity_days=700, reviewed_entity_days=350)
    assert bounded_declines(BANDS, counts, FLOORS, DECISION, wide).is_passed
