"""The decision bands stop few customers, and none for a low score."""

from collections.abc import Iterator
from dataclasses import dataclass

from lifecycle.gates.outcomes import outcome_of
from lifecycle.modelling.thresholds import BandCounts, Floors
from lifecycle.spec.decision import DecisionSpec
from serving.contract.documents import Bands, Verdict

NAME = "bounded_declines"
DESCRIPTION = "On the last days, the model's bands stop no more entities than allowed, and none for a low score."


@dataclass(frozen=True)
class Bounds:
    """Largest share of a day's entities that may be declined, and the days with examples that the bands need."""

    maximum_decline_share: float
    least_days: int


def bounded_declines(
    bands: Bands,
    counts: BandCounts,
    lowest: Floors,
    decision: DecisionSpec,
    bounds: Bounds,
) -> Verdict:
    """The bands of the candidate's deciding file, counted again on the last days of its training set.

    The share of entities is bounded whatever the capacity is: a capacity set for another population, or scores that do
    not separate, would otherwise stop everybody. It counts entities, not examples: a card with
    many payments is one customer. INCONCLUSIVE if the last days with examples are too few to cut the bands.

    Parameters
    ----------
    bands, counts, lowest
        The candidate's bands, what they do on the last days before ``as_of``, and the floors.
    """
    faults = list(_faults(bands, counts, lowest, decision, bounds))
    missing = list(_missing(counts, bounds))
    days, entity_days = max(counts.days, 1), max(counts.entity_days, 1)
    declined_share = counts.declined_entity_days / entity_days
    return Verdict.of(
        NAME,
        outcome_of(faults, missing),
        summary="; ".join(missing + faults)
        or f"{counts.declined_entity_days / days:.1f} entities a day declined ({declined_share:.2%} of the entities), "
        f"{counts.reviewed_entity_days / days:.1f} reviewed or declined",
        observed={
            "declined_entity_share": declined_share,
            "declined_entities_per_day": counts.declined_entity_days / days,
            "reviewed_entities_per_day": counts.reviewed_entity_days / days,
            "declined_example_share": counts.declined_examples / max(counts.examples, 1),
            "entities_per_day": counts.entity_days / days,
            "days": counts.days,
            "decline_from": bands.decline_from,
            "review_from": bands.review_from,
        },
        required={
            "maximum_decline_share": bounds.maximum_decline_share,
            "decline_entities_per_day": decision.decline_capacity,
            "review_entities_per_day": decision.review_capacity,
            "days": bounds.least_days,
            "decline_floor": lowest.decline,
            "review_floor": lowest.review,
        },
    )


def _missing(counts: BandCounts, bounds: Bounds) -> Iterator[str]:
    if counts.days < bounds.least_days:
        yield f"examples on {counts.days} of the last days, where {bounds.least_days} are needed to cut the bands"


def _faults(
    bands: Bands,
    counts: BandCounts,
    lowest: Floors,
    decision: DecisionSpec,
    bounds: Bounds,
) -> Iterator[str]:
    if bands.review_from is None or not bands.review_from >= lowest.review:
        yield f"review from {bands.review_from}, below the floor {lowest.review:.4f}"
    if bands.decline_from is not None and not bands.decline_from >= lowest.decline:
        yield f"decline from {bands.decline_from}, below the floor {lowest.decline:.4f}"
    share = counts.declined_entity_days / max(counts.entity_days, 1)
    if share > bounds.maximum_decline_share:
        yield f"{share:.2%} of the entities declined, above {bounds.maximum_decline_share:.2%}"
    if decision.capacity is None:
        return
    for word, entity_days, capacity in (
        ("declined", counts.declined_entity_days, decision.capacity.decline or 0),
        ("reviewed or declined", counts.reviewed_entity_days, decision.capacity.review),
    ):
        if entity_days > capacity * counts.days:
            yield f"{entity_days / counts.days:.1f} entities a day {word}, above {capacity}"
