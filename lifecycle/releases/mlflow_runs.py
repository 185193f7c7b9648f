"""MLflow runs of candidates: one for each candidate and outcome, whether or not its gates passed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from lifecycle.artefacts.candidates import EVALUATION_FILE, Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.modelling.evaluation import Evaluation
from lifecycle.modelling.search import search_gain
from lifecycle.releases import mlflow_xgboost
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import CARD_FILE, Feature, digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CANDIDATE_TAG = "candidate_digest"
OUTCOME_TAG = "outcome"
NOTE_TAG = "mlflow.note.content"
CLASSIC_EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""Without it the UI guesses, and may show the tabs of a chatbot."""

RunOutcome = Literal["passed", "refused", "inconclusive", "backtest", "shadow"]
"""A backtest passed its gates, and stops there. An inconclusive one has no refusal, and too little evidence; one for
the shadow is such a candidate that scores copies of the traffic."""


@dataclass(frozen=True)
class RunPages:
    """What a run shows in addition to the candidate: its card, its plots, and the Dagster run that judged it.

    `plots` draws PNG by name; it is called only if the run is logged.
    """

    card: bytes
    plots: Callable[[], Mapping[str, bytes]]
    dagster_url: str
    waived: tuple[str, ...] = ()
    """Gates that did not pass and have a waiver."""
    is_for_shadow: bool = False
    """Whether gates without enough evidence may stand open, because the model answers no caller."""
    approved_by: tuple[str, ...] = ()
    """People whose approvals count."""

    @property
    def consent_tags(self) -> dict[str, str]:
        """Tags of the waivers and approvals in force; an empty one is to be removed."""
        return {"waived": ", ".join(self.waived), "approved_by": ", ".join(self.approved_by)}


class CandidateRuns:
    """The runs of one model's experiment."""

    def __init__(self, client: "MlflowClient", artifacts: Path, spec: RiskModelSpec) -> None:
        self._client = client
        self._artifacts = artifacts
        self._spec = spec

    def ensure(self, candidate: Candidate, evidence: GateEvidence, outcome: RunOutcome, pages: RunPages) -> str:
        """Id of the finished run of a candidate with this outcome, logged if it is missing; idempotent.

        A run that a crash left unfinished is closed and logged again.
        """
        experiment_id = self._experiment()
        chosen = f"tags.{CANDIDATE_TAG} = '{candidate.digest}' and tags.{OUTCOME_TAG} = '{outcome}'"
        for run in self._client.search_runs([experiment_id], chosen):
            if run.info.status == "FINISHED":
                return str(run.info.run_id)
            if run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, "KILLED")
        return self._log(experiment_id, candidate, evidence, outcome, pages)

    def model_uri(self, run_id: str) -> str:
        """Address of the model that a run logged."""
        outputs = self._client.get_run(run_id).outputs
        return f"models:/{outputs.model_outputs[0].model_id}"

    def _experiment(self) -> str:
        """The model's experiment; one that was deleted is restored, because MLflow never frees its name."""
        spec = self._spec
        tags = CLASSIC_EXPERIMENT | {NOTE_TAG: spec.description}
        experiment = self._client.get_experiment_by_name(spec.name)
        if experiment is None:
            location = (self._artifacts / spec.name).as_uri()
            return str(self._client.create_experiment(spec.name, artifact_location=location, tags=tags))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                self._client.set_experiment_tag(experiment.experiment_id, name, value)
        return str(experiment.experiment_id)

    def _log(
        self, experiment_id: str, candidate: Candidate, evidence: GateEvidence, outcome: RunOutcome, pages: RunPages
    ) -> str:
        import mlflow

        lineage, evaluation = candidate.lineage, candidate.evaluation
        name, tags = _name(self._spec.name, lineage.as_of, outcome), _tags(candidate, evidence, outcome, pages)
        with mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=tags) as run:
            mlflow.log_params(lineage.parameters | {"seed": lineage.seed, "as_of": lineage.as_of})
            mlflow.log_metrics(_metrics(evaluation.holdout, "") | _metrics(evaluation.baseline, "baseline_"))
            if gains := search_gain(evaluation.trials):
                mlflow.log_metric("search_gain", sum(gains) / len(gains))
            if evaluation.choice is not None:
                mlflow.set_tag("search_choice", evaluation.choice.text)
            mlflow.log_dict(msgspec.to_builtins(evidence), "verdicts.json")
            mlflow.log_artifact(str(candidate.folder / EVALUATION_FILE))
            mlflow.log_text(pages.card.decode(), CARD_FILE)
            for plot, png in pages.plots().items():
                self._log_bytes(run.info.run_id, f"plots/{plot}.png", png)
            if outcome in {"passed", "shadow"}:
                _log_model(candidate)
        return str(run.info.run_id)

    def _log_bytes(self, run_id: str, path: str, content: bytes) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(path).name
            file.write_bytes(content)
            self._client.log_artifact(run_id, str(file), str(Path(path).parent))


