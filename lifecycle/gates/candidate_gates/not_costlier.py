"""The candidate's decisions cost no more than the champion's."""

from dataclasses import dataclass

from lifecycle.modelling.evaluation import Interval
from lifecycle.spec.decision import CostsSpec
from lifecycle.spec.gates import GatesSpec
from serving.contract.documents import Outcome, Verdict

NAME = "not_costlier"
DESCRIPTION = "By the costs of the model's file, its decisions cost no more than the champion's, or than approving all."
CHAMPION, APPROVING_ALL = "the champion", "approving all"


@dataclass(frozen=True)
class CostEvidence:
    """Mean cost an example of the candidate and of what it is compared with, on the same rows.

    `difference` is ours minus theirs; `against` is `CHAMPION` or `APPROVING_ALL`.
    """

    against: str
    rows: int
    ours: float
    theirs: float
    difference: Interval


def not_costlier(evidence: CostEvidence | None, costs: CostsSpec | None, gates: GatesSpec) -> Verdict:
    """The whole interval of the difference in cost is not above 0.

    With `gates.cost_margin`: its upper end is below that share of the other's cost; INCONCLUSIVE if it is not, and the
    interval is not wholly above 0. Without a champion to compare with, the decisions must not cost more than approving
    all. Passes without costs, and if the candidate is the champion.

    Parameters
    ----------
    evidence
        ``None`` without costs, and if the candidate is the champion.
    """
    required: dict[str, object] = {
        "metric": "cost an example",
        "confidence": gates.confidence,
        "cost_margin": gates.cost_margin,
    }
    if costs is None:
        return Verdict.of(NAME, "PASS", "the model's file has no costs", {}, required)
    required |= costs.model_dump()
    if evidence is None:
        return Verdict.of(NAME, "PASS", "the candidate is the champion, byte for byte", {}, required)
    difference = evidence.difference
    outcome, words = _judge(evidence, gates)
    summary = (
        f"{evidence.ours:.4g} an example, {words} {evidence.theirs:.4g} of {evidence.against}: {difference.value:+.4g} "
        f"[{difference.low:+.4g}, {difference.high:+.4g}] on {evidence.rows} examples"
    )
    observed = {
        "against": evidence.against,
        "rows": evidence.rows,
        "cost": evidence.ours,
        "other_cost": evidence.theirs,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
    }
    return Verdict.of(NAME, outcome, summary, observed, required)


def _judge(evidence: CostEvidence, gates: GatesSpec) -> tuple[Outcome, str]:
    low, high = evidence.difference.low, evidence.difference.high
    if low > 0:
        return "FAIL", "above the"
    allowed = None if gates.cost_margin is None else gates.cost_margin * evidence.theirs
    if allowed is None and low <= 0:
        return "PASS", "not above the"
    if allowed is not None and high < allowed:
        return "PASS", f"less than {gates.cost_margin:.0%} above the"
    if allowed is None:
        return "INCONCLUSIVE", "not comparable with the"
    return "INCONCLUSIVE", f"not shown to be less than {gates.cost_margin:.0%} above the"
