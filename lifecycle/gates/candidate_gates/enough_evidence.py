"""Enough rows and frauds to fit on, and enough frauds to judge on."""

from dataclasses import dataclass

from lifecycle.spec.risk_model import GatesSpec
from serving.contract.documents import Verdict

NAME = "enough_evidence"
DESCRIPTION = "Enough rows and frauds in the training window, and enough frauds in the holdout."


@dataclass(frozen=True)
class Evidence:
    """Rows and frauds of one window."""

    rows: int
    frauds: int


def enough_evidence(judged: Evidence, holdout: Evidence, gates: GatesSpec) -> Verdict:
    """Enough rows and frauds in the window the judged model was fitted on, and enough frauds in the holdout."""
    faults = []
    if judged.rows < gates.minimum_rows:
        faults.append(f"{judged.rows} rows to fit on, below {gates.minimum_rows}")
    if judged.frauds < gates.minimum_frauds:
        faults.append(f"{judged.frauds} frauds to fit on, below {gates.minimum_frauds}")
    if holdout.frauds < gates.minimum_frauds:
        faults.append(f"{holdout.frauds} frauds in the holdout, below {gates.minimum_frauds}")
    return Verdict(
        gate=NAME,
        is_passed=not faults,
        summary="; ".join(faults) or f"{judged.frauds} frauds to fit on, {holdout.frauds} in the holdout",
        observed={
            "training_rows": judged.rows,
            "training_frauds": judged.frauds,
            "holdout_rows": holdout.rows,
            "holdout_frauds": holdout.frauds,
        },
        required={"minimum_rows": gates.minimum_rows, "minimum_frauds": gates.minimum_frauds},
    )
