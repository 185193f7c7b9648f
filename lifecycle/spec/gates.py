"""The part of a model's file that says what a candidate must meet before it is registered."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Share, SpecModel
from lifecycle.spec.slices import SliceLimits

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


class ConsistencyLimits(SpecModel):
    """Limits of the gate `consistent`; that a server answers with other bits than the training has no limit."""

    maximum_flips: Share | None = None
    """Largest share of the holdout's decisions that may differ from the champion's. ``None``: shown only."""


class ServabilityBudgets(SpecModel):
    """Budgets of the gate `servable`: what a bundle may cost a server's process.

    Ours, from models in order (docs/gates.md). Times are processor time, the smallest of several repeats.
    """

    maximum_load_seconds: Positive = 5.0
    """To verify and load the bundle. Requests are answered meanwhile, by a process with less of its processor."""
    maximum_memory_mb: Positive = 256.0
    """Growth of the resident memory by the bundle. While a release is replaced, both are held."""
    maximum_decision_ms: Positive = 1.0
    """One single-row request without reasons, its HTTP included: a fifth of the p99 from which a server alerts
    (`SlowDecisions` in docs/serving.md: 5 ms), or 1,000 decisions a second of one worker."""
    maximum_explanation_ms: Positive = 2.0
    """What reasons add. From 1 ms on the server computes them on another thread (`serving.decisions.pipeline`)."""
    maximum_bundle_mb: Positive = 50.0
    """The files that each server reads, verifies and caches at a release."""


GateMetric = Literal[
    "average_precision",
    "roc_auc",
    "gini",
    "ks",
    "card_precision",
    "recall_at_capacity",
    "precision_at_cut_off",
    "recall_at_cut_off",
]


class GatesSpec(SpecModel):
    """Thresholds that a candidate must meet before it is registered."""

    minimum_rows: Annotated[int, Field(ge=1)]
    minimum_positives: Annotated[int, Field(ge=1)]
    """In the training window, and in the holdout."""
    metric: GateMetric = "average_precision"
    """Metric on which the candidate must beat the baseline and not be worse than the champion."""
    floor: Share | None = None
    """Least value of `metric` on the holdout, whatever champion and baseline have."""
    maximum_feature_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    """Largest ROC AUC on the holdout that a single feature may have. One that ranks the outcomes almost alone has
    usually been computed from them, or from what happened later."""
    confidence: Share = 0.95
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How much worse than the champion in `metric` a candidate may be: the lower end of the difference must be above
    ``-margin``. 2,000 to 4,000 events over the folds decide a margin of 0.02 of average precision (docs/gates.md).
    ``None``: the whole interval must not be below 0, which lets worse candidates pass on a small holdout."""
    folds: Annotated[int, Field(ge=1, le=12)] = 4
    """With a margin: folds that the comparisons with champion and baseline look at, the holdout first."""
    slices: SliceLimits = SliceLimits()
    cost_margin: Share | None = None
    """With `decision.costs`: by what share of the champion's cost an example the decisions may cost more.
    ``None``: the whole interval must not be above 0."""
    calibration: CalibrationLimits = CalibrationLimits()
    robustness: RobustnessLimits = RobustnessLimits()
    explanations: ExplanationLimits = ExplanationLimits()
    consistency: ConsistencyLimits = ConsistencyLimits()
    servability: ServabilityBudgets = ServabilityBudgets()
    maximum_decline_share: Share | None = None
    """Largest share of a day's active entities that the decision bands may decline. ``None``: 0.02 with a capacity, 0.5
    with cut-offs, which a person has chosen (`RiskModelSpec.maximum_decline_share`). One card in fifty is far above the
    positives of a portfolio in order (below 1 % of its payments); more means that the capacity does not fit the
    population or that the scores do not separate, and a person must look before customers are stopped."""


CAPACITY_METRICS = ("card_precision", "recall_at_capacity")
CUT_OFF_METRICS = ("precision_at_cut_off", "recall_at_cut_off")
CAPACITY_DECLINE_SHARE = 0.02
CUT_OFF_DECLINE_SHARE = 0.5
