"""A new model's folder is whole and valid as it is written, and no existing one is touched."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.local.new_model import ORIGINS, Origin, write_new_model
from lifecycle.settings.platform import SHIPPED_MODELS


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_new_model_is_valid_as_it_is_written(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path))
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    written = CliRunner().invoke(app, ["new-model", "small_loans", "--from", origin])
    assert written.exit_code == 0, written.output
    assert "small_loans" in written.output
    checked = CliRunner().invoke(app, ["check", "--json"])
    assert checked.exit_code == 0, checked.output
    assert [document["model"] for document in json.loads(checked.stdout)] == ["small_loans"]
    texts = {path: path.read_text() for path in (tmp_path / "small_loans").rglob("*") if path.is_file()}
    leftovers = [path.name for path, text in texts.items() if "blank" in text or "credit_default" in text]
    assert leftovers == []
    assert "lifecycle check small_loans" in texts[tmp_path / "small_loans" / "README.md"]


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    write_new_model("loans", "blank", tmp_path)
    file = tmp_path / "loans" / "defs.yaml"
    file.write_text("mine")
    with pytest.raises(LifecycleError, match="found its folder; choose another name"):
        write_new_model("loans", "credit", tmp_path)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["Loans", "1loans", "loans/../x", ""])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="Expected a name of lower-case letters"):
        write_new_model(name, "blank", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_models_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFECYCLE_MODELS", raising=False)
    before = sorted(SHIPPED_MODELS.iterdir())
    with pytest.raises(LifecycleError, match="set LIFECYCLE_MODELS"):
        CliRunner().invoke(app, ["new-model", "loans"], catch_exceptions=False)
    assert sorted(SHIPPED_MODELS.iterdir()) == before


def test_only_the_models_own_names_change(tmp_path: Path) -> None:
    write_new_model("loans", "credit", tmp_path)
    declared, mart = (
        (tmp_path / "loans" / "dbt" / "models" / file).read_text()
        for file in ("staging/sources.yml", "marts/loans_client_features.sql")
    )
    assert "name: loans_clients" in declared
    assert "credit_limit" in declared
    assert "loans_limit" not in declared
    assert "derived('loans', 'utilisation')" in mart
    assert "ref('stg_loans_clients')" in mart
