"""The first release of a model, which a person asks for: judged again, sealed, signed."""

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.recording import record_training, record_verdicts
from lifecycle.assets.registry import judged_version, seal
from lifecycle.assets.resources import Stores
from lifecycle.assets.validation import judge_candidate
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.promotion import missing_verdicts
from lifecycle.releases.ledger.events import person
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release


def release_first(spec: RiskModelSpec, stores: Stores, candidate: Candidate, *, by: str, reason: str) -> Release:
    """Release a candidate as the model's first champion.

    Its gates run now, on the training set that it was trained on, because the verdicts of a backtest release nothing.

    Raises
    ------
    LifecycleError
        If the model has releases, a gate without a waiver refuses the candidate, approvals are missing, promotion is
        frozen, or rows of the training set were erased.
    """
    releases = stores.releases()
    if history := releases.history(spec.name):
        raise LifecycleError(
            f"Expected no release of {spec.name} before the first, found {len(history)}; promote a bundle with "
            f"`lifecycle promote {spec.name} BUNDLE`, or run {spec.name}_retrain for a newer date"
        )
    evidence = judge_candidate(spec, stores, candidate)
    permission = stores.permissions(spec, (by,)).of(candidate.digest, evidence.verdicts)
    if refusal := missing_verdicts(judged_version(candidate, evidence, permission), GATES):
        summaries = "; ".join(f"{verdict.gate}: {verdict.summary}" for verdict in evidence.refusals)
        raise LifecycleError(
            f"Expected a candidate that passes its gates, {candidate.digest[:12]} does not: {refusal} ({summaries})"
        )
    if permission.approvals.refusal is not None:
        raise LifecycleError(
            f"Expected enough approvals of candidate {candidate.digest[:12]}: {permission.approvals.refusal}; {by} "
            "counts as its trainer, because a first release records the candidate's training"
        )
    record_training(spec, stores, candidate, person(by))
    record_verdicts(spec, stores, evidence, person(by))
    stores.evidence(spec.name).write_gates(evidence)
    bundle = seal(spec, stores, candidate, evidence, permission)
    return releases.publish(
        spec.name,
        bundle,
        by=by,
        reason=reason,
        after=0,
        expect=lambda manifest: stores.permissions(spec).expect_promotable(manifest),
    )
