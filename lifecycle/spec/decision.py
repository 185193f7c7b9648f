"""The part of a model's file that says how a score becomes a decision."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Share, SpecModel


class CapacitySpec(SpecModel):
    """Entities a day that people can review, and entities that may be declined without review."""

    review: Annotated[int, Field(ge=1)]
    decline: Annotated[int, Field(ge=1)] | None = None
    per: Literal["day"] = "day"

    @model_validator(mode="after")
    def _decline_is_below_review(self) -> Self:
        if self.decline is not None and self.decline >= self.review:
            raise ValueError(f"Expected fewer to decline than to review = {self.review}, got {self.decline}")
        return self


class DecisionSpec(SpecModel):
    """Decisions by capacity, or by fixed cut-offs of the score.

    With a capacity the thresholds are cut at each training, and the floors bound what it may do to customers
    (`modelling.thresholds`).
    """

    capacity: CapacitySpec | None = None
    review_from: Share | None = None
    """Lowest score that is reviewed; in place of a capacity."""
    decline_from: Share | None = None
    """Lowest score that is declined."""
    minimum_decline_score: Share = 0.5
    """With a capacity, the lowest score that may be declined: at 0.5 at most one negative example is declined for each
    positive one."""
    minimum_review_lift: Annotated[float, Field(ge=1)] = 2.0
    """With a capacity, the lowest odds that may be reviewed, as a multiple of an average example's odds."""

    @property
    def review_capacity(self) -> int | None:
        """Entities a day that people can review; ``None`` with cut-offs."""
        return self.capacity.review if self.capacity else None

    @property
    def decline_capacity(self) -> int | None:
        """Entities a day that may be declined; ``None`` if none may, or with cut-offs."""
        return self.capacity.decline if self.capacity else None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.capacity is None) == (self.review_from is None):
            raise ValueError("Expected one of `capacity` and `review_from`")
        if self.decline_from is not None:
            if self.review_from is None:
                raise ValueError("Expected `review_from` with `decline_from`")
            if self.decline_from <= self.review_from:
                raise ValueError(f"Expected a score above review_from = {self.review_from}, got {self.decline_from}")
        return self
