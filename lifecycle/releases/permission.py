"""Whether a candidate may be registered, and its bundle promoted: verdicts, waivers and approvals of this moment.

The ledger has the verdicts and the trainers, the store has the approvals and waivers. All of them are read again each
time, and files that differ from their record in the ledger are refused.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lifecycle.artefacts.evidence import GateEvidence, evidence_content
from lifecycle.errors import LifecycleError
from lifecycle.gates.approval_policy import Approvals, approvals_of, person_key
from lifecycle.gates.outcomes import unwaived
from lifecycle.gates.waiver_policy import Waivers, waivers_of
from lifecycle.releases.consents import Person
from lifecycle.releases.ledger.events import is_record_of, recorded_verdicts
from lifecycle.releases.ledger.files import LEDGER_FOLDER, RECORDS_FILE
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import Record
from lifecycle.releases.store import ReleaseStore
from lifecycle.spec.risk_model import PromotionSpec
from serving.contract.documents import Consent, Manifest, SealedWaiver, Verdict, digest


@dataclass(frozen=True, slots=True)
class Trainers:
    """Names of the people who trained a candidate; `is_complete` if each of its trainings names one."""

    names: tuple[str, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Permission:
    """What people said about a candidate, at one moment."""

    approvals: Approvals
    waivers: Waivers
    trainers: Trainers

    @property
    def sealed_waivers(self) -> tuple[SealedWaiver, ...]:
        """The waivers in force that a verdict needs, for the manifest."""
        return tuple(_sealed(consent) for consent in self.waivers.used)


class Permissions:
    """Reads the permissions of one model's candidates, all at the same moment.

    Parameters
    ----------
    releases
        The store with the ledger, the approvals and the waivers.
    spec
        The model's policy; ``None`` for a model without a file in this installation, which demands no approval.
    also_trained_by
        People who are about to be recorded as trainers, with a first release.

    Raises
    ------
    LifecycleError
        If the ledger cannot be read, or an approval or a waiver is not as it was recorded.
    """

    def __init__(
        self,
        releases: ReleaseStore,
        model: str,
        spec: PromotionSpec | None,
        now: dt.datetime,
        also_trained_by: Collection[str] = (),
    ) -> None:
        self._model = model
        self._spec = spec or PromotionSpec()
        self._now = now
        self._also = tuple(also_trained_by)
        self.acts, self._records = _read(releases, model)

    def of(self, candidate_digest: str, verdicts: Sequence[Verdict]) -> Permission:
        """The permission of a candidate with these verdicts."""
        trainers = self.trainers(candidate_digest)
        return Permission(
            approvals_of(self.acts, self._model, candidate_digest, self._spec, trainers.names, self._now),
            waivers_of(self.acts, candidate_digest, verdicts, self._now),
            trainers,
        )

    def trainers(self, candidate_digest: str) -> Trainers:
        """The people who trained a candidate: who released it first, and who launched its runs, if a tag says so."""
        trainings = [record for record in self._records_of(candidate_digest) if record.kind == "training"]
        named = [record.facts.get("launched_by") if record.actor.kind == "run" else record.actor.name
                 for record in trainings]  # fmt: skip
        known = dict.fromkeys(str(name) for name in (*named, *self._also) if name is not None)
        return Trainers(tuple(known), bool(known) and None not in named)

    def expect_judged(self, evidence: GateEvidence) -> None:
        """Raise `LifecycleError` unless the last verdicts that the ledger has on the candidate are this evidence."""
        judged = self._judgements(evidence.candidate_digest)
        if not judged or judged[-1].subjects["evidence"] != digest(evidence_content(evidence)):
            found = "other ones" if judged else "none"
            raise LifecycleError(
                f"Expected the verdicts on candidate {evidence.candidate_digest[:12]} that the ledger recorded last, "
                f"found {found}: the evidence was changed, or is of an earlier version; run its gates again"
            )

    def expect_promotable(self, manifest: Manifest) -> None:
        """Raise `LifecycleError` unless a bundle may answer requests now, no matter who asks.

        Its verdicts must be ones that the ledger recorded, unless the ledger has none on the candidate; each must have
        passed, or have a waiver in force, in the manifest and in the last judgement. Enough people must have approved.
        """
        short, judged = manifest.candidate_digest[:12], self._judgements(manifest.candidate_digest)
        if judged and not any(is_record_of(record, manifest.verdicts) for record in judged):
            raise LifecycleError(
                f"Expected verdicts that the ledger recorded for candidate {short}, the bundle has other ones; "
                "materialise its model_version again"
            )
        permission = self.of(manifest.candidate_digest, manifest.verdicts)
        unsealed = unwaived(manifest.verdicts, {waiver.gate for waiver in manifest.waivers})
        if permission.waivers.refusal is None and unsealed:
            gates = ", ".join(verdict.gate for verdict in unsealed)
            raise LifecycleError(
                f"Expected a bundle that names the waivers of {gates}, {short} was sealed before them for the shadow; "
                "materialise its model_version, and promote that bundle"
            )
        refusal = permission.waivers.refusal or (_refused_since(self, judged[-1]) if judged else None)
        if refusal is not None:
            raise LifecycleError(f"Expected a candidate whose gates passed or are waived, {short} is {refusal}")
        if permission.approvals.refusal is not None:
            raise LifecycleError(
                f"Expected enough approvals of candidate {short} of {self._model}: {permission.approvals.refusal}"
            )

    def _judgements(self, candidate_digest: str) -> list[Record]:
        """Records of the candidate's verdicts, backtests left out, oldest first."""
        records = [record for record in self._records_of(candidate_digest) if record.kind == "gates"]
        return [record for record in records if not record.facts["is_backtest"]]

    def _records_of(self, candidate_digest: str) -> list[Record]:
        return [
            record
            for record in self._records
            if record.model == self._model and record.subjects.get("candidate") == candidate_digest
        ]


