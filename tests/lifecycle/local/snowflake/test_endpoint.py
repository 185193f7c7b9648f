import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from lifecycle.errors import LifecycleError
from lifecycle.local.ports import free_port
from lifecycle.local.snowflake import START_SECONDS, LocalSnowflake, environment, is_answering
from lifecycle.local.snowflake.__main__ import serve
from lifecycle.local.snowflake.options import Options
from lifecycle.warehouse.interface import Use
from lifecycle.warehouse.snowflake.connection import connection

Connect = Callable[..., Any]


def table(cursor: Any) -> str:
    """A new table of one whole number."""
    name = f"raw.t_{uuid.uuid4().hex[:12]}"
    cursor.execute(f"create table {name} (a int not null)")
    return name


def rows(cursor: Any, sql: str) -> list[Any]:
    return [row[0] for row in cursor.execute(sql).fetchall()]


def test_the_log_has_tag_role_warehouse_and_timeouts_of_every_statement(
    endpoint: LocalSnowflake, tmp_path: Path
) -> None:
    settings = endpoint.settings(tmp_path)
    use = Use("train", "card_fraud", "training_set", "run-7")
    with connection(settings, use) as opened, opened.cursor() as cursor:
        cursor.execute("select 'logged', ?", ["a bound value"])
    line = next(line for line in reversed(endpoint.statements()) if "'logged'" in line["sql"])
    assert json.loads(line["tag"]) == {
        "app": "lifecycle", "step": "train", "model": "card_fraud", "asset": "training_set", "run_id": "run-7"
    }  # fmt: skip
    assert (line["role"], line["warehouse"], line["user"]) == ("LIFECYCLE_TRAIN", "LIFECYCLE_TRAIN_WH", "LOCAL")
    assert line["parameters"]["STATEMENT_TIMEOUT_IN_SECONDS"] == settings.snowflake.statement_timeout_seconds
    assert line["parameters"]["LOCK_TIMEOUT"] == settings.snowflake.lock_timeout_seconds
    assert line["sql"] == "select 'logged', ?"
    assert "a bound value" not in endpoint.log.read_text()


def test_the_session_answers_what_it_was_given_at_login_and_by_use(cursor: Any) -> None:
    asked = "select current_role(), current_warehouse(), current_user(), 'current_role()'"
    assert cursor.execute(asked).fetchall() == [("LIFECYCLE_LOAD", "LIFECYCLE_LOAD_WH", "LOCAL", "current_role()")]
    cursor.execute("use role lifecycle_read")
    cursor.execute("use warehouse lifecycle_read_wh")
    assert cursor.execute(asked).fetchone()[:2] == ("LIFECYCLE_READ", "LIFECYCLE_READ_WH")


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("use role sysadmin", 3013),
        ("use warehouse no_such_warehouse", 2043),
        ("show grants to role no_role", 2003),
    ],
)
def test_what_the_script_does_not_make_or_grant_is_refused(cursor: Any, sql: str, number: int) -> None:
    from snowflake.connector.errors import ProgrammingError

    with pytest.raises(ProgrammingError) as refused:
        cursor.execute(sql)
    assert refused.value.errno == number


def test_alter_session_changes_the_tag_that_is_shown_and_logged(endpoint: LocalSnowflake, cursor: Any) -> None:
    cursor.execute("alter session set query_tag = 'it''s another'")
    assert cursor.execute("show parameters like 'query_tag' in session").fetchone()[:2] == ("QUERY_TAG", "it's another")
    assert endpoint.statements()[-1]["tag"] == "it's another"
    cursor.execute("alter session unset query_tag")
    cursor.execute("select 1")
    assert endpoint.statements()[-1]["tag"] is None


@pytest.mark.parametrize(
    "definition",
    [
        "create table raw.made_{0} (a int)",
        "-- a comment first\ncreate temporary table raw.made_{0} (a int)",
        "create temporary stage raw.made_{0}",
        "create or replace view raw.made_{0} as select 1 as a",
        "alter table raw.altered_{0} add column b int",
        "drop table raw.altered_{0}",
        "alter session set autocommit = true",
    ],
)
def test_a_definition_commits_the_open_transaction(cursor: Any, definition: str) -> None:
    name = table(cursor)
    suffix = uuid.uuid4().hex[:8]
    cursor.execute(f"create table raw.altered_{suffix} (a int)")
    cursor.execute("begin")
    cursor.execute(f"insert into {name} values (1)")
    cursor.execute(definition.format(suffix))
    cursor.execute("rollback")
    assert rows(cursor, f"select a from {name}") == [1]


@pytest.mark.parametrize("statement", ["select 1", "begin", "truncate table {0}", "show grants", "use role public"])
def test_anything_else_leaves_the_transaction_open(cursor: Any, statement: str) -> None:
    name, other = table(cursor), table(cursor)
    cursor.execute("begin transaction")
    cursor.execute(f"insert into {name} values (1)")
    cursor.execute(statement.format(other))
    cursor.execute("rollback")
    assert rows(cursor, f"select a from {name}") == []


