"""The mirrors after a command, in a real MLflow store and a real Dagster storage."""

import dataclasses
import datetime as dt
from pathlib import Path

import dagster as dg
import msgspec
import pytest
from typer.testing import CliRunner

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import newest_metadata, register
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.cli import app
from lifecycle.local.installation import prepare
from lifecycle.modelling.training import Trained
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from serving.contract.documents import Lineage, Release
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import PASSING, evidence_of, without_reasons, written

MODEL = "card_fraud"


def released(trained: Trained) -> tuple[Release, ...]:
    """Two releases of the toy's trees under the shipped model's name."""
    stores, spec = Stores(), read_model(MODEL)
    for as_of in (AS_OF, AS_OF + dt.timedelta(days=1)):
        lineage = Lineage(
            as_of=as_of.isoformat(),
            training_set_digest="d" * 64,
            code_commit=None,
            parameters={},
            seed=as_of.day,
            library_versions={},
        )
        candidate = written(stores.candidates(MODEL), trained, lineage)
        evidence = evidence_of(candidate, PASSING, MODEL)
        stores.evidence(MODEL).write_gates(evidence)
        bundle = seal(spec, stores, candidate, evidence)
        stores.releases().publish(MODEL, bundle, by="test", reason="test")
    return stores.releases().history(MODEL)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # MLflow and SQLAlchemy warn of each other
def test_after_a_rollback_by_command_mlflow_and_dagster_name_the_restored_champion(
    settings: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.cli.mirror.TIMEOUT_SECONDS", 280.0)  # a busy machine imports MLflow for a minute
    prepare(settings)
    toy = without_reasons(trained)
    history = released(dataclasses.replace(toy, deciding=msgspec.structs.replace(toy.deciding, model=MODEL)))
    answer = CliRunner().invoke(app, ["rollback", MODEL, "--reason", "worse"])
    assert answer.exit_code == 0, answer.output
    assert "Mirroring" not in answer.stderr
    assert Stores().registry().champion(MODEL) == history[0].champion.bundle_digest
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        shown = newest_metadata(instance, ModelKeys(MODEL).release)
    assert (shown["release_number"], shown["restores"]) == (3, 1)
    assert shown["bundle_digest"] == history[0].champion.bundle_digest


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # MLflow and SQLAlchemy warn of each other
def test_after_an_approval_and_its_withdrawal_by_command_mlflow_and_dagster_tell_the_same(
    settings: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.cli.mirror.TIMEOUT_SECONDS", 280.0)  # a busy machine imports MLflow for a minute
    prepare(settings)
    toy, stores, spec = without_reasons(trained), Stores(), read_model(MODEL)
    released(dataclasses.replace(toy, deciding=msgspec.structs.replace(toy.deciding, model=MODEL)))
    candidate = stores.candidates(MODEL).current(AS_OF.isoformat())
    evidence = stores.evidence(MODEL).gates(candidate.digest)
    version = register(spec, stores, candidate, evidence, None)
    command = ["approve", MODEL, candidate.digest, "--reason", "limits read", "--as", "anna"]
    for words, approved_by in ((command, "anna"), ([*command, "--withdraw"], "no one")):
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0, answer.output
        assert "It is written and recorded." not in answer.stderr
        with stores.registry().opened() as client:
            card = Path(client.download_artifacts(version.run_id, "card.html", str(settings.root))).read_text()
            tags = client.get_model_version(MODEL, version.version).tags
        assert ("limits read" in card) == (approved_by == "anna")
        assert tags.get("approved_by", "no one") == approved_by
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            [record] = instance.fetch_observations(ModelKeys(MODEL).model_version, limit=1).records
        assert record.asset_observation is not None
        assert record.asset_observation.metadata["approved_by"].value == approved_by
