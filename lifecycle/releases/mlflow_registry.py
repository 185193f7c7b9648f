"""MLflow as the registry for people; servers read the release, never an alias."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.gates.outcomes import unwaived
from lifecycle.releases.mlflow_locations import DATABASE_FILE, artifacts_folder, move_locations
from lifecycle.releases.mlflow_runs import CANDIDATE_TAG, CandidateRuns, RunOutcome, RunPages, refresh_runs, write_tags
from lifecycle.settings.child_environment import forget_variables
from lifecycle.spec.risk_model import RiskModelSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BUNDLE_TAG = "bundle_digest"
SHADOW_TAG = "shadow_only"
"""The version of a candidate for the shadow alone; its value is the outcome of the gates."""
ALIASES = ("champion", "canary", "shadow")


class RegisteredVersion(msgspec.Struct, frozen=True):
    """A version of a registered model and the MLflow run behind it."""

    name: str
    version: str
    run_id: str


class MirroredSlot(NamedTuple):
    """A bundle of the release in force and its version."""

    version: str
    bundle_digest: str


class Registry:
    """The MLflow registry of this installation: SQLite and a folder of artifacts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.tracking_uri = f"sqlite:///{root / DATABASE_FILE}"

    def record(
        self, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence, outcome: RunOutcome, pages: RunPages
    ) -> str:
        """Id of the candidate's run in the model's experiment, marked with its outcome; idempotent."""
        with self.opened() as client:
            return self._runs(client, spec).ensure(candidate, evidence, outcome, pages)

    def register(
        self, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence, pages: RunPages
    ) -> RegisteredVersion:
        """Register a candidate whose gates passed or are waived, or one for the shadow alone; idempotent.

        A version, a run, an experiment or a model that a person deleted is made again.

        Raises
        ------
        ValueError
            If the verdicts are another candidate's, or one of them neither passed nor is waived.
        """
        blocking = unwaived(evidence.verdicts, pages.waived)
        is_open = any(verdict.outcome == "FAIL" or not pages.is_for_shadow for verdict in blocking)
        if evidence.candidate_digest != candidate.digest or is_open or not evidence.verdicts:
            raise ValueError(
                f"Expected passing verdicts for candidate {candidate.digest}, got "
                f"{evidence.outcome_text!r} for {evidence.candidate_digest}"
            )
        found = self.find(spec.name, candidate.digest)
        if found is not None and (pages.is_for_shadow or not self._is_for_shadow(found)):
            return found
        return self._register(spec, candidate, evidence, pages)

    def refresh(self, model: str, candidate_digest: str, pages: RunPages) -> None:
        """Show the card, waivers and approvals of now on a candidate's runs and versions; idempotent."""
        with self.opened() as client:
            refresh_runs(client, model, candidate_digest, pages)
            chosen = f"name = '{model}' and tags.{CANDIDATE_TAG} = '{candidate_digest}'"
            for version in client.search_model_versions(chosen):
                write_tags(
                    pages.consent_tags,
                    version.tags,
                    partial(client.set_model_version_tag, model, version.version),
                    partial(client.delete_model_version_tag, model, version.version),
                )

    def find(self, model: str, candidate_digest: str) -> RegisteredVersion | None:
        """The newest version of a candidate; ``None`` if it is not registered."""
        chosen = f"name = '{model}' and tags.{CANDIDATE_TAG} = '{candidate_digest}'"
        with self.opened() as client:
            versions = client.search_model_versions(chosen, order_by=["version_number DESC"], max_results=1)
        return _registered(versions[0]) if versions else None

    def _is_for_shadow(self, version: RegisteredVersion) -> bool:
        with self.opened() as client:
            return SHADOW_TAG in client.get_model_version(version.name, version.version).tags

    def mirror(self, model: str, slots: Mapping[str, MirroredSlot]) -> None:
        """Point the aliases at the versions of the slots, and remove the alias of an empty slot."""
        with self.opened() as client:
            for slot in slots.values():
                client.set_model_version_tag(model, slot.version, BUNDLE_TAG, slot.bundle_digest)
            models = client.search_registered_models(f"name = '{model}'")
            aliases = models[0].aliases if models else {}
            for name in ALIASES:
                if name in slots:
                    client.set_registered_model_alias(model, name, slots[name].version)
                elif name in aliases:
                    client.delete_registered_model_alias(model, name)

    def champion(self, model: str) -> str | None:
        """Digest of the bundle that the alias `champion` names; ``None`` without an alias."""
        with self.opened() as client:
            models = client.search_registered_models(f"name = '{model}'")
            version = models[0].aliases.get(ALIASES[0]) if models else None
            if version is None:
                return None
            return str(client.get_model_version(model, str(version)).tags.get(BUNDLE_TAG))

    @contextmanager
    def opened(self) -> Iterator["MlflowClient"]:
        """A client of this registry, which is MLflow's own meanwhile: it opens clients that name none.

        Afterwards the process has none again, or another registry's client would read this one.
        """
        # MLflow reads them at each call: another registry, a run to continue, an experiment, a login.
        forget_variables("MLFLOW_", "DATABRICKS_")
        import mlflow

        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        move_locations(self._root)
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            yield mlflow.MlflowClient()
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)
            forget_variables("MLFLOW_")

    def _register(
        self, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence, pages: RunPages
    ) -> RegisteredVersion:
        with self.opened() as client:
            runs = self._runs(client, spec)
            run_id = runs.ensure(candidate, evidence, "shadow" if pages.is_for_shadow else "passed", pages)
            _ensure_registered_model(client, spec)
            tags = {CANDIDATE_TAG: candidate.digest, "as_of": candidate.lineage.as_of}
            if pages.is_for_shadow:
                tags[SHADOW_TAG] = evidence.outcome_text
            version = client.create_model_version(
                spec.name,
                runs.model_uri(run_id),
                run_id,
                tags=tags,
                description=f"Trained as of {candidate.lineage.as_of}. [Run in Dagster]({pages.dagster_url})",
            )
        return _registered(version)

    def _runs(self, client: "MlflowClient", spec: RiskModelSpec) -> CandidateRuns:
        return CandidateRuns(client, artifacts_folder(self._root), spec)


def _ensure_registered_model(client: "MlflowClient", spec: RiskModelSpec) -> None:
    models = client.search_registered_models(f"name = '{spec.name}'")
    if not models:
        client.create_registered_model(spec.name, description=spec.description)
    elif models[0].description != spec.description:
        client.update_registered_model(spec.name, spec.description)


def _registered(version: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(version.name, str(version.version), version.run_id)
