"""The candidate reaches a floor that no champion and no baseline moves."""

import math
from collections.abc import Mapping

from lifecycle.modelling.evaluation import Interval
from lifecycle.spec.gates import GatesSpec
from serving.contract.documents import Outcome, Verdict

NAME = "above_floor"
DESCRIPTION = "On the holdout, the gate's metric reaches the floor of the model's file, if it has one."


def above_floor(metrics: Mapping[str, Interval], gates: GatesSpec) -> Verdict:
    """The judged model's metric on the holdout is at least `gates.floor`.

    The value itself is compared, not an end of its interval: a floor is the least that the business accepts, and
    `enough_evidence` bounds how uncertain the value may be. INCONCLUSIVE if the metric is not defined on the holdout.
    """
    interval = metrics[gates.metric]
    outcome: Outcome = "PASS" if gates.floor is None or interval.value >= gates.floor else "FAIL"
    word = "not below" if outcome == "PASS" else "below"
    if gates.floor is not None and math.isnan(interval.value):
        outcome, word = "INCONCLUSIVE", "is not defined on the holdout and not compared with"
    measured = f"{gates.metric} {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
    return Verdict.of(
        NAME,
        outcome,
        summary=f"{measured}; the model's file has no floor"
        if gates.floor is None
        else f"{measured} {word} {gates.floor}",
        observed={"value": interval.value, "low": interval.low, "high": interval.high},
        required={"metric": gates.metric, "floor": gates.floor},
    )
