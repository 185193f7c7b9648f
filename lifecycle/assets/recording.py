"""Records in the ledger what runs make: configurations, candidates, verdicts and versions."""

import hashlib

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.resources import Stores
from lifecycle.releases.ledger.events import (
    candidate_trained,
    configuration_changed,
    gates_judged,
    version_registered,
)
from lifecycle.releases.ledger.records import Actor
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import MODEL_FILE
from lifecycle.spec.risk_model import RiskModelSpec


def record_training(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, actor: Actor, launched_by: str | None = None
) -> None:
    """Record a candidate, and first the model's specification if it changed; raises `LedgerError`."""
    record_configuration(spec, stores, actor)
    stores.ledger.append(candidate_trained(spec.name, candidate.digest, candidate.lineage, actor, launched_by))


def record_verdicts(
    spec: RiskModelSpec, stores: Stores, evidence: GateEvidence, actor: Actor, *, is_backtest: bool = False
) -> None:
    """Record verdicts, before they are written as evidence; raises `LedgerError`."""
    record_configuration(spec, stores, actor)
    stores.ledger.append(gates_judged(evidence, actor, is_backtest=is_backtest))


def record_version(
    stores: Stores, model: str, bundle_digest: str, candidate_digest: str, version: str | None, actor: Actor
) -> None:
    """Record a sealed bundle and its version in MLflow; raises `LedgerError`."""
    stores.ledger.append(version_registered(model, bundle_digest, candidate_digest, version, actor))


def record_configuration(spec: RiskModelSpec, stores: Stores, actor: Actor) -> None:
    """Record a model's specification if it is not the one of the last record; raises `LedgerError`."""
    subjects = configuration_digests(spec, stores.settings)
    with stores.ledger.locked() as writer:
        after, last = writer.latest_subjects("configuration", spec.name) or (0, {})
        if last != subjects:
            writer.append(configuration_changed(spec.name, subjects, after, actor))


def specification_digest(spec: RiskModelSpec) -> str:
    """Digest of a specification with its profile and all defaults."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()


def configuration_digests(spec: RiskModelSpec, settings: Settings) -> dict[str, str]:
    """Digests of a model's file, and of its specification with the profile and all defaults."""
    digests = {"specification": specification_digest(spec)}
    path = settings.models / spec.name / MODEL_FILE
    if path.exists():
        digests["model_file"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests
