"""Shows a person's act on a candidate where people look: the card in MLflow, the page of `model_version` in Dagster.

The card that a bundle seals stays as it was sealed; a candidate that is registered after the act gets a bundle of its
own with a card that has it.
"""

import dagster as dg

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import pages
from lifecycle.assets.registry import consent_metadata
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import RiskModelSpec
from serving.storage.locks import lock_file


def show_consents_in_mlflow(spec: RiskModelSpec, stores: Stores, candidate_digest: str) -> None:
    """Write the card of a candidate's runs in MLflow again, with its approvals and waivers of now; idempotent.

    One process at a time does this, and reads the acts only then: a late one cannot bring back an older card. Without
    verdicts there is no card yet.
    """
    folder = stores.settings.mlflow_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock_file(folder / "mirror.lock"):
        judged = _judged(spec.name, stores, candidate_digest)
        if judged is not None:
            candidate, evidence = judged
            stores.registry().refresh(spec.name, candidate.digest, pages(spec, stores, candidate, evidence, None))


def show_consents_in_dagster(
    spec: RiskModelSpec, stores: Stores, candidate_digest: str, instance: dg.DagsterInstance
) -> None:
    """Show the approvals and waivers of now as an observation of the asset `model_version`."""
    judged = _judged(spec.name, stores, candidate_digest)
    if judged is None:
        return
    candidate, evidence = judged
    permission = stores.permissions(spec).of(candidate.digest, evidence.verdicts)
    refusal = permission.waivers.refusal or permission.approvals.refusal
    approved = ", ".join(consent.name for consent in permission.approvals.counted)
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=ModelKeys(spec.name).model_version,
            partition=candidate.lineage.as_of,
            description=refusal or "Nothing is open: approved and waived as far as the model's policy demands",
            metadata={"candidate_digest": candidate.digest, "approved_by": approved or "no one"}
            | consent_metadata(permission),
        )
    )


def _judged(model: str, stores: Stores, candidate_digest: str) -> tuple[Candidate, GateEvidence] | None:
    """A candidate and its verdicts; ``None`` before its gates ran, and if its files are gone."""
    try:
        return stores.candidates(model).by_digest(candidate_digest), stores.evidence(model).gates(candidate_digest)
    except LifecycleError:
        return None
