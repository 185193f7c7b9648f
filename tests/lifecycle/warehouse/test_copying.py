"""A move to another warehouse takes everything that loads have left: corrections, the manifest and tombstones, too."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lifecycle.cli.warehouse import app
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.copying import copy_raw
from lifecycle.warehouse.erasure import erase
from lifecycle.warehouse.loading.erased import key_hash_of
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.raw_tables import tables_of_loads
from serving.storage.crash_points import CRASH_AT_VARIABLE
from tests.lifecycle.warehouse.conftest import Killable

ERASED = 7
TABLES_OF_LOADS = tables_of_loads()


@pytest.fixture(params=["duckdb", "snowflake"])
def target(request: pytest.FixtureRequest) -> Settings:
    """Settings of an empty installation, once of each kind."""
    name = "snowflake_settings" if request.param == "snowflake" else "settings"
    settings: Settings = request.getfixturevalue(name)
    return settings


@pytest.fixture
def old(tmp_path: Path, write_parquet: Any, transactions: Any) -> Settings:
    """An installation with a load, corrected amounts, and an erased customer."""
    settings = Settings(home=tmp_path / "old", target="duckdb")
    warehouse = open_warehouse(settings)
    load(warehouse, "card_transactions", write_parquet(transactions))
    load(warehouse, "card_transactions", write_parquet(transactions, "later.parquet", amount=[1.0] * 6))
    erase(settings, str(ERASED), reason="asked for it", by="tester")
    return settings


def contents(settings: Settings) -> dict[str, list[Any]]:
    warehouse = open_warehouse(settings)
    return {table: warehouse.query(f"select * from {table} order by all").to_pylist() for table in TABLES_OF_LOADS}


def plain(tables: dict[str, list[Any]]) -> dict[str, list[str]]:
    return {table: sorted(str(sorted(row.items())) for row in rows) for table, rows in tables.items()}


def test_every_table_is_the_same_and_the_erased_person_stays_away(
    old: Settings, target: Settings, write_parquet: Any, transactions: Any
) -> None:
    for key in old.keys_dir.iterdir():
        target.keys_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(key, target.keys_dir)
    answer = CliRunner().invoke(app, ["copy-from", str(old.warehouse_path), "--json"])
    assert answer.exit_code == 0, answer.exception
    warehouse = open_warehouse(target)
    copied = {table: warehouse.query(f"select * from {table}").to_pylist() for table in TABLES_OF_LOADS}
    assert plain(copied) == plain(contents(old))
    assert len(copied["raw.card_transactions_versions"]) == 4
    again = load(warehouse, "card_transactions", write_parquet(transactions), key_hash=key_hash_of(target))
    assert (again.files_known, again.rows_inserted) == (1, 0)
    moved = write_parquet(transactions, "other.parquet", terminal_id=[1] * 6, transaction_id=list(range(11, 17)))
    other = load(warehouse, "card_transactions", moved, key_hash=key_hash_of(target))
    assert (other.rows_erased, other.rows_inserted) == (2, 4)


def test_a_target_with_rows_and_a_wrong_file_are_refused(
    old: Settings, target: Settings, write_parquet: Any, transactions: Any
) -> None:
    load(open_warehouse(target), "card_transactions", write_parquet(transactions))
    with pytest.raises(LifecycleError, match=r"Expected an empty raw\.card_transactions to copy into, it has rows"):
        copy_raw(target, old.warehouse_path, lambda *_: None)
    with pytest.raises(LifecycleError, match=r"found none - at .*nothing\.duckdb"):
        copy_raw(target, old.root / "nothing.duckdb", lambda *_: None)
    with pytest.raises(LifecycleError, match="got this one's own"):
        copy_raw(old, old.warehouse_path, lambda *_: None)


@pytest.mark.long
@pytest.mark.parametrize("table", [TABLES_OF_LOADS[0], TABLES_OF_LOADS[-1]])
def test_a_copy_that_was_killed_starts_again(old: Settings, tmp_path: Path, table: str) -> None:
    new = Killable(tmp_path / "new")
    command = ["copy-from", str(old.warehouse_path)]
    assert new.run(command, **{CRASH_AT_VARIABLE: f"copy.{table}"}).returncode == -signal.SIGKILL
    settings = Settings(home=new.home, target="duckdb")
    assert not any(contents(settings).values())
    completed = new.run(command)
    assert completed.returncode == 0, completed.stderr
    assert "pseudonym_key" in completed.stdout
    assert plain(contents(settings)) == plain(contents(old))
