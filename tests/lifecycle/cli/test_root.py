import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from lifecycle.cli import app
from tests.harness.paths import ROOT


def test_the_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (result.exit_code, result.stdout) == (0, f"lifecycle {project['version']}\n")


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command of a parser, by its words; a group that runs without a command is one itself."""
    if path and group.invoke_without_command:
        yield " ".join(path), group
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


PARSER = typer.main.get_command(app)
assert isinstance(PARSER, TyperGroup)
COMMANDS = dict(commands(PARSER))


def test_the_parser_has_the_commands_that_the_next_tests_walk() -> None:
    assert {
        "init",
        "up",
        "demo",
        "freeze",
        "rollback",
        "warehouse load",
        "features build",
        "simulate",
    } <= COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_prints_json_on_request(words: str) -> None:
    options = {option: parameter for parameter in COMMANDS[words].params for option in parameter.opts}
    assert "--json" in options
    assert options["--json"].is_flag
    assert not options["--json"].required


@pytest.mark.parametrize("words", COMMANDS)
def test_the_latest_release_is_named_by_one_option(words: str) -> None:
    options = {option for parameter in COMMANDS[words].params for option in parameter.opts}
    assert "--standing" not in options
    changes = {"promote", "canary", "end-canary", "shadow", "end-shadow", "rollback"}
    assert ("--after" in options) == (words in changes)


def test_init_and_check_print_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    made = CliRunner().invoke(app, ["init", "--json"])
    assert json.loads(made.stdout) == {"home": str(tmp_path / "home")}
    checked = CliRunner().invoke(app, ["check", "--json"])
    assert [model["model"] for model in json.loads(checked.stdout)] == ["card_fraud", "credit_default"]
