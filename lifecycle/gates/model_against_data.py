"""What the data say about a model's file before anything is trained: windows, capacity, features without content."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from lifecycle.modelling.splits import snapshot_days
from lifecycle.spec.risk_model import RiskModelSpec


@dataclass(frozen=True)
class FeatureProfile:
    """Rows of one feature: nulls, rows outside its range or categories, and whether all values are the same."""

    name: str
    nulls: int
    outside: int
    is_constant: bool


@dataclass(frozen=True)
class OutcomeProfile:
    """Outcomes in a column of the mart: rows that have one, how many are positive, and how many are impossible.

    `known` have an outcome and the time at which it became known; `undated` have an outcome only, so that no training
    reads it; `early` were known before their event.
    """

    known: int
    positives: int
    undated: int
    early: int


@dataclass(frozen=True)
class MartProfile:
    """Rows of a mart, their first and last day, the entities of a day on average, and each feature.

    `repeated_ids` are the rows beyond the first of their id; `outcomes` is ``None`` for labels by report.
    """

    rows: int
    first_day: dt.date
    last_day: dt.date
    entities_a_day: float
    features: tuple[FeatureProfile, ...]
    repeated_ids: int = 0
    outcomes: OutcomeProfile | None = None


def data_faults(spec: RiskModelSpec, profile: MartProfile) -> list[str]:
    """Each fault with its key, as ``at `key```: expected, got, remedy."""
    return [
        *_id_fault(spec, profile),
        *_window_fault(spec, profile),
        *_capacity_fault(spec, profile),
        *_outcome_faults(spec, profile),
        *_feature_faults(spec, profile),
    ]


def _id_fault(spec: RiskModelSpec, profile: MartProfile) -> Iterator[str]:
    if profile.repeated_ids:
        yield (
            f"Expected each {spec.columns.id} once, got {profile.repeated_ids} rows of {spec.mart} with that of "
            "another; one row is one example - at `examples.columns.id`"
        )


def _outcome_faults(spec: RiskModelSpec, profile: MartProfile) -> Iterator[str]:
    found, label = profile.outcomes, spec.label
    if found is None:
        return
    if found.undated:
        yield (
            f"Expected {label.known_at} of each row with {label.column}, got none in {found.undated} rows of "
            f"{spec.mart}, which no training reads - at `label.known_at`"
        )
    if found.early:
        yield (
            f"Expected outcomes that became known after their event, got {found.early} rows of {spec.mart} with "
            f"{label.known_at} before {spec.columns.occurred_at} - at `label.known_at`"
        )
    if found.positives in {0, found.known}:
        yield (
            f"Expected examples of both outcomes, got {found.positives} of {label.names.positive} among the "
            f"{found.known} known ones of {spec.mart} - at `label.column`"
        )


def _window_fault(spec: RiskModelSpec, profile: MartProfile) -> Iterator[str]:
    as_of = profile.last_day + dt.timedelta(days=1)
    start, _ = snapshot_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)
    if start < profile.first_day:
        missing = (profile.first_day - start).days
        yield (
            f"Expected examples from {start} on for windows up to {as_of}, the first of {spec.mart} is of "
            f"{profile.first_day}; load {missing} more days, or shorten a window - at `training.train`"
        )


def _capacity_fault(spec: RiskModelSpec, profile: MartProfile) -> Iterator[str]:
    capacity = spec.decision.review_capacity
    if capacity is not None and capacity >= profile.entities_a_day:
        yield (
            f"Expected a capacity below the {profile.entities_a_day:.0f} entities of a day, got {capacity}: people "
            "could look at all of them, and no model would be needed - at `decision.capacity.review`"
        )


def _feature_faults(spec: RiskModelSpec, profile: MartProfile) -> Iterator[str]:
    for index, (feature, found) in enumerate(zip(spec.features, profile.features, strict=True)):
        place = f"at `features.{index}.name`"
        if found.nulls == profile.rows:
            yield f"Expected values of {feature.name!r}, got nulls only in {profile.rows} rows of {spec.mart} - {place}"
        elif found.nulls and not feature.is_nullable:
            yield (
                f"Expected no null of {feature.name!r}, got {found.nulls} in {profile.rows} rows of {spec.mart}; fill "
                f"them in the mart, or set is_nullable - {place}"
            )
        if found.is_constant:
            yield f"Expected values of {feature.name!r} that differ, got the same in all rows of {spec.mart} - {place}"
        if found.outside:
            allowed = "categories" if feature.dtype == "category" else "range"
            yield (
                f"Expected values of {feature.name!r} within its {allowed}, got {found.outside} rows of {spec.mart} "
                f"outside - {place}"
            )
