"""Decides which verdicts on a candidate are waived: a pure function from verdicts and waivers to what remains.

A waiver turns the verdict of one gate on one candidate, FAIL or INCONCLUSIVE, into "waived" until it expires. The
verdict itself stays as it was judged. A candidate may be registered if every gate passed or is waived.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lifecycle.gates.outcomes import overall_text, unwaived
from serving.contract.documents import Consent, Verdict

NOT_WAIVABLE = {
    "point_in_time": "training data that knew the future make every other number of the candidate void",
}
"""Gates that no person can waive, with the reason. Tampering is not among them, because it is no verdict: a file that
does not match its digest, its signature or its record in the ledger is refused whatever anybody signs."""
WaiverStanding = Literal["in force", "expired", "withdrawn"]


@dataclass(frozen=True, slots=True)
class GateWaiver:
    """The last waiver of a gate, and whether it counts: only ``in force`` does."""

    consent: Consent
    gate: str
    standing: WaiverStanding


@dataclass(frozen=True, slots=True)
class Waivers:
    """The verdicts on a candidate at one moment: those that block, and the waivers of its gates."""

    has_verdicts: bool
    blocking: tuple[Verdict, ...]
    used: tuple[Consent, ...]
    """Waivers in force of verdicts that did not pass."""
    all: tuple[GateWaiver, ...]

    @property
    def gates(self) -> frozenset[str]:
        """Names of the waived gates."""
        return frozenset(consent.gate or "" for consent in self.used)

    @property
    def refusal(self) -> str | None:
        """Why the verdicts block, with the waivers that no longer count; ``None`` if each passed or is waived."""
        if not self.has_verdicts:
            return overall_text(())
        if not self.blocking:
            return None
        names = {verdict.gate for verdict in self.blocking}
        ended = [f"the waiver of {one.gate} by {one.consent.name} is {one.standing}" for one in self.all
                 if one.gate in names and one.standing != "in force"]  # fmt: skip
        return "; ".join([overall_text(self.blocking), *ended])


def waivers_of(
    acts: Sequence[Consent], candidate_digest: str, verdicts: Sequence[Verdict], now: dt.datetime
) -> Waivers:
    """The last waiver of each gate, and the verdicts that it leaves.

    Parameters
    ----------
    acts
        All acts on the model's candidates, oldest first.
    """
    last = {act.gate: act for act in acts if act.candidate_digest == candidate_digest and act.gate is not None}
    judged = tuple(GateWaiver(act, gate, _standing(act, now)) for gate, act in last.items())
    in_force = {one.gate: one.consent for one in judged if one.standing == "in force" and one.gate not in NOT_WAIVABLE}
    refusals = [verdict for verdict in verdicts if not verdict.is_passed]
    return Waivers(
        has_verdicts=bool(verdicts),
        blocking=unwaived(verdicts, in_force),
        used=tuple(in_force[verdict.gate] for verdict in refusals if verdict.gate in in_force),
        all=judged,
    )


def expired_waivers(acts: Sequence[Consent], now: dt.datetime) -> tuple[Consent, ...]:
    """The last waiver of each candidate and gate, if it has expired; a withdrawn or renewed one has not.

    Parameters
    ----------
    acts
        All acts on a model's candidates, oldest first.
    """
    last = {(act.candidate_digest, act.gate): act for act in acts if act.gate is not None}
    return tuple(act for act in last.values() if _standing(act, now) == "expired")


def _standing(act: Consent, now: dt.datetime) -> WaiverStanding:
    if act.is_withdrawal:
        return "withdrawn"
    return "expired" if act.expires_at is None or act.expires_at <= now else "in force"
