import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from lifecycle.cli import audit, lineage
from lifecycle.settings.platform import Settings
from tests.harness.audited_home import AuditedHome, audited_home


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> AuditedHome:
    """The home with its history; tests change copies. The environment is that of the tests again afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        return audited_home(tmp_path_factory.mktemp("audited") / "home", patch, is_own_process=False)


@dataclass(frozen=True)
class Copy:
    """A copy of the home, for one test to change."""

    made: AuditedHome
    settings: Settings


@pytest.fixture
def copy(made: AuditedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    shutil.copytree(made.settings.root, tmp_path / "home")
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LIFECYCLE_MODELS", str(made.home.models))
    monkeypatch.delenv("COLUMNS", raising=False)
    return Copy(made, Settings())


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    audit.register(app)
    lineage.register(app)
    return app
