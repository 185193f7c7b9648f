"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from lifecycle.settings import Settings

# The installation of whoever runs the tests is none of theirs.
for name in [name for name in os.environ if name.startswith("LIFECYCLE_")]:
    del os.environ[name]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own in an empty folder, also for everything that reads the environment."""
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIFECYCLE_PROFILE", raising=False)
    return Settings()


# A shared machine is sometimes slow: an example that takes long is no fault, and the time limit of a test stands.
hypothesis_settings.register_profile("shared_machine", deadline=None)
hypothesis_settings.load_profile("shared_machine")
