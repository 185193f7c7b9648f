"""The registry on a real MLflow store."""

import os
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from lifecycle.artefacts.candidates import Candidate, CandidateStore
from lifecycle.modelling.training import Trained
from lifecycle.releases.mlflow_registry import MirroredSlot, RegisteredVersion, Registry
from lifecycle.releases.mlflow_runs import RunPages
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Lineage
from tests.harness.toy_platform import REFUSING, evidence_of, without_reasons, written

pytestmark = [
    pytest.mark.long,  # creating an MLflow database takes seconds; tests/end_to_end registers a version in every run
    pytest.mark.filterwarnings("ignore"),  # MLflow, SQLAlchemy and their dependencies warn of each other
]

PAGES = RunPages(b"<h1>toy: model card</h1>", lambda: {"roc": b"\x89PNG"}, "http://127.0.0.1:3000/runs/r1")
AS_OF = "2024-02-01"


@pytest.fixture(scope="module")
def candidate(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    lineage = Lineage(
        as_of=AS_OF,
        training_set_digest="d" * 64,
        code_commit="c" * 40,
        parameters={"learning_rate": 0.1},
        seed=7,
        library_versions={"lightgbm": lightgbm.__version__},
    )
    return written(CandidateStore(tmp_path_factory.mktemp("candidates"), "toy"), without_reasons(trained), lineage)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def version(registry: Registry, spec: RiskModelSpec, candidate: Candidate) -> RegisteredVersion:
    return registry.register(spec, candidate, evidence_of(candidate), PAGES)


@pytest.fixture
def client(registry: Registry, version: RegisteredVersion) -> Any:
    import mlflow

    return mlflow.MlflowClient(registry.tracking_uri, registry.tracking_uri)


def outcomes(client: Any) -> list[str]:
    experiment = client.get_experiment_by_name("toy")
    return sorted(run.data.tags["outcome"] for run in client.search_runs([experiment.experiment_id]))


def aliases(client: Any) -> dict[str, str]:
    return {name: str(version) for name, version in client.get_registered_model("toy").aliases.items()}


def test_other_registries_of_the_process_are_read_afterwards(
    tmp_path: Path, registry: Registry, version: RegisteredVersion
) -> None:
    import mlflow

    assert registry.find("toy", "unknown") is None
    other = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'other.db'}")
    assert list(other.search_model_versions(f"name = '{version.name}'")) == []
    assert not [name for name in os.environ if name.startswith("MLFLOW_") and name.endswith("_URI")]


def test_a_version_leads_to_its_metrics_card_plots_commit_and_dagster_run(
    client: Any, spec: RiskModelSpec, version: RegisteredVersion, candidate: Candidate
) -> None:
    experiment = client.get_experiment_by_name("toy")
    assert experiment.tags["mlflow.note.content"] == spec.description
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert client.get_registered_model("toy").description == spec.description
    run = client.get_run(version.run_id)
    holdout = candidate.evaluation.holdout.metrics["average_precision"]
    assert run.data.metrics["average_precision_low"] == holdout.low
    assert {"baseline_average_precision", "search_gain"} <= set(run.data.metrics)
    assert run.data.tags["mlflow.source.git.commit"] == "c" * 40
    assert run.data.tags["dagster_run"] == PAGES.dagster_url
    assert PAGES.dagster_url in run.data.tags["mlflow.note.content"]
    assert {file.path for file in client.list_artifacts(version.run_id)} >= {"card.html", "plots", "verdicts.json"}
    assert [file.path for file in client.list_artifacts(version.run_id, "plots")] == ["plots/roc.png"]


def test_the_model_has_a_signature_and_predicts_as_its_trees_do(
    registry: Registry, version: RegisteredVersion, candidate: Candidate
) -> None:
    import mlflow
    import pandas as pd

    with registry.opened() as client:
        model = mlflow.pyfunc.load_model(client.get_model_version("toy", version.version).source)
    names = [feature.name for feature in candidate.deciding.features]
    assert model.metadata.get_input_schema().input_names() == names
    row = [120.0, 1.0, 1.0, float("nan")]
    expected = lightgbm.Booster(model_str=candidate.read("model.txt").decode()).predict(np.array([row]))
    assert model.predict(pd.DataFrame([row], columns=names)).tolist() == np.asarray(expected).tolist()


