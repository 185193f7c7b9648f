"""Killed between any two writes of the stores or of the decision log's load, the same command comes to the same end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.reading.decisions import DECISIONS
from serving.storage.crash_points import CRASH_AT_VARIABLE
from tests.harness.paths import ROOT
from tests.harness.store_steps import take, write_log

POINTS = [
    *(f"training_set.row_group:{turn}" for turn in (1, 2)),
    "training_set.written",
    "folder.written",
    *(f"file.written:{turn}" for turn in (1, 2, 3, 4)),
    "training_set.frozen",
    "candidate.kept",
    "candidate.named",
    "decisions.inserted",
]


def written(home: Path) -> dict[str, bytes]:
    """What the stores hold, by path; what a killed writer left half-made is no content."""
    folders = ("training_sets", "candidates", "evidence")
    paths = [path for folder in folders for path in (home / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(home)): path.read_bytes() for path in paths if ".tmp" not in str(path)}


def decisions(home: Path) -> list[str]:
    rows = open_warehouse(Settings(home=home)).query(f"select decision_id from {DECISIONS} order by 1").to_pylist()
    return [row["decision_id"] for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    write_log(home / "decision_log")
    take(home)
    return home


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if number % 8 == 0 else pytest.mark.long) for number, point in enumerate(POINTS)],
)
def test_a_crash_changes_nothing_of_the_end(tmp_path: Path, undisturbed: Path, point: str) -> None:
    write_log(tmp_path / "decision_log")
    command = [sys.executable, "-m", "tests.harness.store_steps", str(tmp_path)]
    environment = {**os.environ, CRASH_AT_VARIABLE: point}
    killed = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    take(tmp_path)
    assert not list((tmp_path / "training_sets").rglob("*.tmp"))
    assert written(tmp_path) == written(undisturbed)
    assert decisions(tmp_path) == decisions(undisturbed) == ["d1", "d2", "d3", "d4", "d5"]
