from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.spec.model_files import model_files


def changed(tmp_path: Path, change: dict[str, Any]) -> Path:
    document = yaml.safe_load(model_files()[0].read_text())
    document["attributes"] |= change
    path = tmp_path / "defs.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_models_of_the_installation_are_valid() -> None:
    result = CliRunner().invoke(app, ["check"])
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stdout == "card_fraud: valid, 20 features, profiles demo\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"features": [{"name": "Amount EUR"}], "reason_texts": None}, r"got 'Amount EUR' - at `features\.0\.name`"),
        (
            {"profiles": {"demo": {"features": [{"name": "occurred_at"}]}}},
            r"got 'occurred_at' - at `features\.0\.name`",
        ),
        ({"mart": "no_mart"}, "Expected a dbt model no_mart"),
    ],
)
def test_a_file_that_cannot_be_served_is_refused_with_its_key(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    result = CliRunner().invoke(app, ["check", str(changed(tmp_path, change))])
    assert isinstance(result.exception, LifecycleError)
    assert result.exit_code == 1
    with pytest.raises(LifecycleError, match=expected):
        raise result.exception
