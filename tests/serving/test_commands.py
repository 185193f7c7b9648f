"""Every command of the server that prints something for people prints JSON as well."""

import subprocess
import sys

import pytest

from tests.harness.paths import ROOT

RUNNING = {"serving/__main__.py", "serving/scoring/trial_load.py"}
"""A server, and the child process that tries a bundle: neither prints a result for people."""


def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_every_program_is_known() -> None:
    programs = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "serving").rglob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    commands = {"serving/access/__main__.py", "serving/log/verify.py", "serving/scoring/compile_kernels.py"}
    assert programs == RUNNING | commands


@pytest.mark.parametrize(
    "command",
    [
        ("serving.log.verify",),
        ("serving.scoring.compile_kernels",),
        ("serving.access", "add"),
        ("serving.access", "list"),
        ("serving.access", "revoke"),
    ],
)
def test_a_command_takes_json(command: tuple[str, ...]) -> None:
    assert "--json" in help_of(*command)


def test_no_other_command_of_the_keys_exists() -> None:
    assert "add|list|revoke" in help_of("serving.access")
