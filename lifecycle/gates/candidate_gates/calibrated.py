"""The judged model's scores are near to what happened on the holdout."""

import math

from lifecycle.gates.outcomes import outcome_of
from lifecycle.modelling.calibration_fit import CalibrationFit
from lifecycle.modelling.evaluation import Interval
from lifecycle.spec.gates import CalibrationLimits
from serving.contract.documents import Verdict

NAME = "calibrated"
DESCRIPTION = "On the holdout, the scores' slope and the events through the expected events are within their limits."


def calibrated(fit: CalibrationFit, limits: CalibrationLimits) -> Verdict:
    """Slope and ratio are within their limits.

    FAIL if the whole interval of one is outside, INCONCLUSIVE if the value is outside and the interval is not, or if
    it is not defined. The calibration error has no interval: the value is compared, if there is a limit at all.
    """
    faults: list[str] = []
    doubts: list[str] = []
    for name, found, low, high in (
        ("slope", fit.slope, limits.minimum_slope, limits.maximum_slope),
        ("events through expected events", fit.ratio, limits.minimum_ratio, limits.maximum_ratio),
    ):
        if low <= found.value <= high:
            continue
        text = f"{name} {_text(found)} is not within {low:g} and {high:g}"
        (faults if found.high < low or found.low > high else doubts).append(text)
    if limits.maximum_error is not None and not fit.error <= limits.maximum_error:
        missing = math.isnan(fit.error)
        (doubts if missing else faults).append(
            f"calibration error {fit.error:.3f} of the base rate, above {limits.maximum_error:g}"
        )
    return Verdict.of(
        NAME,
        outcome_of(faults, doubts),
        "; ".join([*faults, *doubts]) or f"slope {_text(fit.slope)}, events through expected events {_text(fit.ratio)}",
        observed={
            "slope": fit.slope.value,
            "slope_low": fit.slope.low,
            "slope_high": fit.slope.high,
            "intercept": fit.intercept.value,
            "ratio": fit.ratio.value,
            "ratio_low": fit.ratio.low,
            "ratio_high": fit.ratio.high,
            "calibration_error": fit.error,
            "rows": fit.rows,
            "events": fit.events,
        },
        required=limits.model_dump(),
    )


def _text(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
