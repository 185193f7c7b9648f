"""Parameters of a session, and rows that it appends."""

import datetime as dt

import pyarrow as pa
import pytest

from lifecycle.warehouse.snowflake import SnowflakeWarehouse
from lifecycle.warehouse.snowflake.session import INSERTED_BY_VALUES, SnowflakeSession

MANY = 2 * INSERTED_BY_VALUES + 1


@pytest.fixture
def loads() -> pa.Table:
    """Rows of the record of loads, more than one statement takes: a folder has a file a day."""
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=day) if day % 2 else None for day in range(MANY)]
    return pa.table(
        {
            "relation": ["card_transactions"] * MANY,
            "content_digest": [f"{number:04d}" for number in range(MANY)],
            "mapping_digest": ["m"] * MANY,
            "source_name": ["a file"] * MANY,
            "rows_read": list(range(MANY)),
            "rows_inserted": list(range(MANY)),
            "first_day": pa.array(days, pa.date32()),
            "last_day": pa.array(days, pa.date32()),
            "loaded_at": [dt.datetime(2026, 1, 1, 0, 0, 0, 1)] * MANY,  # noqa: DTZ001 - as the warehouse stores it
        }
    )


def _append_and_fail(session: SnowflakeSession, loads: pa.Table) -> None:
    with session.transaction(serial="loads"):
        session.append("raw.loads", loads)
        raise ZeroDivisionError


def test_many_rows_are_part_of_an_open_transaction(snowflake: SnowflakeWarehouse, loads: pa.Table) -> None:
    with snowflake.session("many rows") as session:
        with session.transaction(serial="loads"):
            session.append("raw.loads", loads)
        with pytest.raises(ZeroDivisionError):
            _append_and_fail(session, loads)
    found = snowflake.query("select * from raw.loads order by content_digest")
    assert found.to_pylist() == loads.to_pylist()


def test_no_rows_are_appended_without_a_statement(snowflake: SnowflakeWarehouse, loads: pa.Table) -> None:
    with snowflake.session("no rows") as session:
        session.append("raw.loads", loads.slice(0, 0))
    assert snowflake.query("select * from raw.loads").num_rows == 0


@pytest.mark.parametrize("parameter", ["TRANSACTION_ABORT_ON_ERROR", "ABORT_DETACHED_QUERY"])
def test_what_fails_or_is_left_alone_is_not_carried_on(snowflake: SnowflakeWarehouse, parameter: str) -> None:
    with snowflake.session("asking") as session, session.cursor(f"show parameters like '{parameter}'") as cursor:
        values = [str(row[1]).lower() for row in cursor.fetchall()]
    assert values == ["true"]
