"""A candidate with too little evidence in the shadow, where live traffic gives more; a person asks for it."""

from dataclasses import replace

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.registry import judged_version, seal
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.promotion import missing_verdicts
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release


def try_in_shadow(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, *, by: str, reason: str, after: int | None = None
) -> Release:
    """Seal a candidate none of whose gates failed, and let it score copies of the traffic.

    Its bundle holds the INCONCLUSIVE verdicts, so that no command promotes it. A waiver, or gates that pass on a later
    date, give another bundle.

    Raises
    ------
    LifecycleError
        If there are no verdicts on the candidate, a gate failed, or the ledger recorded other verdicts; or as
        `ReleaseStore.put_shadow`.
    """
    evidence = stores.evidence(spec.name).gates(candidate.digest)
    permissions = stores.permissions(spec)
    permission = permissions.of(candidate.digest, evidence.verdicts)
    permissions.expect_judged(evidence)
    version = judged_version(candidate, evidence, permission)
    thin = {verdict.gate for verdict in evidence.verdicts if verdict.outcome == "INCONCLUSIVE"}
    if refusal := missing_verdicts(replace(version, waived=version.waived | thin), GATES):
        raise LifecycleError(
            f"Expected a candidate none of whose gates failed, {candidate.digest[:12]} is refused: {refusal}; its "
            f"scores are no evidence for a decision - at the shadow of {spec.name}"
        )
    bundle = seal(spec, stores, candidate, evidence, permission, is_for_shadow=True)
    return stores.releases().put_shadow(spec.name, bundle, by=by, reason=reason, after=after)
