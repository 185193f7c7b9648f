"""The part of a model's file that names the slices on which a candidate is compared."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from lifecycle.spec.base import Share, SpecModel
from lifecycle.spec.fields import FieldSpec
from lifecycle.spec.suggestions import suggestion


class SliceSpec(SpecModel):
    """Slices by the values of one feature, or of a number by the intervals between cuts."""

    feature: str
    cuts: tuple[float, ...] = ()
    """Ascending; a slice ends below each of them. Needed for a number that is no flag."""

    @field_validator("cuts")
    @classmethod
    def _cuts_ascend(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in itertools.pairwise(cuts)):
            raise ValueError(f"Expected cuts that ascend, got {list(cuts)}")
        return cuts


class SliceLimits(SpecModel):
    """Limits of the gate `not_worse_by_slice`."""

    by: tuple[SliceSpec, ...] | None = None
    """``None``: each category and each flag among the features. An empty list compares no slice."""
    minimum_positives: Annotated[int, Field(ge=2)] = 30
    """A slice with fewer is not judged: an interval rests on some thirty events (docs/gates.md has its coverage)."""
    minimum_share: Share = 0.02
    """A declared slice that is too small to judge is INCONCLUSIVE from this share of the rows on."""
    confidence: Share = 0.95
    """Of all slices together: with nothing wrong, a candidate is refused in at most half of the rest."""
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How much worse in the ranking metric a candidate may be on each slice; ``None``: not surely worse."""

    @model_validator(mode="after")
    def _features_are_named_once(self) -> Self:
        names = [each.feature for each in self.by or ()]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Expected each feature once, got {repeated[0]!r} twice - at `by`")
        return self


def is_flag(feature: FieldSpec) -> bool:
    """Whether a feature is a whole number of 0 and 1."""
    return feature.dtype == "int" and feature.minimum == 0 and feature.maximum == 1


def slice_faults(limits: SliceLimits, features: Sequence[FieldSpec]) -> Iterator[str]:
    """Declared slices of unknown features, categories with cuts, and numbers without; each with its key."""
    known = {feature.name: feature for feature in features}
    for index, each in enumerate(limits.by or ()):
        place, feature = f"at `gates.slices.by.{index}", known.get(each.feature)
        if feature is None:
            near = suggestion(each.feature, known, "feature")
            yield f"Expected a feature of the model, got {each.feature!r}{near} - {place}.feature`"
        elif feature.dtype == "category" and each.cuts:
            yield f"Expected no cuts of the category {each.feature!r}, got {list(each.cuts)} - {place}.cuts`"
        elif feature.dtype != "category" and not is_flag(feature) and not each.cuts:
            yield f"Expected cuts of the number {each.feature!r}, which is no flag of 0 and 1, got none - {place}.cuts`"
