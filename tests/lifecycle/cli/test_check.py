import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.spec.model_files import model_files


def changed(tmp_path: Path, change: dict[str, Any]) -> Path:
    document = yaml.safe_load(model_files()[0].read_text())
    document["attributes"] |= change
    path = tmp_path / "card_fraud" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_models_of_the_installation_are_valid() -> None:
    result = CliRunner().invoke(app, ["check"])
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stdout == "card_fraud: valid, 20 features, profiles demo\ncredit_default: valid, 18 features\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"features": [{"name": "Amount EUR"}], "reason_texts": None}, r"got 'Amount EUR' - at `features\.0\.name`"),
        (
            {"profiles": {"demo": {"features": [{"name": "occurred_at"}]}}},
            r"got 'occurred_at' - at `features\.0\.name`",
        ),
        ({"examples": {"mart": "no_mart"}}, "Expected a dbt model that is described, got 'no_mart'"),
    ],
)
def test_a_file_that_cannot_be_served_is_refused_with_its_key(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    result = CliRunner().invoke(app, ["check", str(changed(tmp_path, change))])
    assert result.exit_code == 1
    assert re.search(expected, result.stdout.replace("\n", " "))


def test_every_faulty_model_is_named_and_the_others_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = model_files()[0]
    shutil.copytree(shipped.parent, tmp_path / "card_fraud")
    for name, text in (("broken", "attributes: ["), ("other", shipped.read_text()), ("binary", "\udcff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "defs.yaml").write_text(text, errors="surrogateescape")
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path))
    result = CliRunner().invoke(app, ["check", "--json"])
    assert result.exit_code == 1
    found = {document["model"]: document.get("fault") for document in json.loads(result.stdout)}
    assert found["card_fraud"] is None
    assert found["broken"].startswith("Expected YAML")
    assert found["binary"].startswith("Expected a readable text file")
    assert found["other"].startswith("Expected the name of the model's folder, 'other', got 'card_fraud'")


def test_the_schema_accepts_the_shipped_file_and_refuses_what_the_check_refuses() -> None:
    schema = json.loads(CliRunner().invoke(app, ["check", "--schema"]).stdout)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    document = yaml.safe_load(model_files()[0].read_text())
    assert list(validator.iter_errors(document)) == []
    changes: list[dict[str, Any]] = [{"colour": 1}, {"features": []}, {"promotion": {"mode": "always"}}, {"mart": None}]
    for change in changes:
        wrong = document | {"attributes": document["attributes"] | change}
        assert list(validator.iter_errors(wrong)), change
