"""Locks exclude other holders, and end with their holder's process."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.storage.locks import lock_file, lock_folder
from tests.harness.paths import ROOT

HOLD = """
import sys
from pathlib import Path
from serving.storage.locks import lock_file
lock = lock_file(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock_file(path), pytest.raises(BlockingIOError):
        lock_file(path, is_waiting=False)
    lock_file(path, is_waiting=False).release()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_locked_and_not_created(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(BlockingIOError):
        lock_folder(tmp_path, is_waiting=False)
    with pytest.raises(FileNotFoundError):
        lock_folder(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            lock_file(path, is_waiting=False)
        holder.kill()
        holder.wait(timeout=60)
        lock_file(path, is_waiting=False).release()
