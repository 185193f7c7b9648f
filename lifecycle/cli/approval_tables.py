"""Approvals and waivers as text, tables and JSON."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from lifecycle.artefacts.candidates import CandidateStore
from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.cli.release_tables import SHORT_DIGITS
from lifecycle.console import output
from lifecycle.errors import LifecycleError
from lifecycle.gates.outcomes import overall_text
from lifecycle.releases.permission import Permission, Permissions
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Consent, Verdict


@dataclass(frozen=True, slots=True)
class CandidateStanding:
    """A candidate, its verdicts (empty before its gates ran), and what people said about it."""

    candidate_digest: str
    as_of: str | None
    verdicts: tuple[Verdict, ...]
    permission: Permission
    is_pending: bool

    @property
    def waits_for(self) -> str | None:
        """Why it cannot be promoted now; ``None`` if it can, or if it no longer waits."""
        if not self.is_pending:
            return None
        return self.permission.waivers.refusal or self.permission.approvals.refusal


def standings(
    settings: Settings, store: ReleaseStore, spec: RiskModelSpec, now: dt.datetime
) -> list[CandidateStanding]:
    """The candidates that people acted on and the newest judged one, oldest ``as_of`` first.

    One waits if it is the current candidate of a date that is newer than the champion's, and its gates ran.
    """
    permissions = Permissions(store, spec.name, spec.promotion, now)
    candidates, evidence = (
        CandidateStore(settings.candidates_dir, spec.name),
        EvidenceStore(settings.evidence_dir, spec.name),
    )
    release, dates = store.latest(spec.name), candidates.dates()
    champion_as_of = release.champion.as_of if release else ""
    acted = dict.fromkeys(act.candidate_digest for act in permissions.acts)
    newer = {
        digest for digest, as_of in dates.items() if as_of > champion_as_of and _is_current(candidates, digest, as_of)
    }
    newest = max((dates[digest] for digest in newer if _verdicts(evidence, digest)), default=None)
    shown = []
    for digest in {*acted, *(digest for digest in newer if dates[digest] == newest)}:
        verdicts = _verdicts(evidence, digest)
        is_pending = digest in newer and bool(verdicts)
        shown.append(
            CandidateStanding(digest, dates.get(digest), verdicts, permissions.of(digest, verdicts), is_pending)
        )
    return sorted(shown, key=lambda one: (one.as_of or "", one.candidate_digest))


def waiting_lines(settings: Settings, store: ReleaseStore, spec: RiskModelSpec) -> list[str]:
    """A sentence for each candidate that cannot be promoted before people act."""
    return [
        f"Candidate {one.candidate_digest[:SHORT_DIGITS]} (as of {one.as_of}): {one.waits_for}"
        for one in standings(settings, store, spec, dt.datetime.now(dt.UTC))
        if one.waits_for is not None
    ]


def act_text(act: Consent) -> str:
    """An act in a sentence."""
    what = "approved" if act.gate is None else f"waived {act.gate} of"
    if act.is_withdrawal:
        what = "withdrew the approval of" if act.gate is None else f"withdrew the waiver of {act.gate} of"
    until = f" until {act.expires_at:%Y-%m-%d %H:%M} UTC" if act.expires_at else ""
    return f"{act.name} {what} candidate {act.candidate_digest} of {act.model}{until}. Act {act.number} of the model."


def document(spec: RiskModelSpec, shown: list[CandidateStanding]) -> dict[str, Any]:
    """The policy and the candidates, as JSON types."""
    policy = spec.promotion
    return {
        "model": spec.name,
        "policy": {name: getattr(policy, name) for name in ("mode", "approvals", "approval_days", "approvers")},
        "candidates": [_candidate_document(one) for one in shown],
    }


def print_approvals(spec: RiskModelSpec, shown: list[CandidateStanding]) -> None:
    """A table of the acts in force, expired and withdrawn, and what candidates wait for below it."""
    console, policy = output(), spec.promotion
    table = Table(title=f"Approvals and waivers of {spec.name}")
    table.add_column("candidate", no_wrap=True, min_width=SHORT_DIGITS)
    for name in ("act", "by", "standing", "expires (UTC)", "reason"):
        table.add_column(name, overflow="fold")
    for one in shown:
        for act, what, standing in _acts(one):
            account = "" if act.account == act.name else f" (account {act.account})"
            table.add_row(
                one.candidate_digest[:SHORT_DIGITS],
                what,
                escape(f"{act.name}{account}"),
                standing,
                f"{act.expires_at:%Y-%m-%d %H:%M}" if act.expires_at else "-",
                escape(act.reason),
            )
    console.print(table)
    console.print(f"Policy: approvals {policy.approvals}, valid {policy.approval_days} days, mode {policy.mode}.")
    for one in shown:
        if one.waits_for is not None:
            name = f"{one.candidate_digest[:SHORT_DIGITS]} (as of {one.as_of})"
            console.print(f"[yellow]Pending[/]: candidate {name}: {escape(one.waits_for)}", soft_wrap=True)


def _candidate_document(one: CandidateStanding) -> dict[str, Any]:
    approvals, trainers = one.permission.approvals, one.permission.trainers
    return {
        "candidate_digest": one.candidate_digest,
        "as_of": one.as_of,
        "gates": overall_text(one.verdicts),
        "is_pending": one.is_pending,
        "waits_for": one.waits_for,
        "approve_with": approvals.command if one.is_pending and not approvals.is_granted else None,
        "required": approvals.required,
        "given": len(approvals.counted),
        "is_granted": approvals.is_granted,
        "approvals": [_act_document(act.consent, act.standing) for act in approvals.acts],
        "waivers": [_act_document(act.consent, act.standing) for act in one.permission.waivers.all],
        "trainers": list(trainers.names),
        "is_trainer_known": trainers.is_complete,
    }


def _act_document(act: Consent, standing: str) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(act)
    return plain | {"standing": standing}


def _acts(one: CandidateStanding) -> list[tuple[Consent, str, str]]:
    approvals = [(act.consent, "approval", str(act.standing)) for act in one.permission.approvals.acts]
    return approvals + [(act.consent, f"waiver of {act.gate}", str(act.standing)) for act in one.permission.waivers.all]


def _is_current(candidates: CandidateStore, digest: str, as_of: str) -> bool:
    return candidates.has(as_of) and candidates.current(as_of).digest == digest


def _verdicts(evidence: EvidenceStore, digest: str) -> tuple[Verdict, ...]:
    try:
        return evidence.gates(digest).verdicts
    except LifecycleError:
        return ()
