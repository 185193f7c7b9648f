"""Runs commands in this process."""

import typer
from typer.testing import CliRunner

from lifecycle.errors import LifecycleError


def said(app: typer.Typer, *arguments: str, exit_code: int = 0) -> str:
    """What a command prints; its `LifecycleError` is raised, another exit code is an assertion with the output."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, LifecycleError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.output