def test_a_second_update_waits_for_the_first_and_then_goes_on(account: LocalSnowflake, connect_to: Connect) -> None:
    cursor, other = connect_to(account), connect_to(account)
    name = table(cursor)
    cursor.execute(f"insert into {name} values (1)")
    cursor.execute("begin")
    cursor.execute(f"update {name} set a = a + 1")
    other.execute("begin")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.execute, f"update {name} set a = a + 1")
        while account.log.read_text().count(f"update {name}") < 2:
            time.sleep(0.02)
        time.sleep(0.3)
        assert not waiting.done()
        cursor.execute("commit")
        waiting.result(timeout=10)
    other.execute("commit")
    assert rows(cursor, f"select a from {name}") == [3]


def test_a_lock_that_is_not_given_back_in_time_is_a_lock_timeout(account: LocalSnowflake, connect_to: Connect) -> None:
    from snowflake.connector.errors import ProgrammingError

    cursor, other = connect_to(account), connect_to(account, LOCK_TIMEOUT=0)
    name = table(cursor)
    cursor.execute("begin")
    cursor.execute(f"delete from {name}")
    with pytest.raises(ProgrammingError) as refused:
        other.execute(f"delete from {name}")
    assert (refused.value.errno, refused.value.sqlstate) == (625, "57014")


def test_what_duckdb_calls_a_conflict_is_a_lock_timeout_as_well(
    endpoint: LocalSnowflake, connect_to: Connect, cursor: Any
) -> None:
    from snowflake.connector.errors import ProgrammingError

    name = table(cursor)
    cursor.execute(f"insert into {name} values (1)")
    other = connect_to(endpoint)
    other.execute("begin")
    assert rows(other, f"select a from {name}") == [1]  # from here on it sees the table as it was now
    cursor.execute(f"update {name} set a = 2")
    with pytest.raises(ProgrammingError) as refused:
        other.execute(f"update {name} set a = 3")
    assert refused.value.errno == 625


def test_the_idle_transaction_of_a_client_that_went_away_is_rolled_back_for_one_that_waits(
    endpoint: LocalSnowflake, connect_to: Connect, cursor: Any
) -> None:
    gone = connect_to(endpoint)
    name = table(cursor)
    cursor.execute(f"insert into {name} values (1)")
    gone.execute("begin")
    gone.execute(f"update {name} set a = 100")
    cursor.execute(f"update {name} set a = a + 1")
    assert rows(cursor, f"select a from {name}") == [2]


def test_a_statement_that_takes_too_long_is_cancelled(endpoint: LocalSnowflake, connect_to: Connect) -> None:
    from snowflake.connector.errors import ProgrammingError

    cursor = connect_to(endpoint, STATEMENT_TIMEOUT_IN_SECONDS=1)
    for sql in ("select 'delayed'", "select count(*) from range(100000) as a cross join range(10000000) as b"):
        endpoint.fault("'delayed'", "delay", seconds=60)
        began = time.monotonic()
        with pytest.raises(ProgrammingError) as refused:
            cursor.execute(sql)
        assert refused.value.errno == 630
        # Then the connector would cancel it.
        assert time.monotonic() - began < cursor.connection.network_timeout
    assert rows(cursor, "select 1") == [1]


def test_a_request_that_is_repeated_after_a_lost_answer_runs_once(endpoint: LocalSnowflake, cursor: Any) -> None:
    name = table(cursor)
    endpoint.fault(f"insert into {name}", "drop", after=True)
    cursor.execute(f"insert into {name} values (1)")
    assert rows(cursor, f"select a from {name}") == [1]
    sent = [line["request"] for line in endpoint.statements() if f"insert into {name}" in line["sql"]]
    assert len(sent) == 1


@pytest.mark.parametrize("effect", ["drop", "unavailable"])
def test_the_connector_asks_again_after_a_connection_that_was_lost_before(
    endpoint: LocalSnowflake, cursor: Any, effect: str
) -> None:
    name = table(cursor)
    endpoint.fault(f"insert into {name}", effect)
    cursor.execute(f"insert into {name} values (1)")
    assert rows(cursor, f"select a from {name}") == [1]


def test_an_answer_that_breaks_off_is_an_error_of_the_connectors_transport(
    endpoint: LocalSnowflake, cursor: Any
) -> None:
    from snowflake.connector.vendored.requests.exceptions import ChunkedEncodingError

    endpoint.fault("select 'breaks off'", "truncate")
    with pytest.raises(ChunkedEncodingError):
        cursor.execute("select 'breaks off'")


def test_a_fault_comes_at_the_asked_statement_and_as_often(endpoint: LocalSnowflake, cursor: Any) -> None:
    from snowflake.connector.errors import ProgrammingError

    endpoint.fault("select 'third'", "end", nth=3)
    assert [rows(cursor, "select 'third'") for _ in range(2)] == [["third"], ["third"]]
    with pytest.raises(ProgrammingError) as refused:
        cursor.execute("select 'third'")
    assert refused.value.errno == 390114


def test_an_expired_session_is_renewed_and_goes_on(endpoint: LocalSnowflake, cursor: Any) -> None:
    name = table(cursor)
    cursor.execute("begin")
    cursor.execute(f"insert into {name} values (1)")
    assert endpoint.expire_sessions() >= 1
    cursor.execute("commit")
    assert rows(cursor, f"select a from {name}") == [1]


