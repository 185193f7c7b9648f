"""A process killed between any two writes, run again, ends where an uninterrupted one ends."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse

POINTS = [
    "warehouse.tables_created",
    "warehouse.created",
    "load.staged",
    "load.corrected_card_transactions",
    "load.inserted_card_transactions",
    "load.recorded_card_transactions",
    "load.inserted_fraud_reports",
    "load.recorded_fraud_reports",
    "load.committed",
    "file.written",
]
TABLES = ("card_transactions", "fraud_reports")


def end_state(home: Path) -> dict[str, Any]:
    """Everything that a load leaves behind, but for the moment it ran."""
    warehouse = open_warehouse(Settings(home=home))
    state: dict[str, Any] = {table: warehouse.query(f"from raw.{table} order by 1").to_pylist() for table in TABLES}
    state["loads"] = warehouse.query("select * exclude (loaded_at) from raw.loads order by relation").to_pylist()
    # A killed write leaves its temporary file, which no reader takes for another one.
    state["files"] = sorted(path.name for path in home.iterdir() if path.suffix != ".tmp")
    return state


@pytest.fixture
def file(write_parquet: Any, handbook: Any) -> Path:
    return Path(write_parquet(handbook))


@pytest.fixture(scope="module")
def uninterrupted(killable: Callable[[], Any]) -> Any:
    """An installation for a run that nothing interrupts, made once for all points."""
    return killable()


def test_every_crash_point_of_a_load_is_in_the_list(uninterrupted: Any, file: Path) -> None:
    assert uninterrupted.points(["load", "card_transactions", str(file)]) == POINTS


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_a_load_killed_between_two_writes_and_run_again_ends_in_the_same_state(
    killable: Callable[[], Any], uninterrupted: Any, file: Path, point: str
) -> None:
    command = ["load", "card_transactions", str(file)]
    assert uninterrupted.run(command).returncode == 0
    expected = end_state(uninterrupted.home)

    killed = killable()
    assert killed.crash(command, point).returncode == -signal.SIGKILL
    assert killed.run(command).returncode == 0

    assert end_state(killed.home) == expected
    assert len(expected["card_transactions"]) == 4


def test_a_crash_point_that_is_not_passed_kills_nothing(killable: Callable[[], Any], file: Path) -> None:
    completed = killable().crash(["load", "card_transactions", str(file)], "load.no_such_point")
    assert completed.returncode == 0, completed.stderr
