"""The part of a model's file that says how its decisions are compared by group, and the profiles of jurisdictions."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Sentence, Share, SpecModel

ProfileName = Literal["us_ecoa", "eu", "none"]
Difference = Annotated[float, Field(gt=0, lt=1)]


class ProtectedSpec(SpecModel):
    """Attributes that may never be an input; or why the model has no data on them."""

    relation: str | None = None
    """Table of the attributes by entity, in the schema `protected`."""
    columns: tuple[str, ...] = ()
    none: Sentence | None = None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.relation is None) == (self.none is None) or (self.relation is None) != (not self.columns):
            raise ValueError("Expected `relation` with `columns`, or `none` with a reason")
        return self


class FairnessLimits(SpecModel):
    """Limits of the gate `fair_by_group`; a measure without one is shown and blocks nothing."""

    minimum_impact_ratio: Share | None = None
    """Adverse impact ratio: a group's rate of favourable decisions through that of the group with the highest one.
    Four fifths: Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D."""
    maximum_opportunity_difference: Difference | None = None
    """Equal-opportunity difference: by how much more often people without the event are stopped in one group than in
    another. Hardt, Price and Srebro, Equality of Opportunity in Supervised Learning (2016), whose advantaged outcome
    is the absence of our event; 0.1 is the fair range of Bellamy et al., AI Fairness 360 (2018)."""
    maximum_calibration_shift: Difference | None = None
    """By what share a group's events through expected events may differ from that of all rows. No source sets a
    number; 0.25 is ours: a group whose risk is overstated by a quarter pays for others."""


PROFILES: dict[ProfileName, FairnessLimits] = {
    "us_ecoa": FairnessLimits(
        minimum_impact_ratio=0.8, maximum_opportunity_difference=0.1, maximum_calibration_shift=0.25
    ),
    "eu": FairnessLimits(maximum_opportunity_difference=0.1, maximum_calibration_shift=0.25),
    "none": FairnessLimits(),
}
"""Which limits apply where. *us_ecoa*: Regulation B, 12 CFR 1002.4 and the effects test of 1002.6 (a). *eu*: Regulation
(EU) 2024/1689, article 10 (2) (f) and (g), demands that biases are examined and sets no ratio: the ratio is shown only.
*none*: everything is shown, nothing blocks."""


class FairnessSpec(FairnessLimits):
    """How decisions are compared by group; a limit that is given replaces the profile's."""

    profile: ProfileName = "us_ecoa"
    intersections: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    """Protected columns whose combinations are groups, too."""
    minimum_rows: Annotated[int, Field(ge=1)] = 300
    minimum_events: Annotated[int, Field(ge=1)] = 30
    """A smaller group is not judged: its verdict is inconclusive."""
    minimum_group_share: Share = 0.02
    """A group below this share of the rows that cannot be judged is shown and holds nothing up: 29 CFR 1607.15 A (2)
    (a) asks for no determination of groups below 2 %."""
    maximum_missing_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Largest share of the rows whose attribute is unknown; with more, the known ones may not speak for the rest."""
    champion_margin: Difference = 0.05
    """How much worse than the champion's the worst disparity may be. No source sets it."""
    confidence: Share = 0.95

    @property
    def limits(self) -> FairnessLimits:
        """The limits in force: those given here, else the profile's."""
        profile = PROFILES[self.profile]
        return FairnessLimits(
            **{
                name: getattr(profile, name) if getattr(self, name) is None else getattr(self, name)
                for name in FairnessLimits.model_fields
            }
        )
