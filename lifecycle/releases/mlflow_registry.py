"""MLflow as the registry for people; servers read the release, never an alias."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.artefacts.candidates import EVALUATION_FILE, Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.settings.child_environment import forget_variables
from serving.contract.documents import MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE_TAG = "candidate_digest"
CHAMPION_ALIAS = "champion"


class RegisteredVersion(msgspec.Struct, frozen=True):
    """A version of a registered model and the MLflow run behind it."""

    name: str
    version: str
    run_id: str


class Registry:
    """The MLflow registry of this installation: SQLite and a folder of artifacts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.tracking_uri = f"sqlite:///{root / 'mlflow.db'}"

    def register(self, model: str, candidate: Candidate, evidence: GateEvidence) -> RegisteredVersion:
        """Register a candidate that passed its gates; idempotent.

        Raises
        ------
        ValueError
            If the verdicts are another candidate's, or one of them failed.
        """
        if evidence.candidate_digest != candidate.digest or not evidence.is_passed:
            raise ValueError(
                f"Expected passing verdicts for candidate {candidate.digest}, got "
                f"{[verdict.gate for verdict in evidence.refusals]} refused for {evidence.candidate_digest}"
            )
        return self.find(model, candidate.digest) or self._register(model, candidate, evidence)

    def find(self, model: str, candidate_digest: str) -> RegisteredVersion | None:
        """The version of a candidate; ``None`` if it is not registered."""
        client = self._client()
        for version in client.search_model_versions(f"name = '{model}'"):
            if version.tags.get(CANDIDATE_TAG) == candidate_digest:
                return _registered(version)
        return None

    def mirror_champion(self, model: str, version: str, bundle_digest: str) -> None:
        """Point the alias `champion` at the version that was released; for information only."""
        client = self._client()
        client.set_model_version_tag(model, version, "bundle_digest", bundle_digest)
        client.set_registered_model_alias(model, CHAMPION_ALIAS, version)

    def _register(self, model: str, candidate: Candidate, evidence: GateEvidence) -> RegisteredVersion:
        import lightgbm
        import mlflow
        import mlflow.lightgbm

        client = self._client()
        experiment_id = self._experiment(client, model)
        lineage = candidate.lineage
        with mlflow.start_run(experiment_id=experiment_id, run_name=f"{model} as of {lineage.as_of}") as run:
            mlflow.set_tags({CANDIDATE_TAG: candidate.digest, "training_set_digest": lineage.training_set_digest})
            mlflow.log_params(lineage.parameters | {"seed": lineage.seed, "as_of": lineage.as_of})
            holdout = candidate.evaluation.holdout
            mlflow.log_metrics({name: interval.value for name, interval in holdout.metrics.items()})
            mlflow.log_dict(msgspec.to_builtins(evidence), "verdicts.json")
            mlflow.log_artifact(str(candidate.folder / EVALUATION_FILE))
            info = mlflow.lightgbm.log_model(
                lightgbm.Booster(model_str=candidate.read(MODEL_FILE).decode()),
                name="model",
                # Declared, because MLflow otherwise starts a process that imports the model to infer them.
                pip_requirements=[f"{name}=={version}" for name, version in lineage.library_versions.items()],
            )
        _ensure_registered_model(client, model)
        version = client.create_model_version(
            model, info.model_uri, run.info.run_id, tags={CANDIDATE_TAG: candidate.digest, "as_of": lineage.as_of}
        )
        return _registered(version)

    def _experiment(self, client: "MlflowClient", model: str) -> str:
        experiment = client.get_experiment_by_name(model)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(model, artifact_location=(self._root / "artifacts" / model).as_uri()))

    def _client(self) -> "MlflowClient":
        # MLflow reads them at each call: another registry, a run to continue, an experiment, a login.
        forget_variables("MLFLOW_", "DATABRICKS_")
        import mlflow

        self._root.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        return mlflow.MlflowClient()


def _ensure_registered_model(client: "MlflowClient", model: str) -> None:
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)


def _registered(version: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(version.name, str(version.version), version.run_id)
