"""Outcomes of verdicts: of one gate from its faults, of all gates together, and in words.

A gate fails where the evidence speaks against the candidate, and is inconclusive where evidence is missing. Both block.
"""

from collections.abc import Collection, Sequence
from typing import Literal

from serving.contract.documents import Outcome, Verdict

Word = Literal["passed", "refused", "inconclusive"]
WORDS: dict[Outcome, Word] = {"PASS": "passed", "FAIL": "refused", "INCONCLUSIVE": "inconclusive"}
"""What reports, MLflow, metrics and the command line call an outcome, of a gate or of a candidate."""


def outcome_of(faults: Sequence[object], missing: Sequence[object]) -> Outcome:
    """FAIL with a fault, otherwise INCONCLUSIVE with missing evidence, otherwise PASS.

    Examples
    --------
    >>> outcome_of(["review from 0.001, below the floor 0.01"], ["examples on 3 of the last days"])
    'FAIL'
    >>> outcome_of([], ["examples on 3 of the last days"])
    'INCONCLUSIVE'
    >>> outcome_of([], [])
    'PASS'
    """
    if faults:
        return "FAIL"
    return "INCONCLUSIVE" if missing else "PASS"


def unwaived(verdicts: Sequence[Verdict], waived: Collection[str]) -> tuple[Verdict, ...]:
    """The verdicts that did not pass and whose gate has no waiver.

    Examples
    --------
    >>> thin = Verdict.of("robust", "INCONCLUSIVE", "", {}, {})
    >>> [verdict.gate for verdict in unwaived([thin], ())]
    ['robust']
    >>> unwaived([thin], {"robust"})
    ()
    """
    return tuple(verdict for verdict in verdicts if not verdict.is_passed and verdict.gate not in waived)


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """PASS if every gate passed, FAIL if one failed, otherwise INCONCLUSIVE; without verdicts INCONCLUSIVE."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if "FAIL" in outcomes:
        return "FAIL"
    return "PASS" if outcomes == {"PASS"} else "INCONCLUSIVE"


def overall_text(verdicts: Sequence[Verdict]) -> str:
    """The outcome of all gates, with the gates that block.

    Examples
    --------
    >>> thin = Verdict.of("beats_baseline", "INCONCLUSIVE", "", {}, {})
    >>> overall_text([thin, Verdict.of("above_floor", "FAIL", "", {}, {})])
    'refused by above_floor; inconclusive: beats_baseline'
    >>> overall_text([])
    'no verdicts'
    """
    failed = [verdict.gate for verdict in verdicts if verdict.outcome == "FAIL"]
    thin = [verdict.gate for verdict in verdicts if verdict.outcome == "INCONCLUSIVE"]
    parts = [f"refused by {', '.join(failed)}"] if failed else []
    parts += [f"inconclusive: {', '.join(thin)}"] if thin else []
    return "; ".join(parts) or ("passed" if verdicts else "no verdicts")
