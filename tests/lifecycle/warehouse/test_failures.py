"""A disk that is full and a folder that is somebody else's, with the real operating system."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.failures import as_lifecycle_error
from lifecycle.warehouse.loading.load import load


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """DuckDB's alone: these rules are about its file."""
    return open_warehouse(settings)


LOAD_WITH_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.loading.load import load
warehouse = open_warehouse(Settings())
resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, 800_000))
try:
    load(warehouse, "card_transactions", Path(sys.argv[1]))
except LifecycleError as error:
    print(error)
"""


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    rows = 300_000
    ids = pa.array(range(rows), pa.int64())
    moments = pa.array(range(1_522_540_800, 1_522_540_800 + rows), pa.int64()).cast(pa.timestamp("s"))
    scattered = pa.array([row * 7_919 % 1_000_003 for row in range(rows)], pa.int64())
    columns = {
        "transaction_id": ids,
        "occurred_at": moments,
        "customer_id": scattered,
        "terminal_id": scattered,
        "amount": scattered,
    }
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.long
def test_a_full_disk_is_named_and_the_same_command_works_once_there_is_room(
    warehouse: Warehouse, settings: Settings, big_file: Path
) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", LOAD_WITH_LITTLE_ROOM, str(big_file)],
        env={**os.environ, "LIFECYCLE_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Expected free disk space, got a full disk or an exceeded quota" in completed.stdout, completed.stderr
    assert str(settings.root) in completed.stdout
    assert warehouse.query("select count(*) as n from raw.card_transactions").to_pylist() == [{"n": 0}]
    assert load(warehouse, "card_transactions", big_file).rows_inserted == 300_000


@pytest.fixture
def somebody_elses_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which this process may not write; root may everywhere, so it becomes another user meanwhile."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    folder.chmod(0o500)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65_534)
    yield folder
    if was_root:
        os.seteuid(0)
    folder.chmod(0o700)


def test_a_folder_without_leave_to_write_is_named(somebody_elses_folder: Path) -> None:
    with pytest.raises(LifecycleError, match=r"got permission denied.*LIFECYCLE_HOME"):
        open_warehouse(Settings(home=somebody_elses_folder / "home"))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), "full disk", id="full disk"),
        pytest.param(OSError(errno.EDQUOT, "Disk quota exceeded"), "exceeded quota", id="quota"),
        pytest.param(OSError(errno.EROFS, "Read-only file system"), "permission denied", id="read-only"),
        pytest.param(RuntimeError("IO Error: Could not set lock on file"), "does not use its lock file", id="lock"),
        pytest.param(RuntimeError("Out of Memory Error: failed to allocate"), "MEMORY_LIMIT", id="memory"),
        pytest.param(RuntimeError("offload: max_temp_directory_size"), "full disk", id="spill"),
        pytest.param(RuntimeError("something else"), "something else", id="unknown"),
    ],
)
def test_failures_say_where_and_what_to_do(failure: Exception, words: str, settings: Any) -> None:
    told = str(as_lifecycle_error(failure, settings.warehouse_path))
    assert words in told
    assert str(settings.root) in told
