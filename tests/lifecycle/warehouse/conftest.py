"""A warehouse of its own for each test, small files to load, and processes that die where they are told to."""

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.local.snowflake import LocalSnowflake, is_answering, running
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import PREFIX
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.snowflake import SnowflakeWarehouse
from serving.storage.crash_points import CRASH_AT_VARIABLE, TRACE_VARIABLE
from tests.harness.snowflake_endpoint import ABANDONED, SHORT_TIMEOUTS, own_database

COMMAND = "from lifecycle.cli.warehouse import app; app()"
"""Without the root command: its other groups would be imported in each of these processes."""


def moment(day: int, hour: int = 0) -> dt.datetime:
    """An hour of January 2026 as the warehouse keeps it: UTC without a zone."""
    return dt.datetime(2026, 1, day, hour, 30, 15, tzinfo=dt.UTC).replace(tzinfo=None)


Columns = Mapping[str, Sequence[Any] | pa.Array]
WriteParquet = Callable[..., Path]


@pytest.fixture
def snowflake_settings(endpoint: LocalSnowflake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with an empty database at the local endpoint, also for everything that reads the environment."""
    own = own_database(endpoint, tmp_path / "home").snowflake
    changed = {PREFIX + name.upper(): str(getattr(own, name)) for name in ("database", *SHORT_TIMEOUTS)}
    for name, value in {**endpoint.environment(), **changed, "LIFECYCLE_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LIFECYCLE_PROFILE", raising=False)
    return Settings()


@pytest.fixture(scope="session")
def _restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSnowflake]:
    with running(tmp_path_factory.mktemp("mortal"), arguments=ABANDONED) as local:
        yield local


@pytest.fixture
def mortal(_restarted: LocalSnowflake) -> LocalSnowflake:
    """An endpoint that the test may kill and has to restart."""
    if not is_answering(_restarted.port):
        _restarted.restart()
    _restarted.clear_faults()
    return _restarted


@pytest.fixture
def snowflake(snowflake_settings: Settings) -> Iterator[SnowflakeWarehouse]:
    """An empty warehouse at the local Snowflake endpoint."""
    opened = SnowflakeWarehouse(snowflake_settings, Use("load"))
    opened.ensure(raw_definitions(opened.dialect))
    yield opened
    opened.close()


@pytest.fixture(params=["duckdb", "snowflake"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """An empty warehouse, once of each kind."""
    if request.param == "snowflake":
        opened: Warehouse = request.getfixturevalue("snowflake")
        return opened
    return open_warehouse(request.getfixturevalue("settings"))


@pytest.fixture
def transactions() -> dict[str, list[Any]]:
    """Columns of six valid transactions over three days, amounts as doubles."""
    return {
        "transaction_id": [1, 2, 3, 4, 5, 6],
        "occurred_at": [moment(1 + row // 2, 10 + row) for row in range(6)],
        "customer_id": [7, 7, 8, 8, 9, 9],
        "terminal_id": [70, 71, 70, 71, 70, 71],
        "amount": [12.34, 0.0, 99.99, 5.5, 1000.0, 61.870000000000005],
    }


@pytest.fixture
def handbook(handbook_columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """The handbook's columns, for a test that may replace some."""
    return dict(handbook_columns)


@pytest.fixture(scope="session")
def handbook_columns() -> dict[str, pa.Array]:
    """Columns as in the Fraud Detection Handbook's file, with its types; transactions 11 and 13 are frauds."""
    moments = ["2018-04-01 00:00:31", "2018-04-01 09:05:00", "2018-04-02 23:59:59", "2018-04-03 12:00:00"]
    return {
        "TRANSACTION_ID": pa.array([10, 11, 12, 13], pa.int32()),
        "TX_DATETIME": pa.array(moments).cast(pa.timestamp("ns")),
        "CUSTOMER_ID": pa.array([596, 4961, 2, 4128], pa.int16()),
        "TERMINAL_ID": pa.array([3156, 3412, 1365, 8737], pa.int16()),
        "TX_AMOUNT": pa.array([57.16, 81.51, 146.0, 61.870000000000005]),
        "TX_TIME_SECONDS": pa.array([31, 32700, 172799, 216000], pa.int64()),
        "TX_TIME_DAYS": pa.array([0, 0, 1, 2], pa.int16()),
        "TX_FRAUD": pa.array([0, 1, 0, 1], pa.int8()),
    }


@pytest.fixture
def write_parquet(tmp_path: Path) -> WriteParquet:
    """Write columns to a Parquet file below the test's folder, some of them replaced."""

    def write(columns: Columns, name: str = "rows.parquet", **replaced: Any) -> Path:
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({**columns, **replaced}), path)
        return path

    return write


class Killable:
    """Runs `lifecycle warehouse` as a process that can be told to die at a crash point.

    The state after a crash and a second run is to be compared with that of a run which nothing interrupted.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end, or to the death that the environment asks for."""
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments],
            env={**os.environ, "LIFECYCLE_HOME": str(self.home), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def crash(self, arguments: Sequence[str], point: str) -> subprocess.CompletedProcess[str]:
        """Run until `point`, where the process is killed."""
        return self.run(arguments, **{CRASH_AT_VARIABLE: point})

    def points(self, arguments: Sequence[str]) -> list[str]:
        """Names of the points that a whole run passes, in order."""
        trace = self.home.with_suffix(".trace")
        completed = self.run(arguments, **{TRACE_VARIABLE: str(trace)})
        assert completed.returncode == 0, completed.stderr
        return trace.read_text().splitlines()


@pytest.fixture(scope="session")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Killable]:
    """Makes installations, each in a folder of its own."""
    return lambda: Killable(tmp_path_factory.mktemp("installation") / "home")
