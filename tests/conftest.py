"""What every test may use."""

from pathlib import Path

import pytest

from lifecycle.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own in an empty folder, also for everything that reads the environment."""
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIFECYCLE_PROFILE", raising=False)
    return Settings()