def test_a_session_whose_master_token_is_gone_needs_a_new_login(
    endpoint: LocalSnowflake, connect_to: Connect, cursor: Any
) -> None:
    from snowflake.connector.errors import ProgrammingError

    endpoint.expire_sessions(is_ended=True)
    with pytest.raises(ProgrammingError) as refused:
        cursor.execute("select 1")
    assert (refused.value.errno, refused.value.sqlstate) == (390114, "08001")
    assert rows(connect_to(endpoint), "select 1") == [1]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("insert into {0} values (null)", 100072),
        ("select no_such_function(1)", 2003),
        ("select * from raw.no_such_table", 2003),
        ("select 1 +", 1003),
        ("select error('as it says')", 603),
    ],
)
def test_a_statements_error_is_answered_at_once(cursor: Any, sql: str, number: int) -> None:
    from snowflake.connector.errors import DatabaseError

    name = table(cursor)
    began = time.monotonic()
    with pytest.raises(DatabaseError) as refused:
        cursor.execute(sql.format(name))
    assert refused.value.errno == number
    # As long the connector repeats a request that HTTP says has failed.
    assert time.monotonic() - began < cursor.connection.network_timeout


def test_a_temporary_table_ends_with_its_session(endpoint: LocalSnowflake, connect_to: Connect, cursor: Any) -> None:
    from snowflake.connector.errors import ProgrammingError

    other = connect_to(endpoint)
    other.execute("create or replace temporary table raw.of_one_session as select 7 as a")
    assert rows(other, "select a from raw.of_one_session") == [7]
    other.connection.close()
    with pytest.raises(ProgrammingError):
        cursor.execute("select a from raw.of_one_session")


@pytest.mark.long
@pytest.mark.parametrize(
    ("named", "number"),
    [
        ({"user": "somebody"}, 390100),
        ({"password": "another"}, 390100),
        ({"role": "SYSADMIN"}, 390189),
        ({"role": "NO_SUCH_ROLE"}, 390189),
    ],
)
def test_a_wrong_login_is_refused_as_an_account_refuses_it(
    endpoint: LocalSnowflake, connect_to: Connect, named: dict[str, str], number: int
) -> None:
    from snowflake.connector.errors import DatabaseError

    with pytest.raises(DatabaseError) as refused:
        connect_to(endpoint, **named)
    assert refused.value.errno == number


def test_a_session_with_an_unknown_warehouse_has_none(endpoint: LocalSnowflake, connect_to: Connect) -> None:
    assert rows(connect_to(endpoint, warehouse="NO_SUCH_WH"), "select current_warehouse()") == [None]


def test_a_key_logs_in_and_another_does_not(
    account: LocalSnowflake, keys: dict[str, Path], connect_to: Connect
) -> None:
    from snowflake.connector.errors import DatabaseError

    own, other = (
        load_pem_private_key(keys[name].read_bytes(), b"planted-passphrase").private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        for name in ("own", "other")
    )
    assert rows(connect_to(account, private_key=own, password=None), "select 1") == [1]
    with pytest.raises(DatabaseError) as refused:
        connect_to(account, private_key=other, password=None)
    assert refused.value.errno == 390144


def test_faults_are_not_to_be_had_without_asking_for_them(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from lifecycle.local.snowflake.endpoint import Endpoint
from lifecycle.local.snowflake.options import Options
for faults in (False, True):
    routes = Endpoint(Options(1, Path({str(tmp_path)!r}), faults=faults)).application().routes
    print(sum(route.path.startswith("/local/") for route in routes))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "3"]


def test_a_port_that_is_taken_is_named(endpoint: LocalSnowflake, tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=rf"127\.0\.0\.1:{endpoint.port}.*--port"):
        serve(Options(endpoint.port, tmp_path))


def test_without_fakesnow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lifecycle.local.snowflake.endpoint", raising=False)
    monkeypatch.delitem(sys.modules, "lifecycle.local.snowflake.corrections", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "fakesnow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fakesnow", None)
    with free_port() as port, pytest.raises(LifecycleError, match="no module fakesnow - the extra `dev` installs it"):
        serve(Options(port, tmp_path))


def test_the_command_says_how_to_connect_and_ends_on_ctrl_c(tmp_path: Path, connect_to: Connect) -> None:
    command = [sys.executable, "-c", "from lifecycle.cli import main; main()"]
    with free_port() as port:
        arguments = ["snowflake-local", "--port", str(port), "--home", str(tmp_path / "home")]
        with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as served:
            assert served.stdout is not None
            end = time.monotonic() + START_SECONDS
            while not is_answering(port) and time.monotonic() < end:
                time.sleep(0.05)
            os.kill(served.pid, signal.SIGINT)
            said = served.stdout.read()
            assert served.wait(20) == 0
    exported = dict(line.removeprefix("export ").split("=") for line in said.splitlines() if line.startswith("export "))
    assert exported == environment(port)
    assert exported["LIFECYCLE_TARGET"] == "snowflake"
