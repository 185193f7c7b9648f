from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifecycle.local.snowflake import is_answering, running

Connect = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("uncancelled")


def rows(cursor: Any, sql: str) -> list[Any]:
    return [row[0] for row in cursor.execute(sql).fetchall()]


@pytest.mark.long
def test_after_a_crash_what_was_committed_is_there_and_nothing_else(tmp_path: Path, connect_to: Connect) -> None:
    from snowflake.connector.errors import OperationalError

    with running(tmp_path) as local:
        cursor = connect_to(local)
        cursor.execute("create stage raw.kept")
        cursor.execute("create table raw.kept_rows (a int)")
        cursor.execute("create temporary table raw.not_kept (a int)")
        cursor.execute("insert into raw.kept_rows values (1)")
        (tmp_path / "rows.csv").write_text("5\n")
        cursor.execute(f"put 'file://{tmp_path}/rows.csv' @raw.kept auto_compress = false")
        cursor.execute("begin")
        cursor.execute("insert into raw.kept_rows values (2)")
        local.fault("values (3)", "kill")
        with pytest.raises(OperationalError):
            connect_to(local, network_timeout=1).execute("insert into raw.kept_rows values (3)")
        local.wait_until_dead()
        assert not is_answering(local.port)
        local.restart()
        again = connect_to(local)
        assert rows(again, "select a from raw.kept_rows") == [1]
        assert [name.rpartition("/")[2] for name in rows(again, "list @raw.kept")] == ["rows.csv"]
        assert rows(again, "select table_name from information_schema.tables where table_name like '%KEPT%'") == [
            "KEPT_ROWS"
        ]
        owned = again.execute("show grants to role lifecycle_load").fetchall()
        assert ("OWNERSHIP", "TABLE", "LIFECYCLE.RAW.KEPT_ROWS") in {tuple(row[1:4]) for row in owned}


@pytest.mark.long
def test_rows_committed_by_the_last_answer_before_a_kill_are_there(tmp_path: Path, connect_to: Connect) -> None:
    from snowflake.connector.errors import OperationalError

    with running(tmp_path) as local:
        cursor = connect_to(local, network_timeout=1)
        cursor.execute("create table raw.counted (a int)")
        local.fault("insert into raw.counted", "kill", nth=40, after=True)
        with pytest.raises(OperationalError):
            _insert_numbers(cursor, 100)
        local.restart()
        assert rows(connect_to(local), "select a from raw.counted order by a") == list(range(40))


def _insert_numbers(cursor: Any, count: int) -> None:
    for number in range(count):
        cursor.execute("insert into raw.counted values (?)", [number])
