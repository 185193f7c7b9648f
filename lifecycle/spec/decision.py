"""The part of a model's file that says how a score becomes a decision."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Share, SpecModel

Cost = Annotated[float, Field(gt=0)]


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


class CostsSpec(SpecModel):
    """What a decision about one example costs, in any unit of money.

    A reviewed example costs `review`, and people find out what it is; a declined one without the event costs
    `wrong_decline`; an approved one with the event costs `missed`.
    """

    review: Cost
    wrong_decline: Cost
    missed: Cost | Literal["amount"]
    """``amount``: the example's own amount."""

    @property
    def cut_offs(self) -> tuple[float, float] | None:
        """Scores from which a review, and from which a decline is cheapest; ``None`` if `missed` is each own amount.

        Elkan, The Foundations of Cost-Sensitive Learning (2001), section 2: the decision of least expected cost. At a
        score ``p`` approving costs ``p * missed``, reviewing ``review``, declining ``(1 - p) * wrong_decline``.

        Examples
        --------
        >>> CostsSpec(review=5, wrong_decline=20, missed=100).cut_offs
        (0.05, 0.75)
        """
        if self.missed == "amount":
            return None
        return self.review / self.missed, 1 - self.review / self.wrong_decline


class DecisionSpec(SpecModel):
    """Decisions by capacity, by fixed cut-offs of the score, or by the cut-offs of least cost.

    With a capacity the thresholds are cut at each training, and the floors bound what it may do to customers
    (`modelling.thresholds`).
    """

    capacity: CapacitySpec | None = None
    review_from: Share | None = None
    """Lowest score that is reviewed; in place of a capacity."""
    decline_from: Share | None = None
    """Lowest score that is declined."""
    costs: CostsSpec | None = None
    """Judged by the gate `not_costlier`. With neither a capacity nor `review_from`, they give the cut-offs."""
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

    @property
    def review_cut_off(self) -> float | None:
        """Lowest score that is reviewed, by `review_from` or by the costs; ``None`` with a capacity."""
        return self._cut_offs[0]

    @property
    def decline_cut_off(self) -> float | None:
        """Lowest score that is declined; ``None`` if none is, or with a capacity."""
        return self._cut_offs[1]

    @property
    def _cut_offs(self) -> tuple[float | None, float | None]:
        if self.capacity is None and self.review_from is None and self.costs is not None:
            return self.costs.cut_offs or (None, None)
        return self.review_from, self.decline_from

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if self.capacity is None and self.review_from is None and self.costs is not None:
            return self._of_costs(self.costs)
        if (self.capacity is None) == (self.review_from is None):
            raise ValueError("Expected one of `capacity` and `review_from`, or `costs` that give the cut-offs")
        if self.decline_from is not None:
            if self.review_from is None:
                raise ValueError("Expected `review_from` with `decline_from`")
            if self.decline_from <= self.review_from:
                raise ValueError(f"Expected a score above review_from = {self.review_from}, got {self.decline_from}")
        return self

    def _of_costs(self, costs: CostsSpec) -> Self:
        if costs.cut_offs is None:
            raise ValueError(
                "Expected `capacity` or `review_from` with costs by amount, got neither - at `costs.missed`"
            )
        if self.decline_from is not None:
            raise ValueError("Expected `review_from` with `decline_from`")
        review, decline = costs.cut_offs
        if not 0 < review < decline < 1:
            raise ValueError(
                f"Expected costs under which some score is reviewed: review / missed = {review:g} below 1 - review / "
                f"wrong_decline = {decline:g} - at `costs`"
            )
        return self
