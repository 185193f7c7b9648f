"""Limits of the gates that every model gets without configuring any: calibration and robustness."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Share, SpecModel

Positive = Annotated[float, Field(gt=0)]


class CalibrationLimits(SpecModel):
    """Limits of the gate `calibrated`.

    No source sets numbers. Ideal are 1 and 1 (Van Calster and others, Calibration: the Achilles heel of predictive
    analytics, 2019). Twice or half is ours: the decisions of a capacity rest on ranks and forgive less than that, while
    the simulator's frauds alone move the ratio between 0.69 and 1.31 from week to week. A model whose scores people
    read as probabilities deserves narrower ones.
    """

    minimum_slope: Positive = 0.5
    maximum_slope: Positive = 2.0
    """Slope of the outcomes' log-odds on the scores'; below 1 the scores are overconfident."""
    minimum_ratio: Positive = 0.5
    maximum_ratio: Positive = 2.0
    """Events through expected events."""
    maximum_error: Positive | None = None
    """Expected calibration error in units of the base rate; shown only, without a limit."""

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        if self.minimum_slope >= self.maximum_slope or self.minimum_ratio >= self.maximum_ratio:
            raise ValueError("Expected each minimum below its maximum")
        return self


class RobustnessLimits(SpecModel):
    """Limits of the gate `robust`. No source sets numbers; they are ours, from models in order (docs/gates.md)."""

    perturbation: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """By what share a number is moved, up or down, each value on its own."""
    maximum_flips: Share = 0.05
    """Largest share of the rows whose decision band changes by that perturbation."""
    maximum_seed_change: Positive = 0.5
    """Largest mean change of a score, in units of the base rate, when the recipe is fitted again with other seeds."""


class ExplanationLimits(SpecModel):
    """Limits of the gate `explained`."""

    maximum_gap: Positive = 1e-6
    """Largest distance of a row's contributions from its margin; a hundredth of what a reason's contribution shows."""
    minimum_agreement: Share = 0.5
    """Least share of stopped rows whose first reason another seed gives, too. No source sets it: ours."""
    minimum_stopped: Annotated[int, Field(ge=1)] = 20
    """With fewer stopped rows, first reasons are not compared."""
