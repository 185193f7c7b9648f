"""An endpoint that goes away, a session that expires: the load is tried again, or run again, and ends the same."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use
from lifecycle.warehouse.loading import load as loading
from lifecycle.warehouse.loading import manifest
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.snowflake import SnowflakeWarehouse
from lifecycle.warehouse.snowflake.failures import ConnectionLostError
from tests.harness.snowflake_endpoint import IMPATIENT, own_database
from tests.harness.warehouse_state import end_state

LONG = pytest.mark.long
DEATHS = [
    pytest.param("create temporary table", "after", marks=LONG),
    pytest.param("put 'file", "before", marks=LONG),
    ("copy into", "before"),
    pytest.param("copy into", "after", marks=LONG),
    pytest.param("update raw.loads_lock", "after", marks=LONG),
    pytest.param("insert into raw.card_transactions", "after", marks=LONG),
    pytest.param("insert into raw.loads ", "after", marks=LONG),
    pytest.param("commit", "before", marks=LONG),
    ("commit", "after"),
]
EFFECTS = ("drop", "truncate", "unavailable", "expire", "end")
QUICK = {
    ("copy into", "end", False),
    ("insert into raw.card_transactions", "expire", False),
    ("commit", "truncate", True),
}
"""One fault of each step, and one of each way to go on: the connector's repeat, its renewal, and a new session."""
FAULTS = [
    pytest.param(*fault, marks=() if fault in QUICK else LONG)
    for fault in itertools.product(("copy into", "insert into raw.card_transactions", "commit"), EFFECTS, (False, True))
]


def scratch_tables(warehouse: SnowflakeWarehouse) -> list[str]:
    found = warehouse.query("select table_name as name from information_schema.tables where table_schema = 'RAW'")
    return [name for name in found.column("name").to_pylist() if name.startswith("SCRATCH")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, handbook_columns: Any) -> Path:
    path = tmp_path_factory.mktemp("files") / "rows.parquet"
    pq.write_table(pa.table(handbook_columns), path)
    return path


@pytest.fixture(scope="module")
def expected(endpoint: LocalSnowflake, tmp_path_factory: pytest.TempPathFactory, file: Path) -> dict[str, Any]:
    """What a load that nothing disturbs leaves, in a database of its own."""
    warehouse = SnowflakeWarehouse(own_database(endpoint, tmp_path_factory.mktemp("undisturbed")), Use("load"))
    load(warehouse, "card_transactions", file)
    state = end_state(warehouse)
    warehouse.close()
    assert [len(rows) for rows in state.values()] == [4, 2, 2]
    return state


@pytest.mark.long
@pytest.mark.parametrize(("step", "effect", "is_after"), FAULTS)
def test_a_load_goes_on_by_itself_over_a_fault(
    snowflake: SnowflakeWarehouse,
    endpoint: LocalSnowflake,
    file: Path,
    expected: dict[str, Any],
    step: str,
    effect: str,
    is_after: bool,
) -> None:
    endpoint.fault(step, effect, after=is_after)
    try:
        answer = load(snowflake, "card_transactions", file)
    finally:
        endpoint.clear_faults()
    assert end_state(snowflake) == expected
    # Also where the commit took effect and only its answer was lost: the days to build again are not lost with it.
    assert (answer.rows_inserted, [load.rows_inserted for load in answer.derived]) == (4, [2])
    assert [days.start_date.isoformat() for days in answer.touched] == ["2018-04-01"]


@pytest.mark.long
@pytest.mark.usefixtures("uncancelled")
@pytest.mark.parametrize(("step", "when"), DEATHS)
def test_a_load_whose_endpoint_dies_is_run_again_and_ends_the_same(
    mortal: LocalSnowflake, tmp_path: Path, file: Path, expected: dict[str, Any], step: str, when: str
) -> None:
    warehouse = SnowflakeWarehouse(own_database(mortal, tmp_path / "home", **IMPATIENT), Use("load"))
    warehouse.ensure(raw_definitions(warehouse.dialect))
    mortal.fault(step, "kill", after=when == "after")
    with pytest.raises(ConnectionLostError, match="run it again: completed work is not repeated"):
        load(warehouse, "card_transactions", file)
    mortal.wait_until_dead()
    mortal.restart()
    load(warehouse, "card_transactions", file)
    assert end_state(warehouse) == expected
    again = load(warehouse, "card_transactions", file)
    assert (again.rows_inserted, again.files_known) == (0, 1)
    warehouse.close()


def test_no_other_session_sees_what_is_on_its_way(snowflake: SnowflakeWarehouse, file: Path) -> None:
    """Customers' protected attributes come by here, and others may read the schema."""
    with snowflake.session("a session") as session:
        table = session.scratch("staged_rows", "n bigint")
        session.execute(f"insert into {table} (n) values (1)")
        with pytest.raises(LifecycleError, match="lifecycle warehouse check"):
            snowflake.query(f"select * from {table}")
    load(snowflake, "card_transactions", file)
    assert scratch_tables(snowflake) == []


@pytest.mark.long
def test_a_file_that_another_process_loads_meanwhile_is_recorded_once(
    snowflake: SnowflakeWarehouse, file: Path, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []

    def recorded_files(*arguments: Any) -> Any:
        known = manifest.recorded_files(*arguments)
        if not looks:
            looks.append(known)
            other = SnowflakeWarehouse(Settings(home=file.parent / "elsewhere"), Use("load"))
            load(other, "card_transactions", file)
            other.close()
        return known

    monkeypatch.setattr(loading, "recorded_files", recorded_files)
    answer = load(snowflake, "card_transactions", file)
    assert (answer.rows_inserted, answer.rows_known) == (0, 4)
    assert end_state(snowflake) == expected
