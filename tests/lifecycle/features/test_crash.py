"""A process killed between two writes, run again, ends where an uninterrupted one ends."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lifecycle.features import build, export
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from serving.storage.crash_points import CRASH_AT_VARIABLE
from tests.harness.features_generated import DAYS, FIRST_DAY, RawRows, insert
from tests.harness.in_process_build import InProcessBuild
from tests.lifecycle.features.conftest import settings_at

RELATIONS = """
    select table_schema, table_name from information_schema.tables where table_schema <> 'raw' order by all
"""


def _killed_at(settings: Settings, point: str, *arguments: str) -> None:
    """Run `lifecycle` until it is killed at the point."""
    command = [sys.executable, "-c", "from lifecycle.cli import main; main()", *arguments]
    environment = {**os.environ, "LIFECYCLE_HOME": str(settings.root), CRASH_AT_VARIABLE: point}
    assert subprocess.run(command, env=environment, check=False, stderr=subprocess.PIPE).returncode == -signal.SIGKILL


@pytest.mark.long
def test_a_build_killed_while_dbt_works_can_be_run_again_at_once(
    tmp_path: Path, built: Settings, raw_rows: RawRows, compiled: Path
) -> None:
    """dbt ends with the process that started it: otherwise the next one would find the warehouse's file taken."""
    settings = settings_at(tmp_path)
    insert(settings, raw_rows)
    _killed_at(settings, "features.node_ended:24", "features", "build")
    build(settings)
    whole = InProcessBuild(compiled, raw_rows)
    whole.build(FIRST_DAY, FIRST_DAY + dt.timedelta(days=DAYS))
    warehouse = open_warehouse(settings)
    features = warehouse.query("select * from marts.card_transaction_features order by transaction_id")
    assert features.equals(whole.features())
    assert warehouse.query(RELATIONS).equals(open_warehouse(built).query(RELATIONS))


@pytest.mark.long
def test_an_export_killed_before_its_file_is_named_leaves_the_old_one(lifecycle_home: Settings, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    out.write_bytes(b"old")
    _killed_at(lifecycle_home, "features.export_written", "features", "export", str(out), "--model", "card_fraud")
    assert out.read_bytes() == b"old"
    assert export(lifecycle_home, out, model="card_fraud").rows == pq.read_metadata(out).num_rows