def refresh_runs(client: "MlflowClient", model: str, candidate_digest: str, pages: RunPages) -> None:
    """Write card and tags of waivers and approvals of a candidate's finished runs again; not those of a backtest."""
    experiment = client.get_experiment_by_name(model)
    if experiment is None:
        return
    chosen = f"tags.{CANDIDATE_TAG} = '{candidate_digest}' and tags.{OUTCOME_TAG} != 'backtest'"
    for run in client.search_runs([experiment.experiment_id], chosen):
        if run.info.status != "FINISHED":
            continue
        client.log_text(run.info.run_id, pages.card.decode(), CARD_FILE)
        write_tags(
            pages.consent_tags,
            run.data.tags,
            partial(client.set_tag, run.info.run_id),
            partial(client.delete_tag, run.info.run_id),
        )


def write_tags(
    texts: Mapping[str, str],
    present: Mapping[str, str],
    write: Callable[[str, str], None],
    remove: Callable[[str], None],
) -> None:
    """Write each tag that has a text, and remove those of `present` that no longer have one."""
    for tag, text in texts.items():
        if text:
            write(tag, text)
        elif tag in present:
            remove(tag)


def _log_model(candidate: Candidate) -> None:
    import lightgbm
    import mlflow.lightgbm

    signature = _signature(candidate.deciding.features)
    # Declared, because MLflow otherwise starts a process that imports the model to infer them.
    requirements = [f"{name}=={version}" for name, version in candidate.lineage.library_versions.items()]
    if candidate.model_format == "xgboost":
        mlflow_xgboost.log_model(candidate.model_text, signature, requirements)
        return
    mlflow.lightgbm.log_model(
        lightgbm.Booster(model_str=candidate.model_text.decode()),
        name="model",
        signature=signature,
        pip_requirements=requirements,
    )


def _signature(features: tuple[Feature, ...]) -> "ModelSignature":
    """Inputs of the trees: numbers, a category as the position of its value.

    The output is the library's own, which the server calibrates.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    inputs = [ColSpec(DataType.double, feature.name, required=not feature.is_nullable) for feature in features]
    return ModelSignature(Schema(inputs), Schema([ColSpec(DataType.double)]))


def _name(model: str, as_of: str, outcome: RunOutcome) -> str:
    return f"{model} as of {as_of}" if outcome == "passed" else f"{model} as of {as_of} ({outcome})"


def _tags(candidate: Candidate, evidence: GateEvidence, outcome: RunOutcome, pages: RunPages) -> dict[str, str]:
    lineage = candidate.lineage
    blocking = {
        tag: ", ".join(verdict.gate for verdict in evidence.refusals if verdict.outcome == outcome_of_gate)
        for tag, outcome_of_gate in (("refused_by", "FAIL"), ("inconclusive_by", "INCONCLUSIVE"))
    }
    tags = {
        CANDIDATE_TAG: candidate.digest,
        OUTCOME_TAG: outcome,
        "as_of": lineage.as_of,
        "training_set_digest": lineage.training_set_digest,
        "model_text_digest": digest(candidate.model_text),
        "dagster_run": pages.dagster_url,
        "mlflow.source.type": "JOB",
        "mlflow.source.name": pages.dagster_url,
        NOTE_TAG: "\n\n".join(
            [
                f"Outcome: {outcome}." if evidence.is_passed else f"{evidence.outcome_text.capitalize()}.",
                *(f"- **{verdict.gate}** {verdict.outcome}: {verdict.summary}" for verdict in evidence.verdicts),
                f"[Run in Dagster]({pages.dagster_url})",
            ]
        ),
    }
    tags |= {tag: gates for tag, gates in blocking.items() if gates}
    tags |= {tag: text for tag, text in pages.consent_tags.items() if text}
    if lineage.code_commit is not None:
        tags["mlflow.source.git.commit"] = lineage.code_commit
    return tags


def _metrics(evaluation: Evaluation, prefix: str) -> dict[str, float]:
    """Each metric with the ends of its interval."""
    return {
        f"{prefix}{name}{suffix}": value
        for name, interval in evaluation.metrics.items()
        for suffix, value in (("", interval.value), ("_low", interval.low), ("_high", interval.high))
    }