def test_refused_candidates_and_backtests_are_in_the_experiment_marked_and_once(
    client: Any, registry: Registry, spec: RiskModelSpec, candidate: Candidate, version: RegisteredVersion
) -> None:
    refused = evidence_of(candidate, REFUSING)
    run_id = registry.record(spec, candidate, refused, "refused", PAGES)
    assert registry.record(spec, candidate, refused, "refused", PAGES) == run_id
    registry.record(spec, candidate, evidence_of(candidate), "backtest", PAGES)
    assert outcomes(client) == ["backtest", "passed", "refused"]
    run = client.get_run(run_id)
    assert run.info.run_name == "toy as of 2024-02-01 (refused)"
    assert run.data.tags["refused_by"] == "enough_evidence"
    assert registry.find("toy", candidate.digest) == version
    with pytest.raises(ValueError, match="refused by enough_evidence"):
        registry.register(spec, candidate, refused, PAGES)


def test_the_aliases_follow_the_slots_and_leave_with_them(
    client: Any, registry: Registry, version: RegisteredVersion
) -> None:
    slot = MirroredSlot(version.version, "b" * 64)
    registry.mirror("toy", {"champion": slot, "shadow": slot})
    assert aliases(client) == {"champion": "1", "shadow": "1"}
    assert registry.champion("toy") == "b" * 64
    registry.mirror("toy", {"champion": slot})
    assert aliases(client) == {"champion": "1"}
    client.delete_registered_model_alias("toy", "champion")
    assert registry.champion("toy") is None


def test_a_run_that_a_crash_left_open_is_closed_and_logged_again(
    client: Any, registry: Registry, spec: RiskModelSpec, candidate: Candidate, version: RegisteredVersion
) -> None:
    experiment = client.get_experiment_by_name("toy").experiment_id
    tags = {"candidate_digest": candidate.digest, "outcome": "passed"}
    client.delete_run(version.run_id)
    left = client.create_run(experiment, tags=tags).info.run_id
    client.delete_model_version("toy", version.version)
    again = registry.register(spec, candidate, evidence_of(candidate), PAGES)
    assert again.run_id not in {left, version.run_id}
    assert client.get_run(left).info.status == "KILLED"


def test_a_deleted_experiment_or_model_is_made_again(
    client: Any, registry: Registry, spec: RiskModelSpec, candidate: Candidate
) -> None:
    client.delete_experiment(client.get_experiment_by_name("toy").experiment_id)
    client.delete_registered_model("toy")
    version = registry.register(spec, candidate, evidence_of(candidate), PAGES)
    assert client.get_experiment_by_name("toy").lifecycle_stage == "active"
    registry.mirror("toy", {"champion": MirroredSlot(version.version, "b" * 64)})
    assert registry.champion("toy") == "b" * 64
    assert client.get_registered_model("toy").description == spec.description


def test_a_registry_that_is_no_database_says_so(tmp_path: Path, candidate: Candidate) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Exception, match="not a database"):
        Registry(tmp_path).find("toy", candidate.digest)


def test_a_refreshed_card_and_its_tags_replace_the_earlier_ones(
    registry: Registry, client: Any, version: RegisteredVersion, candidate: Candidate
) -> None:
    card = Path(registry.tracking_uri.removeprefix("sqlite:///")).with_name("card.html")
    for approved_by, waived in ((("anna", "ben"), ("above_floor",)), (("anna",), ()), ((), ())):
        text = f"<h1>approved by {approved_by}</h1>"
        shown = RunPages(text.encode(), dict, PAGES.dagster_url, waived, approved_by=approved_by)
        for _ in range(2):
            registry.refresh("toy", candidate.digest, shown)
        downloaded = Path(client.download_artifacts(version.run_id, "card.html", str(card.parent)))
        assert downloaded.read_text() == text
        expected = {"approved_by": ", ".join(approved_by), "waived": ", ".join(waived)}
        for tags in (client.get_run(version.run_id).data.tags, client.get_model_version("toy", version.version).tags):
            assert {tag: tags.get(tag, "") for tag in expected} == expected


def test_a_candidate_that_mlflow_does_not_know_is_not_refreshed(registry: Registry, client: Any) -> None:
    before = outcomes(client)
    registry.refresh("toy", "0" * 64, PAGES)
    registry.refresh("never_trained", "0" * 64, PAGES)
    assert outcomes(client) == before
