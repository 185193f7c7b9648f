"""Models of LightGBM and XGBoost trained elsewhere: from the file to a served decision with reasons."""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.artefacts.bundles import bundle_folder
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import release_asset
from lifecycle.assets.training import candidate_asset, training_set_asset
from lifecycle.assets.validation import gate_checks
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import digest
from serving.scoring.probability import probability
from tests.harness.external_models import (
    DIGEST,
    FILES,
    TRAINED_UNTIL,
    as_request,
    external_spec,
    hand_over,
    own_contributions,
    own_margins,
    predictions,
    trained_elsewhere,
)
from tests.harness.model_texts import DAMAGES as LIGHTGBM_DAMAGES
from tests.harness.server_process import Server, served
from tests.harness.small_models import SmallStore, score_request
from tests.harness.toy_model import AS_OF, card_table
from tests.harness.toy_platform import failure, fill_warehouse, materialize, metadata
from tests.harness.xgboost_models import DAMAGES as XGBOOST_DAMAGES

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]
LIBRARIES = ("lightgbm", "xgboost")
URL = "/v1/models/toy/score"


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return card_table()


@pytest.fixture
def models(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models of a bank's own, and an empty installation."""
    settings.root.mkdir(parents=True)
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def run(spec: RiskModelSpec, *, is_frozen: bool = False) -> dg.ExecuteInProcessResult:
    made = [] if is_frozen else [training_set_asset(spec)]
    steps = [candidate_asset(spec), gate_checks(spec), model_version_asset(spec), release_asset(spec)]
    return materialize(Stores(), [*made, *steps], AS_OF)


def installed(settings: Settings) -> SmallStore:
    keys = ensure_keys(settings)
    return SmallStore(settings, keys, ReleaseStore(settings.release_store, keys))


def answers(server: Server, rows: Any, prefix: str) -> list[dict[str, Any]]:
    requests = [score_request(f"{prefix}{number}", features=as_request(row)) for number, row in enumerate(rows)]
    responses = [server.client.post(URL, json=request) for request in requests]
    assert {response.status_code for response in responses} == {200}
    return [response.json() for response in responses]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_model_trained_elsewhere_is_judged_released_and_served_as_its_library_scores(
    library: str, models: Path, settings: Settings, table: pa.Table
) -> None:
    content, spec = trained_elsewhere(library), external_spec(FILES[library])
    hand_over(models, FILES[library], content)
    stores = Stores()
    fill_warehouse(stores, spec, table, table)
    result = run(spec)
    assert result.success, failure(result)
    candidate = stores.candidates("toy").current(AS_OF.isoformat())
    assert candidate.model_text == candidate.judged_model_text == content
    assert candidate.model_file == FILES[library]
    expect_origin(library, candidate.lineage.parameters, content)
    assert candidate.evaluation.trained_until == TRAINED_UNTIL
    assert candidate.evaluation.trials == ()
    assert candidate.evaluation.importance["amount"] > 0.1
    assert set(metadata(result, "candidate")["parameters"]) >= {"training_data_digest", "model_file_digest"}
    release = stores.releases().history("toy")[-1]
    folder = bundle_folder(settings.release_store, release.champion.bundle_digest)
    assert (folder / FILES[library]).read_bytes() == content
    card = (folder / "card.html").read_text()
    assert f"trained elsewhere with {library}" in card
    assert DIGEST in card
    rows = examples_from_table(table, spec).features[-240:]
    expected = own_margins(library, content, rows)
    expect_registered(stores, rows, expected, library)
    with served(installed(settings)) as server:
        first = answers(server, rows, "a")
    assert [answer["margin"] for answer in first] == expected
    calibration = candidate.deciding.calibration
    assert [answer["score"] for answer in first] == [probability(margin, calibration) for margin in expected]
    expect_reasons(first, own_contributions(library, content, rows))
    with served(installed(settings)) as server:
        again = answers(server, rows, "b")
        damaged_files_change_nothing(library, models, spec, content)
        assert answers(server, rows[:1], "c")[0]["margin"] == expected[0]
    assert [answer["margin"] for answer in again] == expected


def expect_origin(library: str, parameters: dict[str, Any], content: bytes) -> None:
    """Lineage says where the trees come from, and that the library itself gave the same margins."""
    compared = parameters.pop("margins_compared")
    assert parameters == {
        "estimator": "external",
        "library": library,
        "model_file": FILES[library],
        "model_file_digest": f"sha256:{digest(content)}",
        "training_data_digest": DIGEST,
        "trained_until": TRAINED_UNTIL,
    }
    assert f"rows, equal to {library} " in compared


def expect_registered(stores: Stores, rows: Any, margins: list[float], library: str) -> None:
    """MLflow's version predicts, without pickle, what the library does."""
    import mlflow.pyfunc
    import pandas

    registry = stores.registry()
    candidate = stores.candidates("toy").current(AS_OF.isoformat())
    version = registry.find("toy", candidate.digest)
    assert version is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
        client = mlflow.MlflowClient()
        assert client.get_run(version.run_id).data.params["training_data_digest"] == DIGEST
        loaded = mlflow.pyfunc.load_model(f"models:/toy/{version.version}")
    names = [feature.name for feature in candidate.deciding.features]
    predicted = loaded.predict(pandas.DataFrame(rows, columns=names))
    assert np.allclose(predicted, 1 / (1 + np.exp(-np.array(margins))), rtol=1e-9), library
    assert not list(stores.settings.root.rglob("*.pkl"))


def expect_reasons(found: list[dict[str, Any]], contributions: Any) -> None:
    adverse = [number for number, answer in enumerate(found) if answer["reasons"]]
    assert adverse
    for number in adverse:
        amount, time, segment, risk = contributions[number, :4].tolist()
        by_group = {"amount": amount, "time": time, "customer": segment + risk}
        for reason in found[number]["reasons"]:
            assert reason["contribution"] == pytest.approx(by_group[reason["code"]], abs=1e-5)


def damaged_files_change_nothing(library: str, models: Path, spec: RiskModelSpec, content: bytes) -> None:
    damaged = XGBOOST_DAMAGES["a loop"](content) if library == "xgboost" else b""
    damaged = damaged or LIGHTGBM_DAMAGES["a loop"](content.decode()).encode()
    hand_over(models, FILES[library], damaged)
    releases = len(Stores().releases().history("toy"))
    refused = run(spec, is_frozen=True)
    assert not refused.success
    assert "below its parent" in failure(refused)
    assert len(Stores().releases().history("toy")) == releases


def test_the_holdout_must_be_later_than_the_data_it_was_trained_on(models: Path, table: pa.Table) -> None:
    spec = external_spec("model.json", trained_until="2024-01-20")
    hand_over(models, "model.json", trained_elsewhere("xgboost"))
    fill_warehouse(Stores(), spec, table, table)
    run(spec)
    evidence = Stores().evidence("toy").gates(Stores().candidates("toy").current(AS_OF.isoformat()).digest)
    [refusal] = [verdict for verdict in evidence.verdicts if verdict.gate == "point_in_time"]
    assert not refusal.is_passed
    assert refusal.summary == (
        "2 windows the external model was trained on; it is declared as trained until 2024-01-20: possible from the as "
        "of 2024-02-08 on"
    )
    assert Stores().releases().history("toy") == ()


def test_margins_of_the_hand_over_are_compared_and_another_model_is_refused(models: Path, table: pa.Table) -> None:
    spec = external_spec("model.json", predictions="golden.jsonl")
    content, other = trained_elsewhere("xgboost"), trained_elsewhere("lightgbm")
    rows = examples_from_table(table, spec).features[:50]
    hand_over(models, "model.json", content)
    hand_over(models, "golden.jsonl", predictions("xgboost", content, rows))
    fill_warehouse(Stores(), spec, table, table)
    result = run(spec)
    assert result.success, failure(result)
    parameters = Stores().candidates("toy").current(AS_OF.isoformat()).lineage.parameters
    assert parameters["margins_compared"] == "50 rows, equal to those in golden.jsonl to 1e-06"
    hand_over(models, "golden.jsonl", predictions("lightgbm", other, rows))
    refused = run(spec, is_frozen=True)
    assert not refused.success
    assert "of 50 rows differ; were they made by all trees of this very file" in failure(refused)
    hand_over(models, "golden.jsonl", b'{"features": {"amount": 12345.67}, "margin": 0}\n')
    message = failure(run(spec, is_frozen=True))
    assert "at golden.jsonl, line 1" in message
    assert "12345" not in message.partition("at golden.jsonl, line 1")[0].rpartition("Expected")[2]


def test_the_champions_gate_compares_models_of_two_libraries(models: Path, settings: Settings, table: pa.Table) -> None:
    fill_warehouse(Stores(), external_spec("model.txt"), table, table)
    hand_over(models, "model.txt", trained_elsewhere("lightgbm"))
    hand_over(models, "model.json", trained_elsewhere("xgboost"))
    assert run(external_spec("model.txt")).success
    champion = Stores().releases().history("toy")[-1].champion.bundle_digest
    result = run(external_spec("model.json"), is_frozen=True)
    [verdict] = [
        found for found in result.get_asset_check_evaluations() if found.check_name == "not_worse_than_champion"
    ]
    positives = verdict.metadata["observed/positives"].value
    assert isinstance(positives, int), failure(result)
    assert positives > 0
    assert Stores().candidates("toy").current(AS_OF.isoformat()).model_format == "xgboost"
    bundle = bundle_folder(settings.release_store, champion)
    assert (bundle / "model.txt").is_file()
    assert not (bundle / "model.json").exists()
