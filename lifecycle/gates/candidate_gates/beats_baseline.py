"""The candidate is superior to logistic regression."""

from lifecycle.gates.candidate_gates.differences import difference_text, observed_difference
from lifecycle.gates.growing_evidence import Looked
from lifecycle.modelling.evaluation import Interval
from lifecycle.spec.gates import GatesSpec
from serving.contract.documents import Outcome, Verdict

NAME = "beats_baseline"
DESCRIPTION = "Better than a logistic regression on the same windows."


def beats_baseline(difference: dict[str, Interval], gates: GatesSpec, looked: Looked | None = None) -> Verdict:
    """The judged model is superior to logistic regression on the gate's metric: the whole interval is above 0.

    FAIL if the whole interval is at or below 0. INCONCLUSIVE if it holds 0: the holdout is too small to decide.

    With `looked`, the comparison over further folds, its newest interval decides.

    `difference` is candidate minus baseline on the holdout, by metric (`modelling.evaluation.paired_difference`).
    """
    interval = difference[gates.metric] if looked is None else looked.looks[-1].interval
    outcome, word = _against_baseline(interval)
    observed = observed_difference(interval) if looked is None else looked.observed()
    return Verdict.of(
        NAME,
        outcome,
        summary=f"{gates.metric} {word} the baseline's: {difference_text(interval)}",
        observed=observed,
        required={"metric": gates.metric, "confidence": gates.confidence, "low_above": 0.0},
    )


def _against_baseline(interval: Interval) -> tuple[Outcome, str]:
    if interval.low > 0:
        return "PASS", "above"
    # Of an undefined difference neither comparison is true.
    return ("FAIL", "not above") if interval.high <= 0 else ("INCONCLUSIVE", "not clearly above")
