"""A loading process killed between any two writes to Snowflake, run again, ends where an uninterrupted one ends."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import PREFIX
from lifecycle.warehouse import Use
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.snowflake import SnowflakeWarehouse
from tests.harness.warehouse_state import end_state

POINTS = [
    "load.staged",
    "snowflake.uploaded",
    "snowflake.copied",
    "load.corrected_card_transactions",
    "load.inserted_card_transactions",
    "load.recorded_card_transactions",
    "load.inserted_fraud_reports",
    "load.recorded_fraud_reports",
    "snowflake.before_commit",
    "load.committed",
    "file.written",
]
AFTERWARDS = {"load.committed", "file.written"}
"""Points at which the session is over, and its staged files are removed."""
QUICK = {"snowflake.before_commit"}


@pytest.fixture
def file(write_parquet: Any, handbook: Any) -> Path:
    return Path(write_parquet(handbook))


def database_of(settings: Settings, suffix: str, monkeypatch: pytest.MonkeyPatch, **of: Any) -> SnowflakeWarehouse:
    """A database of its own, also for the processes that are started from now on; `of` are further settings."""
    monkeypatch.setenv(f"{PREFIX}DATABASE", f"{settings.snowflake.database}_{suffix}")
    return SnowflakeWarehouse(Settings(**of), Use("load"))


@pytest.mark.long
def test_every_crash_point_of_a_load_is_in_the_list(
    snowflake_settings: Settings, killable: Callable[[], Any], file: Path
) -> None:
    assert snowflake_settings.target == "snowflake"
    passed = killable().points(["load", "card_transactions", str(file)])
    assert list(dict.fromkeys(passed)) == POINTS


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=() if point in QUICK else pytest.mark.long) for point in POINTS]
)
def test_a_load_killed_between_two_writes_and_run_again_ends_in_the_same_state(
    snowflake_settings: Settings,
    killable: Callable[[], Any],
    file: Path,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = database_of(snowflake_settings, "WHOLE", monkeypatch)
    load(whole, "card_transactions", file)

    killed = killable()
    again = database_of(snowflake_settings, "KILLED", monkeypatch, home=killed.home)
    assert killed.crash(["load", "card_transactions", str(file)], point).returncode == -signal.SIGKILL
    # Customers' rows, where no erasure looks.
    staged = Settings(home=killed.home).staged_dir
    assert bool([*staged.iterdir()]) == (point not in AFTERWARDS)
    load(again, "card_transactions", file)

    expected = end_state(whole)
    assert end_state(again) == expected
    assert not [*staged.iterdir()]
    assert len(expected["raw.card_transactions"]) == 4
    whole.close()
    again.close()
