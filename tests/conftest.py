"""Fixtures and settings of all tests."""

import gc
import os
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from lifecycle.settings.platform import Settings
from tests.harness.small_models import SmallStore

# The tests must not read or change the installation of the person who runs them.
for name in [name for name in os.environ if name.startswith("LIFECYCLE_")]:
    del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave out what lives until the end from the collection of garbage: a million objects, seen again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        if "alembic.script" in sys.modules:
            _read_migrations_once()


def _read_migrations_once() -> None:
    """Let alembic read a folder of migrations once: each of Dagster's and MLflow's storages reads all of them again."""
    from alembic.script import ScriptDirectory

    made = ScriptDirectory.from_config
    known: dict[tuple[str | None, ...], ScriptDirectory] = {}

    def from_config(config: Any) -> ScriptDirectory:
        key = config.get_main_option("script_location"), config.get_main_option("version_locations")
        if key not in known:
            known[key] = made(config)
        return known[key]

    ScriptDirectory.from_config = from_config  # type: ignore[method-assign]


SLOW = ("end_to_end", "lifecycle/features", "lifecycle/local", "lifecycle/warehouse", "serving/process")
"""Folders whose files take minutes. They run first, so that all processes end at about the same time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow files first; `tests/run` keeps this order. What runs on both warehouses is `long` on the second."""
    for item in items:
        if "snowflake" in item.name.partition("[")[2].rstrip("]").split("-"):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: not any(f"tests/{folder}/" in item.path.as_posix() for folder in SLOW))


@pytest.fixture(scope="session", autouse=True)
def no_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Name a home that does not exist: that of a person has a profile and models of its own, after ``make demo``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFECYCLE_HOME", str(tmp_path_factory.getbasetemp() / "no_home"))
        yield


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Give each test the usual umask: a command within the test process sets a private one for all that follow."""
    previous = os.umask(0o022)
    yield
    os.umask(previous)


@pytest.fixture(autouse=True)
def no_heartbeats() -> Iterator[None]:
    """Stop the heartbeats of connections that a test left open.

    The Snowflake connector sends one after an hour, then to an endpoint that is gone: in the middle of another test.
    """
    yield
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and type(thread).__name__ == "HeartBeatTimer":
            thread.cancel()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A new installation in an empty folder, set in the environment, too."""
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIFECYCLE_PROFILE", raising=False)
    return Settings()


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    """A release store below an empty folder."""
    return SmallStore.under(tmp_path / "home")


@pytest.fixture
def uncancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the Snowflake connector from cancelling statements that exceed its network timeout.

    For tests that set a short timeout to detect a dead endpoint: on a busy machine a live endpoint can take as long for
    a statement, and with a dead one the connector's cancelling thread ends with an exception.
    """
    from snowflake.connector import cursor

    name = "_TrackedQueryCancellationTimer"
    timer = getattr(cursor, name)
    monkeypatch.setattr(cursor, name, lambda _seconds, *cancel: timer(3600, *cancel))


# On a shared machine a single example can be slow without being wrong; the time limit of each test still holds.
hypothesis_settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("shared_machine")
