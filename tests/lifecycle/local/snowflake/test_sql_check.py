"""What the local endpoint runs and the check refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.warehouse import Use
from lifecycle.warehouse.snowflake.connection import connection
from tests.harness.snowflake_endpoint import own_database
from tests.harness.sql_check import allowed_functions, problems
from tests.harness.sql_words import functions

ONLY_LOCAL = {
    "select epoch_us(moment) from raw.moments": "function epoch_us: not in snowflake_functions.md",
    "select isodow(moment) from raw.moments": "function isodow: not in snowflake_functions.md",
    "select list_sum(list(n)) from raw.moments": "function list_sum: not in snowflake_functions.md",
    "select strftime(moment, '%Y') from raw.moments": "function strftime: not in snowflake_functions.md",
    "select count(*) filter (where n > 1) from raw.moments": "construct FILTER",
    "select distinct on (n) n, moment from raw.moments": "distinct on",
    "select m.n from raw.moments m semi join raw.moments o on m.n = o.n": "join: SEMI JOIN",
    "select cast(n as hugeint) from raw.moments": "type hugeint",
    "select cast('x' as blob) from raw.moments": "type blob",
    "select n / 3 from raw.moments": "division of numbers",
    "select sum(n) over (order by n range between 1 + 1 preceding and current row) from raw.moments": "no constant",
    "select count(*) over (order by n range between 2 preceding and current row) from raw.moments": "write count(1)",
    "select count(distinct n) over (order by n range between 2 preceding and current row) from raw.moments": "distinct",
    "select first_value(n) over (order by n range between 2 preceding and current row) from raw.moments": "first_value",
    "select sum(n) over (order by n groups between 2 preceding and current row) from raw.moments": "frame: ",
    "select moment + interval 3 day from raw.moments": "interval: ",
    "select extract(isodow from moment) from raw.moments": "part isodow",
    "select date_part('epoch', moment) from raw.moments": "part epoch",
    "from raw.moments select n": "from: ",
    'select "n" from raw.moments': 'name "n"',
    "select n from raw.moments using sample 1 rows": "construct TABLESAMPLE",
    "select [n, 1] from raw.moments": "symbol [",
}
"""Statements that the endpoint answers, and what the check says of them."""

SNOWFLAKE = (
    "select sum(n) over (order by moment range between interval '30 days' preceding and current row) from m",
    "select count(1) over (order by n range between 7 preceding and 2 preceding) from m",
    "select max(n) over (order by n rows between unbounded preceding and current row) from m",
    "select row_number() over (partition by n order by moment) from m",
    'select cast(sum(n) as double) / count(1) as "mean" from m having count(1) > 1 order by "mean"',
    "select * exclude (n) from m where n not in (select n from o)",
    "select n from m where moment < cast('2018-01-01' as timestamp without time zone)",
    "create transient table raw.m (n bigint not null, moment timestamp_ntz(6)) cluster by (cast(moment as date))",
    "put 'file:///tmp/rows/*.parquet' @raw.staged auto_compress = false source_compression = none parallel = 4",
    "copy into raw.m from @raw.staged file_format = (type = parquet use_logical_type = true) purge = true",
    "begin",
    "insert into raw.m (n, moment) values (?, ?), (?, ?)",
    "merge into raw.m using raw.o on m.n = o.n when not matched then insert (n) values (o.n)",
    "delete from raw.m where moment >= date '2018-04-01' and n in (select n from raw.o)",
    "commit",
    "show grants to role lifecycle_load",
)


@pytest.fixture(scope="module")
def cursor(endpoint: LocalSnowflake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with connection(own_database(endpoint, tmp_path_factory.mktemp("home")), Use()) as opened:
        cursor = opened.cursor()
        cursor.execute("create schema if not exists raw")
        cursor.execute("create table raw.moments (n bigint, moment timestamp_ntz(6))")
        cursor.execute("insert into raw.moments values (1, '2018-04-01 00:00:00'), (2, '2018-04-02 00:00:00')")
        yield cursor


@pytest.mark.parametrize(("sql", "problem"), ONLY_LOCAL.items())
def test_what_only_the_local_endpoint_runs_is_found(cursor: Any, sql: str, problem: str) -> None:
    assert len(cursor.execute(sql).fetchall()) >= 1
    assert problem in json.dumps(problems(sql), ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize("sql", SNOWFLAKE)
def test_what_snowflake_documents_is_no_problem(sql: str) -> None:
    assert problems(sql) == []


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("select sum(n) over w from m window w as (order by n)", "no SQL of Snowflake"),
        ("select sum(n) over (order by n range between 2 preceding and 5 preceding) from m", "later end comes first"),
        (
            "select row_number() over (order by n range between 2 preceding and current row) from m",
            "rownumber over a range",
        ),
        (
            "select sum(n) over (order by n, moment range between 2 preceding and current row) from m",
            "not exactly one key",
        ),
        ("select last_value(n) over (partition by moment order by n) from m", "or none"),
        ("insert into raw.m by name select 1 as n", "insert with by name"),
        ("insert or replace into raw.m values (1)", "insert with alternative"),
        ("select n from m where n = 7 // 2", "begins a comment"),
        ("pragma table_info('m')", "statement PRAGMA"),
        ("copy raw.m to 'm.parquet'", "no copy into"),
        ("select n::integer[] from m", "symbol ["),
        ("select {'a': n} from m", "symbol {"),
    ],
)
def test_what_snowflakes_grammar_has_not_is_found(sql: str, problem: str) -> None:
    assert any(problem in found for found in problems(sql)), problems(sql)


def test_functions_are_named_as_they_are_written() -> None:
    sql = """
        with counted as (select n, count(1) as amount from raw.m group by n)
        select coalesce(nvl(n, 0), cast('1' as number(12, 2))), 'lower(x)', current_timestamp,
            snowflake.cortex.complete(n)
        from counted where n in (1, 2) -- max(n)
    """
    assert functions(sql) == {"count", "coalesce", "nvl", "cast", "current_timestamp", "snowflake.cortex.complete"}
    assert functions("insert into raw.m (n) values (1)") == set()
    assert functions("create table if not exists raw.m (n bigint, amount decimal(12, 2))") == set()


def test_the_list_is_read_from_the_documentation(tmp_path: Path) -> None:
    page = tmp_path / "functions.md"
    page.write_text(
        "| `nvl` | <https://docs.snowflake.com/en/sql-reference/functions/nvl> | dbt |\n| `x` | no link | dbt |\n"
    )
    assert allowed_functions(page) == {"nvl": "https://docs.snowflake.com/en/sql-reference/functions/nvl"}