def _read(releases: ReleaseStore, model: str) -> tuple[Sequence[Consent], Sequence[Record]]:
    """The acts and the ledger's records, which agree; read again if another process acted in between."""
    for is_last in (False, False, True):
        has_ledger = (releases.root / LEDGER_FOLDER / RECORDS_FILE).exists()
        records = read_records(releases.root) if has_ledger else []
        acts = releases.consents.of(model)
        try:
            releases.consents.expect_recorded(model, records)
        except LifecycleError:
            if is_last:
                raise
        else:
            break
    return acts, records


def approve(
    releases: ReleaseStore,
    model: str,
    spec: PromotionSpec,
    candidate_digest: str,
    person: Person,
    *,
    reason: str,
    now: dt.datetime,
) -> Consent:
    """Record and write a person's approval of a candidate.

    Raises
    ------
    LifecycleError
        If the person trained the candidate; or as `Consents.approve`.
    """
    trainers = Permissions(releases, model, spec, now).trainers(candidate_digest)
    known = person.account if spec.approvers == "account" else person.name
    if person_key(known) in {person_key(name) for name in trainers.names}:
        raise LifecycleError(
            f"Expected a person who did not train candidate {candidate_digest[:12]}, {known} did; another person must "
            f"approve it - at {model}"
        )
    return releases.consents.approve(model, candidate_digest, person, reason=reason, days=spec.approval_days, now=now)


def _refused_since(permissions: Permissions, judgement: Record) -> str | None:
    """Why the last verdicts on a candidate refuse it, although those of its bundle do not."""
    return permissions.of(judgement.subjects["candidate"], recorded_verdicts(judgement)).waivers.refusal


def _sealed(consent: Consent) -> SealedWaiver:
    if consent.gate is None or consent.expires_at is None:
        raise ValueError(f"Expected a waiver, got act {consent.number}")
    return SealedWaiver(
        gate=consent.gate,
        number=consent.number,
        name=consent.name,
        reason=consent.reason,
        expires_at=consent.expires_at,
    )
