import tomllib

from typer.testing import CliRunner

from lifecycle.cli import app
from tests.harness.paths import ROOT


def test_the_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (result.exit_code, result.stdout) == (0, f"lifecycle {project['version']}\n")
