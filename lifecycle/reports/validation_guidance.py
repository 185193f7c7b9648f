"""Maps a validation report to the headings of supervisory guidance on model risk.

SR 26-2 (Board of Governors, FDIC and OCC, 17 April 2026) supersedes SR 11-7 (2011) and keeps its disciplines:
development, implementation and use; validation and monitoring; governance, policies and controls. It asks for them
according to a model's materiality, by exposure and purpose. The three elements of validation are SR 11-7's. The mapping
is ours. It says where evidence is, not that the evidence satisfies a supervisor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.spec.fairness import ProtectedSpec
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Lineage, Outcome, Verdict

State = Literal["evidence", "partly", "missing"]


@dataclass(frozen=True)
class GuidanceLine:
    """A heading's topic, the section of the report with the evidence, and whether it is there."""

    heading: str
    topic: str
    section: str
    """Identifier of the section on the page; empty if the report has none."""
    state: State
    statement: str


_MATERIALITY = "Model materiality"
_DEVELOPMENT = "Model development, implementation and use"
_SOUNDNESS = "Validation: evaluation of conceptual soundness"
_MONITORING = "Validation: ongoing monitoring"
_OUTCOMES = "Validation: outcomes analysis"
_GOVERNANCE = "Governance, policies and controls"


def guidance(
    spec: RiskModelSpec,
    lineage: Lineage,
    gates: Mapping[str, Outcome | None],
    *,
    has_search: bool,
    has_comparison: bool,
    champion: str,
    is_approved: bool,
    required: int,
) -> tuple[GuidanceLine, ...]:
    """The lines of the table.

    Parameters
    ----------
    gates
        Outcome by gate, ``None`` for a gate that did not judge the candidate.
    champion
        The statement on the comparison with the champion.
    required
        Number of people who must approve.
    """
    has_card = spec.card is not None and spec.owner is not None
    tier = None if spec.tier is None else spec.tier.level
    has_commit = not (lineage.code_commit or "+").endswith("+")
    documented = "purpose, owner, intended use and limits" if has_card else "owner, intended use or limits are missing"
    people = f"{required} approvals required, {'given' if is_approved else 'not given yet'}"
    return (
        GuidanceLine(_MATERIALITY, "exposure and purpose", "model", _is(tier is not None, "missing"),
                     f"the bank's tier is {tier}, with its reason" if tier else "the model's file states no tier"),
        GuidanceLine(_DEVELOPMENT, "purpose and documentation", "model", _is(has_card, "partly"), documented),
        _of_gates(_DEVELOPMENT, "data quality and relevance", gates, "point_in_time", "enough_evidence",
                  "no_leaking_feature"),
        GuidanceLine(_DEVELOPMENT, "reproducibility", "model", _is(has_commit, "partly"),
                     "digests, code commit, seed and parameters" if has_commit else
                     "digests, seed and parameters; the code is unknown or had local changes"),
        _of_gates(_DEVELOPMENT, "implementation in the server", gates, "consistent", "servable"),
        GuidanceLine(_SOUNDNESS, "choice of the method", "search", _is(has_search, "missing"),
                     "trials of the search, and a logistic regression for comparison" if has_search else
                     "trained elsewhere; the choice is not documented here"),
        _of_gates(_SOUNDNESS, "explanations", gates, "explained"),
        _of_gates(_SOUNDNESS, "sensitivity and stability", gates, "robust"),
        _by_group(gates, spec.protected),
        GuidanceLine(_MONITORING, "plan", "monitoring", "evidence", "windows, limits and alarms of live traffic"),
        GuidanceLine(_MONITORING, "results", "", "missing",
                     "not in this report: live evidence belongs to the released model (its drift reports)"),
        _of_gates(_OUTCOMES, "performance on unseen rows", gates, "above_floor", "beats_baseline"),
        GuidanceLine(_OUTCOMES, "benchmark: the champion", "performance", _is(has_comparison, "missing"), champion),
        _of_gates(_OUTCOMES, "performance on segments", gates, "not_worse_by_slice"),
        _of_gates(_OUTCOMES, "cost of the decisions", gates, "not_costlier"),
        _of_gates(_OUTCOMES, "calibration", gates, "calibrated"),
        _of_gates(_OUTCOMES, "volume of decisions", gates, "bounded_declines"),
        GuidanceLine(_GOVERNANCE, "approval by others than the trainer", "consents",
                     _is(is_approved and required > 0, "missing"),
                     people if required else "the model's policy demands no approval by a person"),
        GuidanceLine(_GOVERNANCE, "exceptions and open findings", "open", "evidence", "waivers and open points"),
        GuidanceLine(_GOVERNANCE, "inventory and audit trail", "model", "evidence",
                     "the ledger has training, verdicts and consents (lifecycle ledger show)"),
        GuidanceLine(_GOVERNANCE, "independent review", "", "missing",
                     "a person must read this report and state a conclusion; no program can"),
    )  # fmt: skip


def judged_outcome(verdict: Verdict) -> Outcome | None:
    """The outcome as evidence: ``None`` for a gate that passed because there was nothing to measure."""
    return None if verdict.is_passed and not verdict.observed else verdict.outcome


def _by_group(gates: Mapping[str, Outcome | None], protected: ProtectedSpec | None) -> GuidanceLine:
    if protected is not None and protected.none is None:
        return _of_gates(_SOUNDNESS, "decisions by protected group", gates, "fair_by_group")
    state: State = "missing" if protected is None else "partly"
    statement = "no protected attributes are declared" if protected is None else "not compared; the file says why"
    return GuidanceLine(_SOUNDNESS, "decisions by protected group", "fairness", state, statement)


def _is(condition: bool, otherwise: State) -> State:
    return "evidence" if condition else otherwise


def _of_gates(heading: str, topic: str, gates: Mapping[str, Outcome | None], *names: str) -> GuidanceLine:
    judged = [name for name in names if gates.get(name) is not None]
    missing = [name for name in names if name not in judged]
    inconclusive = [name for name in judged if gates[name] == "INCONCLUSIVE"]
    state: State = "missing" if not judged else "partly" if missing or inconclusive else "evidence"
    parts = [f"gates {', '.join(judged)}"] if judged else []
    failed = [name for name in judged if gates[name] == "FAIL"]
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"inconclusive: {', '.join(inconclusive)}"] if inconclusive else []
    parts += [f"not judged by {', '.join(missing)}"] if missing else []
    section = "fairness" if names == ("fair_by_group",) else f"gate-{names[0]}"
    return GuidanceLine(heading, topic, section, state, "; ".join(parts))
