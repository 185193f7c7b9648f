"""Open points of a validation: what blocks a candidate, what a person waived, and what no evidence exists for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lifecycle.gates.approval_policy import Approvals
from lifecycle.gates.waiver_policy import NOT_WAIVABLE, Waivers
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Lineage, Outcome, Verdict

_WORDS: dict[Outcome, str] = {"PASS": "passed", "FAIL": "failed", "INCONCLUSIVE": "is inconclusive"}


@dataclass(frozen=True)
class OpenPoint:
    """What is open, and the remedy; `is_blocking` if the platform registers or releases nothing while it is."""

    text: str
    remedy: str
    is_blocking: bool


def open_points(
    spec: RiskModelSpec,
    lineage: Lineage,
    verdicts: Sequence[Verdict],
    *,
    missing: Sequence[str],
    approvals: Approvals,
    waivers: Waivers,
    findings: Sequence[OpenPoint],
    uncompared: str | None,
    is_backtest: bool,
    is_trainer_known: bool,
) -> tuple[OpenPoint, ...]:
    """All open points, the blocking ones first.

    Parameters
    ----------
    missing
        Gates of this version that the candidate was not judged by.
    findings
        Points that the stores gave rise to.
    uncompared
        Why the candidate was not compared with the champion; ``None`` if it was, or without a champion.
    """
    points = [
        *findings,
        *_of_gates(lineage, verdicts, missing, waivers),
        *_of_people(approvals, waivers, is_trainer_known=is_trainer_known),
        *_of_statements(spec, lineage),
    ]
    if uncompared is not None:
        points.append(
            OpenPoint(uncompared, "train a candidate of a later date, or read the verdict of the gate", False)
        )
    if is_backtest:
        remedy = "materialise the candidate's checks in Dagster, or make it the first release"
        points.append(OpenPoint("the verdicts are of a backtest or of a training by hand", remedy, True))
    return tuple(sorted(points, key=lambda point: not point.is_blocking))


def _of_gates(
    lineage: Lineage, verdicts: Sequence[Verdict], missing: Sequence[str], waivers: Waivers
) -> Iterator[OpenPoint]:
    in_force = {consent.gate: consent for consent in waivers.used}
    for verdict in verdicts:
        if verdict.is_passed:
            continue
        text = f"{verdict.gate} {_WORDS[verdict.outcome]}: {verdict.summary}"
        consent = in_force.get(verdict.gate)
        if consent is not None and consent.expires_at is not None:
            waiver = f"waived by {consent.name} until {consent.expires_at:%Y-%m-%d %H:%M} UTC"
            yield OpenPoint(text, f"{waiver}; resolve it before then", False)
        elif verdict.gate in NOT_WAIVABLE:
            yield OpenPoint(text, "train another candidate; this gate cannot be waived", True)
        else:
            yield OpenPoint(text, "train another candidate, or waive the gate with a reason (lifecycle waive)", True)
    for gate in missing:
        yield OpenPoint(
            f"{gate} did not judge the candidate",
            f"materialise its checks for {lineage.as_of} again, which runs every gate",
            True,
        )


def _of_people(approvals: Approvals, waivers: Waivers, *, is_trainer_known: bool) -> Iterator[OpenPoint]:
    for one in waivers.all:
        if one.standing != "in force":
            blocks = any(verdict.gate == one.gate for verdict in waivers.blocking)
            text = f"the waiver of {one.gate} by {one.consent.name} is {one.standing}"
            yield OpenPoint(text, "renew it with a reason (lifecycle waive) or train another candidate", blocks)
    if approvals.refusal is not None:
        yield OpenPoint(approvals.refusal, f"run {approvals.command}", True)
    if not is_trainer_known and approvals.required:
        yield OpenPoint(
            "the ledger does not name every person who trained the candidate",
            "make sure that no approver trained it",
            False,
        )


def _of_statements(spec: RiskModelSpec, lineage: Lineage) -> Iterator[OpenPoint]:
    place = f"in the file of {spec.name}"
    if not spec.description.strip():
        yield OpenPoint("the model's purpose is not described", f"add the key description {place}", False)
    if spec.owner is None:
        yield OpenPoint("the model has no owner", f"add the key owner {place}", False)
    if spec.tier is None:
        yield OpenPoint("the model's tier is not stated", f"add the key tier {place}", False)
    if spec.card is None:
        yield OpenPoint("intended use and limits are not stated", f"add the key card {place}", False)
    elif not spec.card.limits:
        yield OpenPoint("no limit of the model is stated", f"add the key card.limits {place}", False)
    if spec.reason_texts is None:
        yield OpenPoint("the decisions are not explained to customers", f"add the key reason_texts {place}", False)
    if lineage.code_commit is None:
        yield OpenPoint("the code that trained the candidate is not known", "train from a git checkout", False)
    elif lineage.code_commit.endswith("+"):
        yield OpenPoint("the candidate was trained by code with local changes", "commit them and train again", False)
