"""Enough rows and positives to fit on, and enough positives to judge on."""

from dataclasses import dataclass

from lifecycle.gates.outcomes import outcome_of
from lifecycle.spec.gates import GatesSpec
from serving.contract.documents import Verdict

NAME = "enough_evidence"
DESCRIPTION = "Enough rows and positives in the training window, and enough positives in the holdout."


@dataclass(frozen=True)
class Evidence:
    """Rows and positives of one window."""

    rows: int
    positives: int


def enough_evidence(judged: Evidence, holdout: Evidence, gates: GatesSpec, positive: str = "positive") -> Verdict:
    """Enough rows and positives in the window the judged model was fitted on, and enough positives in the holdout.

    Never FAIL: too few of them are missing evidence, INCONCLUSIVE.
    """
    faults = []
    if judged.rows < gates.minimum_rows:
        faults.append(f"{judged.rows} rows to fit on, below {gates.minimum_rows}")
    if judged.positives < gates.minimum_positives:
        faults.append(f"{judged.positives} {positive} examples to fit on, below {gates.minimum_positives}")
    if holdout.positives < gates.minimum_positives:
        faults.append(f"{holdout.positives} {positive} examples in the holdout, below {gates.minimum_positives}")
    return Verdict.of(
        NAME,
        outcome_of([], faults),
        summary="; ".join(faults)
        or f"{judged.positives} {positive} examples to fit on, {holdout.positives} in the holdout",
        observed={
            "training_rows": judged.rows,
            "training_positives": judged.positives,
            "holdout_rows": holdout.rows,
            "holdout_positives": holdout.positives,
        },
        required={"minimum_rows": gates.minimum_rows, "minimum_positives": gates.minimum_positives},
    )
