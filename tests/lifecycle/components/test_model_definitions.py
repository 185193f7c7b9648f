"""A model whose file is faulty is left out and shown; the other models run."""

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml

from lifecycle.errors import LifecycleError
from lifecycle.releases.alert_log import ALERTS_FILE
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import model_files, read_model, read_models, read_specs

BROKEN = dg.AssetKey(["broken_one", "model_file"])


@pytest.fixture
def folder(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models on one mart, and a third whose file is faulty."""
    settings.root.mkdir(parents=True)
    document = yaml.safe_load(model_files()[0].read_text())
    folder = tmp_path / "models"
    for name in ("card_fraud", "second"):
        write(folder, name, yaml.safe_dump(document | {"attributes": document["attributes"] | {"name": name}}))
    write(folder, "broken-one", yaml.safe_dump(document | {"attributes": document["attributes"] | {"features": []}}))
    monkeypatch.setenv("LIFECYCLE_MODELS", str(folder))
    return folder


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "defs.yaml").write_text(text)


def repository() -> dg.RepositoryDefinition:
    from lifecycle.definitions import defs

    return defs().get_repository_def()


@pytest.mark.long
def test_both_models_run_and_the_faulty_one_is_a_placeholder(folder: Path) -> None:
    loaded = repository()
    jobs = {job.name for job in loaded.get_all_jobs()}
    assert {"card_fraud_retrain", "second_retrain", "card_fraud_monitor", "second_monitor"} <= jobs
    assert not any(job.startswith("broken") for job in jobs)
    node = loaded.asset_graph.get(BROKEN)
    assert "It is left out" in (node.description or "")
    assert "at `features`" in (node.description or "")


@pytest.mark.parametrize(
    "text", ["", "attributes: [", "attributes: {name: second}", "[1]", "\tx", "attributes: {mart: }"]
)
@pytest.mark.parametrize("name", ["card_fraud", "second"])
def test_breaking_either_file_leaves_the_other(folder: Path, name: str, text: str) -> None:
    write(folder, name, text)
    models = read_models(Settings())
    assert set(models.valid) == {"card_fraud", "second"} - {name}
    assert {model.name for model in models.faulty} == {"broken-one", name}
    assert all(str(model.path) in model.message for model in models.faulty)
    [other] = models.valid
    assert read_model(other).name == other
    with pytest.raises(LifecycleError, match=rf"{name}/defs\.yaml"):
        read_model(name)
    with pytest.raises(LifecycleError, match="broken-one"):
        read_specs()


@pytest.mark.parametrize("fault", ["attributes: [", "features"])
def test_breaking_the_only_file_with_the_profile_leaves_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    document = yaml.safe_load((folder / "second" / "defs.yaml").read_text())
    document["attributes"].pop("profiles")
    write(folder, "second", yaml.safe_dump(document))
    shutil.rmtree(folder / "broken-one")
    text = (folder / "card_fraud" / "defs.yaml").read_text()
    write(folder, "card_fraud", text.replace("features:", "feature:") if fault == "features" else fault)
    monkeypatch.setenv("LIFECYCLE_PROFILE", "demo")
    settings = Settings()
    assert list(read_models(settings).valid) == ["second"]
    assert read_model("second", settings.profile).name == "second"
    if fault == "features":
        with pytest.raises(LifecycleError, match="Expected one of the models' profiles"):
            read_model("second", "dmeo")


@pytest.mark.long  # loads all definitions
def test_without_any_usable_model_the_platform_loads(folder: Path) -> None:
    for name in ("card_fraud", "second"):
        write(folder, name, "attributes: [")
    loaded = repository()
    assert len([key for key in loaded.asset_graph.get_all_asset_keys() if key.path[-1] == "model_file"]) == 3
    assert loaded.get_job("features").name == "features"


@pytest.mark.long  # loads all definitions, five times
def test_a_fault_is_shown_and_alerted_once_and_another_one_again(folder: Path) -> None:
    def evaluate(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            result = repository().get_sensor_def("faulty_models")(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    def alerts() -> list[str]:
        lines = (Settings().root / ALERTS_FILE).read_text().splitlines()
        assert all(json.loads(line)["kind"] == "faulty_model" for line in lines)
        return [json.loads(line)["model"] for line in lines]

    first = evaluate(None)
    assert isinstance(first, dg.SensorResult)
    [evaluation] = first.asset_events
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    assert (evaluation.asset_key, evaluation.passed) == (BROKEN, False)
    assert alerts() == ["broken-one"]
    assert isinstance(evaluate(first.cursor), dg.SkipReason)
    evaluate(None)
    assert alerts() == ["broken-one"]
    write(folder, "second", "attributes: [")
    assert isinstance(evaluate(first.cursor), dg.SensorResult)
    assert alerts() == ["broken-one", "second"]
