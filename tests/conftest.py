"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from lifecycle.settings.platform import Settings
from tests.harness.small_models import SmallStore

# The installation of whoever runs the tests is none of theirs.
for name in [name for name in os.environ if name.startswith("LIFECYCLE_")]:
    del os.environ[name]

LONG = ("end_to_end", "lifecycle/features", "lifecycle/warehouse")
"""Folders whose files take minutes: begun first, so that at the end no process is left alone with one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; `tests/run` keeps their order."""
    items.sort(key=lambda item: not any(f"tests/{folder}/" in item.path.as_posix() for folder in LONG))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own in an empty folder, also for everything that reads the environment."""
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIFECYCLE_PROFILE", raising=False)
    return Settings()


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    """A release store below an empty folder."""
    return SmallStore.under(tmp_path / "home")


@pytest.fixture
def uncancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements to Snowflake that the connector does not cancel when they take longer than its network timeout.

    For tests whose short timeout is to give up an endpoint that is dead: a busy machine's may take as long for a
    statement. Of a dead one the connector's thread that cancels would end with an exception.
    """
    from snowflake.connector import cursor

    name = "_TrackedQueryCancellationTimer"
    timer = getattr(cursor, name)
    monkeypatch.setattr(cursor, name, lambda _seconds, *cancel: timer(3600, *cancel))


# A shared machine is sometimes slow: an example that takes long is no fault, and the time limit of a test stands.
hypothesis_settings.register_profile("shared_machine", deadline=None)
hypothesis_settings.load_profile("shared_machine")
