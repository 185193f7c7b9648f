"""The candidate is superior to logistic regression."""

from lifecycle.gates.candidate_gates.differences import difference_text, observed_difference
from lifecycle.modelling.evaluation import Interval
from lifecycle.spec.risk_model import GatesSpec
from serving.contract.documents import Verdict

NAME = "beats_baseline"
DESCRIPTION = "Better than a logistic regression on the same windows."


def beats_baseline(difference: dict[str, Interval], gates: GatesSpec) -> Verdict:
    """The judged model is superior to logistic regression on the gate's metric: the whole interval is above 0.

    `difference` is candidate minus baseline on the holdout, by metric (`modelling.evaluation.paired_difference`).
    """
    interval = difference[gates.metric]
    is_passed = bool(interval.low > 0)
    word = "above" if is_passed else "not clearly above"
    return Verdict(
        gate=NAME,
        is_passed=is_passed,
        summary=f"{gates.metric} {word} the baseline's: {difference_text(interval)}",
        observed=observed_difference(interval),
        required={"metric": gates.metric, "confidence": gates.confidence, "low_above": 0.0},
    )
