import threading
from pathlib import Path

import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse
from lifecycle.warehouse.raw_tables import declarations


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """DuckDB's alone: these rules are about its file."""
    return open_warehouse(settings)


def count(warehouse: Warehouse, relation: str = "raw.terminals") -> int:
    return int(warehouse.query(f"select count(*) as n from {relation}").column("n")[0].as_py())


def test_a_new_warehouse_has_the_raw_tables(warehouse: Warehouse) -> None:
    for relation in declarations().tables.values():
        expected = {column.name: column.type for column in relation.columns}
        assert warehouse.columns(relation.table) == expected
        assert count(warehouse, relation.table) == 0


def test_opening_again_keeps_what_is_there(warehouse: Warehouse, settings: Settings) -> None:
    with warehouse.transaction("a row") as session:
        session.append("raw.terminals", pa.table({"kind": ["fuel"], "terminal_id": [4]}))
    assert open_warehouse(settings).query("from raw.terminals").to_pylist() == [{"terminal_id": 4, "kind": "fuel"}]


def test_parameters_are_bound(warehouse: Warehouse) -> None:
    assert warehouse.query("select ? as a, ? as b", [1, "x"]).to_pylist() == [{"a": 1, "b": "x"}]


def test_a_transaction_that_raises_leaves_nothing(warehouse: Warehouse) -> None:
    def write_half() -> None:
        with warehouse.transaction("half") as session:
            session.execute("insert into raw.terminals values (?, ?)", [1, "fuel"])
            session.execute("create table raw.further (n integer)")
            assert session.query("select count(*) as n from raw.terminals").to_pylist() == [{"n": 1}]
            raise KeyError("interrupted")

    with pytest.raises(KeyError):
        write_half()
    assert count(warehouse) == 0
    with pytest.raises(LifecycleError, match=r"raw\.further"):
        warehouse.columns("raw.further")


def test_batches_bound_their_rows_and_give_all_of_them(warehouse: Warehouse) -> None:
    sizes = [batch.num_rows for batch in warehouse.batches("select range as n from range(25000)", (), 10_000)]
    assert sum(sizes) == 25_000
    assert max(sizes) <= 10_000


def test_closing_batches_early_frees_the_warehouse(warehouse: Warehouse) -> None:
    batches = warehouse.batches("select range as n from range(100000)", (), 1_000)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    with warehouse.exclusive("a child process"):
        assert count(warehouse) == 0


def test_exclusive_is_refused_while_this_thread_has_the_file_open(warehouse: Warehouse) -> None:
    with (
        warehouse.transaction("writing"),
        pytest.raises(RuntimeError, match="still open"),
        warehouse.exclusive("dbt"),
    ):
        pass


def test_the_file_stays_open_for_many_queries_and_is_closed_after_them(warehouse: Warehouse) -> None:
    with warehouse.kept_open("many queries"):
        assert [count(warehouse), count(warehouse)] == [0, 0]
        with pytest.raises(RuntimeError, match="still open"), warehouse.exclusive("dbt"):
            pass
    with warehouse.exclusive("dbt"):
        assert count(warehouse) == 0


def test_a_missing_relation_is_named(warehouse: Warehouse, settings: Settings) -> None:
    with pytest.raises(LifecycleError, match=r"marts\.nothing.*warehouse\.duckdb"):
        warehouse.columns("marts.nothing")


def test_a_query_does_not_see_python_variables(warehouse: Warehouse) -> None:
    import duckdb

    secret = pa.table({"n": [1]})
    with pytest.raises(duckdb.CatalogException):
        warehouse.query("select * from secret")
    assert secret.num_rows == 1


def test_moments_are_read_as_utc(warehouse: Warehouse) -> None:
    row = warehouse.query("select timestamptz '2026-01-01 00:30:00+02' at time zone 'UTC' as at").to_pylist()[0]
    assert row["at"].isoformat() == "2025-12-31T22:30:00"


def test_threads_take_turns(warehouse: Warehouse) -> None:
    def insert(number: int) -> None:
        with warehouse.transaction(f"row {number}") as session:
            session.execute("insert into raw.terminals values (?, 'fuel')", [number])

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert count(warehouse) == 6


def test_a_file_that_is_no_warehouse_is_refused(settings: Settings) -> None:
    settings.root.mkdir()
    settings.warehouse_path.write_bytes(b"no database" * 1000)
    with pytest.raises(LifecycleError, match=r"Expected a DuckDB file.*warehouse\.duckdb"):
        open_warehouse(settings).query("select 1")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LifecycleError, match="file"):
        open_warehouse(Settings(home=tmp_path / "file" / "home"))
