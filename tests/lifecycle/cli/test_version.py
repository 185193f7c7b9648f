from importlib.metadata import version

from typer.testing import CliRunner

from lifecycle.cli import app


def test_the_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"lifecycle {version('risk-model-lifecycle')}\n")
