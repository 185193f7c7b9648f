"""Which variables of a shell reach a child program."""

import json
import os
import sys
from pathlib import Path

import pytest

from lifecycle.artefacts.lineage import code_commit
from lifecycle.local.processes import Ports, Running, Service, services
from lifecycle.settings.child_environment import (
    FURTHER_VARIABLE,
    SERVER_PREFIXES,
    SETTINGS_PREFIX,
    child_environment,
    forget_foreign_variables,
    forget_variables,
)
from lifecycle.settings.platform import Settings
from tests.harness.foreign_environment import FOREIGN
from tests.harness.imports import sources
from tests.harness.private_home import run_python

WORDS = tuple(name for name in FOREIGN if not name.startswith(SETTINGS_PREFIX))


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)


def test_no_foreign_variable_reaches_a_child(foreign: None) -> None:
    assert child_environment(SETTINGS_PREFIX, *SERVER_PREFIXES).keys().isdisjoint(WORDS)
    assert child_environment().keys().isdisjoint(FOREIGN)
    assert child_environment()["PATH"] == os.environ["PATH"]


def test_telemetry_is_off_whatever_the_shell_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert child_environment()["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_an_operator_names_what_is_passed_on(foreign: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FURTHER_VARIABLE, "HTTPS_PROXY, MISSING")
    environment = child_environment()
    assert environment["HTTPS_PROXY"] == FOREIGN["HTTPS_PROXY"]
    assert not {"HTTP_PROXY", "MISSING", ""} & environment.keys()


def test_each_service_gets_its_own_settings_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, foreign: None
) -> None:
    monkeypatch.setenv("SERVING_POLL_SECONDS", "7")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "scoring")
    monkeypatch.setenv("LIFECYCLE_PROFILE", "demo")
    by_name = {service.name: service for service in services(settings, Ports())}
    program = "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps(dict(os.environ)))"
    seen: dict[str, dict[str, str]] = {}
    group = Running(tmp_path)
    for name, service in by_name.items():
        out = tmp_path / name
        arguments = [sys.executable, "-c", program, str(out)]
        group.start(Service(name, arguments, 0, "/", service.environment, service.prefixes))
        group._processes[-1][1].wait(30)
        seen[name] = json.loads(out.read_text())
    assert all(environment.keys().isdisjoint(WORDS) for environment in seen.values())
    assert seen["dagster"]["LIFECYCLE_PROFILE"] == "demo"
    assert (seen["serving"]["SERVING_POLL_SECONDS"], seen["serving"]["OTEL_SERVICE_NAME"]) == ("7", "scoring")
    assert not any(name.startswith(("SERVING_", "OTEL_")) for name in seen["dagster"])
    assert not any(name.startswith(("LIFECYCLE_", "SERVING_")) for name in seen["mlflow"])


def test_a_command_forgets_the_shells_variables_and_keeps_its_settings(foreign: None) -> None:
    code = (
        "import os, json; os.environ['SERVING_PORT'] = '1'; os.environ['LIFECYCLE_HOME'] = 'h'\n"
        "from lifecycle.settings.child_environment import forget_foreign_variables\n"
        "forget_foreign_variables(); print(json.dumps(sorted(os.environ)))"
    )
    result = run_python(code, PYTHONPATH="", PYTHONWARNINGS="")
    names = set(json.loads(result.stdout))
    assert names.isdisjoint(WORDS)
    assert {"PATH", "SERVING_PORT", "LIFECYCLE_HOME", "OMP_WAIT_POLICY"} <= names
    assert callable(forget_foreign_variables)


def test_variables_of_a_library_are_forgotten_but_for_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "another")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    forget_variables("MLFLOW_")
    assert "MLFLOW_RUN_ID" not in os.environ
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_recorded_commit_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_commit()
    monkeypatch.setenv("GIT_DIR", "/nonexistent/.git")
    assert code_commit() == before
    assert before is not None


def test_every_module_that_starts_a_program_makes_its_environment() -> None:
    starts = ("subprocess.Popen(", "subprocess.run(")
    starters = [path for path in sources("lifecycle") if any(start in path.read_text() for start in starts)]
    assert len(starters) >= 5
    assert [str(path) for path in starters if "child_environment(" not in path.read_text()] == []


def test_only_one_module_asks_for_the_users_name() -> None:
    """`getpass.getuser` fails for a user id without a name, which must stop no command."""
    askers = [path.name for path in sources("lifecycle") if "getpass" in path.read_text()]
    assert askers == ["child_environment.py"]
