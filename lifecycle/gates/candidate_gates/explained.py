"""The reasons that the server would give add up to the score, and another seed gives the same first reason."""

import math

from lifecycle.gates.outcomes import outcome_of
from lifecycle.modelling.explanations import Explanations
from lifecycle.spec.gates import ExplanationLimits
from serving.contract.documents import Verdict

NAME = "explained"
DESCRIPTION = "Contributions add up to the margin, and the first reason of stopped rows is the same with another seed."

SINGLE_PRECISION_GAP = 1e-5
"""What the rounding of XGBoost's sums in single precision may add up to."""


def explained(found: Explanations, limits: ExplanationLimits) -> Verdict:
    """The largest gap and the share of equal first reasons are within their limits.

    FAIL beyond one, INCONCLUSIVE without rows. Too few stopped rows to compare first reasons are said, and hold
    nothing up: contributions are exact for each of them.
    """
    faults = []
    allowed = max(limits.maximum_gap, SINGLE_PRECISION_GAP) if found.is_single_precision else limits.maximum_gap
    if not found.largest_gap <= allowed:
        faults.append(f"contributions miss the margin by {found.largest_gap:.2g}, above {allowed:g}")
    agreement = found.agreement
    is_compared = agreement is not None and found.stopped >= limits.minimum_stopped
    if is_compared and agreement is not None and agreement < limits.minimum_agreement:
        faults.append(
            f"another seed gives the same first reason for {agreement:.0%} of {found.stopped} stopped rows, below "
            f"{limits.minimum_agreement:.0%}"
        )
    reasons = (
        f"the same first reason with another seed for {agreement:.0%} of {found.stopped} stopped rows"
        if is_compared
        else f"first reasons not compared, {found.stopped} stopped rows"
    )
    return Verdict.of(
        NAME,
        outcome_of(faults, [] if found.rows else ["no rows"]),
        "; ".join(faults) or f"contributions add up within {found.largest_gap:.1g}; {reasons}",
        observed={
            "rows": found.rows,
            "largest_gap": None if math.isnan(found.largest_gap) else found.largest_gap,
            "stopped": found.stopped,
            "agreement": agreement,
        },
        required=limits.model_dump() | {"maximum_gap": allowed},
    )
