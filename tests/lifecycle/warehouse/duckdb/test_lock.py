"""Two real processes that want the warehouse at once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse

HOLD = """
import sys, time
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
warehouse = open_warehouse(Settings())
with warehouse.transaction("a long load") as session:
    session.execute("insert into raw.terminals values (1, 'fuel')")
    print("held", flush=True)
    sys.stdin.readline()
"""
READ = """
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
print(open_warehouse(Settings()).query("select count(*) as n from raw.terminals").to_pylist())
"""


def start(script: str, settings: Settings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "LIFECYCLE_HOME": str(settings.home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """DuckDB's alone: these rules are about its file."""
    return open_warehouse(settings)


@pytest.fixture
def holder(warehouse: Warehouse, settings: Settings) -> subprocess.Popen[str]:
    """A process that has the warehouse and gives it back when told to."""
    process = start(HOLD, settings)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def wait_for_notice(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_the_second_process_waits_says_who_holds_it_and_then_goes_on(
    holder: subprocess.Popen[str], settings: Settings
) -> None:
    waiting = start(READ, settings)
    notice = wait_for_notice(waiting)
    assert "waiting for the warehouse" in notice
    assert f"process {holder.pid} for 'a long load'" in notice
    assert waiting.poll() is None
    holder.communicate("go on\n", timeout=30)
    out, _ = waiting.communicate(timeout=30)
    assert holder.returncode == 0
    assert out == "[{'n': 1}]\n"


def test_a_holder_that_is_killed_gives_the_warehouse_back_and_leaves_nothing(
    holder: subprocess.Popen[str], settings: Settings
) -> None:
    waiting = start(READ, settings)
    wait_for_notice(waiting)
    holder.kill()
    holder.communicate(timeout=30)
    out, _ = waiting.communicate(timeout=30)
    assert out == "[{'n': 0}]\n"


def test_a_program_that_passes_the_lock_by_is_told_apart(warehouse: Warehouse, settings: Settings) -> None:
    shell = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
    process = subprocess.Popen(
        [sys.executable, "-c", shell, str(settings.warehouse_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(LifecycleError, match="a program that does not use its lock file"):
        warehouse.query("select 1")
    process.communicate("go on\n", timeout=30)
    assert warehouse.query("select 1 as n").to_pylist() == [{"n": 1}]


def test_a_child_process_can_open_the_file_while_it_is_held_exclusively(
    warehouse: Warehouse, settings: Settings
) -> None:
    script = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('select 1').fetchall())"
    with warehouse.exclusive("a child"):
        out = subprocess.run(
            [sys.executable, "-c", script, str(settings.warehouse_path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    assert out == "[(1,)]\n"


def test_the_holders_note_is_gone_once_the_warehouse_is_free(warehouse: Warehouse, settings: Settings) -> None:
    note = Path(f"{settings.warehouse_path}.holder")
    with warehouse.exclusive("a child"):
        assert f'"pid": {os.getpid()}' in note.read_text()
    assert not note.exists()


def test_another_opener_in_the_same_thread_does_not_wait_for_itself(warehouse: Warehouse, settings: Settings) -> None:
    started = time.monotonic()
    with warehouse.exclusive("outer"):
        assert open_warehouse(settings).query("select 1 as n").to_pylist() == [{"n": 1}]
    assert time.monotonic() - started < 10
