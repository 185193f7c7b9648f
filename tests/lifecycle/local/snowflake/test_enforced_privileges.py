"""The local endpoint refuses what the setup script does not grant; what it grants works for every step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.local.snowflake import LocalSnowflake, running

Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, connect_once: Connect) -> Iterator[LocalSnowflake]:
    """An endpoint whose tables their own roles have made."""
    with running(tmp_path_factory.mktemp("strict"), arguments=("--enforce",)) as local:
        for role, table in (
            ("LOAD", "raw.card_transactions"),
            ("LOAD", "protected.customers"),
            ("LOG", "raw.decisions"),
            ("TRANSFORM", "marts.features"),
            ("TRANSFORM", "intermediate.windows"),
        ):
            owner = connect_once(local, role=f"LIFECYCLE_{role}")
            owner.execute(f"create table {table} (a int)")
            owner.execute(f"insert into {table} values (1)")
        owner.execute("create view staging.stg_card_transactions as select a from lifecycle.raw.card_transactions")
        yield local


@pytest.fixture
def as_role(strict: LocalSnowflake, connect_to: Connect) -> Callable[[str], Any]:
    """A cursor of a role."""
    return lambda role: connect_to(strict, role=f"LIFECYCLE_{role.upper()}")


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        ("load", "select a from protected.customers"),
        ("load", "create temporary stage raw.of_load"),
        ("fairness", "select a from protected.customers join marts.features using (a)"),
        ("transform", "select a from raw.card_transactions"),
        ("transform", "create or replace transient table intermediate.windows as select a from raw.card_transactions"),
        ("transform", "alter table intermediate.windows add column if not exists b int"),
        ("train", "with features as (select a from marts.features) select a from features"),
        ("read", "select a from staging.stg_card_transactions union all select a from raw.decisions"),
        ("read", "create temporary table marts.of_a_reader as select a from marts.features"),
        ("log", "delete from raw.decisions where a < 0"),
    ],
)
def test_what_a_step_needs_is_allowed(as_role: Callable[[str], Any], role: str, sql: str) -> None:
    assert as_role(role).execute(sql).fetchall() is not None


@pytest.mark.parametrize(
    ("role", "sql", "number"),
    [
        *((role, "select a from protected.customers", 2003) for role in ("transform", "train", "log", "read")),
        ("train", "select a from raw.card_transactions", 2003),
        ("log", "select a from raw.card_transactions", 2003),
        ("log", "insert into raw.decisions select a from raw.card_transactions", 2003),
        ("load", "select a from marts.features", 2003),
        ("read", "insert into raw.card_transactions values (2)", 3001),
        ("read", "update marts.features set a = 2", 3001),
        ("read", "drop table marts.features", 3001),
        ("fairness", "delete from protected.customers", 3001),
        ("transform", "create table raw.of_dbt (a int)", 3001),
        ("transform", "create table protected.copied as select 1 as a", 2003),
        ("train", "create table marts.of_training (a int)", 3001),
        ("read", "create stage raw.of_a_reader", 3001),
        ("load", "create schema another", 3001),
        ("load", "create or replace table raw.decisions (a int)", 2003),
    ],
)
def test_what_the_script_does_not_grant_is_refused(
    as_role: Callable[[str], Any], role: str, sql: str, number: int
) -> None:
    from snowflake.connector.errors import ProgrammingError

    cursor = as_role(role)
    with pytest.raises(ProgrammingError) as refused:
        cursor.execute(sql)
    assert refused.value.errno == number


@pytest.mark.long
def test_a_row_of_another_role_is_not_touched_by_a_refused_statement(as_role: Callable[[str], Any]) -> None:
    from snowflake.connector.errors import ProgrammingError

    before = as_role("read").execute("select count(*) from raw.card_transactions").fetchall()
    with pytest.raises(ProgrammingError):
        as_role("read").execute("truncate table raw.card_transactions")
    assert as_role("read").execute("select count(*) from raw.card_transactions").fetchall() == before


def test_a_role_inherits_what_another_was_granted(tmp_path: Path, connect_to: Connect) -> None:
    script = tmp_path / "setup.sql"
    script.write_text(
        "create role lower_role; create role upper_role; create user u; grant role upper_role to user u;"
        "grant role lower_role to role upper_role; grant role lower_role to user u;"
        "create schema lifecycle.raw; grant create table on schema lifecycle.raw to role lower_role;"
        "grant usage on database lifecycle to role lower_role;"
    )
    with running(tmp_path / "home", setup=script, arguments=("--enforce",)) as local:
        connect_to(local, role="LOWER_ROLE").execute("create table raw.made (a int)")
        assert connect_to(local, role="UPPER_ROLE").execute("select * from raw.made").fetchall() == []
