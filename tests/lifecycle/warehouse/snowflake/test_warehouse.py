"""Values survive a round trip through Snowflake, and errors contain no values."""

import datetime as dt
import decimal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local import snowflake as local_snowflake
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.snowflake import SnowflakeWarehouse
from lifecycle.warehouse.snowflake.connection import connection_arguments
from lifecycle.warehouse.snowflake.converters import start_converters
from lifecycle.warehouse.snowflake.session import INSERTED_BY_VALUES

COLUMNS = "id bigint, at_us timestamp_ntz(6), amount number(12, 2), share double, name varchar, day date, is_it boolean"


def extremes(copies: int) -> pa.Table:
    """Rows of every type at its limits, each column null once, `copies` times."""
    moments = [dt.datetime(1969, 12, 31, 23, 59, 59, 999_999), dt.datetime(2200, 1, 1, 0, 0, 0, 1), None]  # noqa: DTZ001
    money = [decimal.Decimal("-9999999999.99"), None, decimal.Decimal("0.01")]
    rows = {
        "id": pa.array([2**63 - 1, -(2**63), None] * copies, pa.int64()),
        "at_us": pa.array(moments * copies, pa.timestamp("us")),
        "amount": pa.array(money * copies, pa.decimal128(12, 2)),
        "share": pa.array([0.1 + 0.2, None, 5e-324] * copies, pa.float64()),
        "name": pa.array(["O'Neill \\ é\n", "", None] * copies, pa.string()),
        "day": pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)] * copies, pa.date32()),
        "is_it": pa.array([True, False, None] * copies, pa.bool_()),
    }
    return pa.table(rows)


@pytest.mark.parametrize("copies", [1, INSERTED_BY_VALUES], ids=["by values", "by a staged file"])
def test_every_type_comes_back_to_the_bit(snowflake: SnowflakeWarehouse, copies: int) -> None:
    rows = extremes(copies)
    with snowflake.session("a round trip") as session:
        session.execute(f"create table raw.trip ({COLUMNS})")
        session.append("raw.trip", rows)
    found = snowflake.query("select * from raw.trip order by id nulls last")
    order = pa.compute.sort_indices(rows, sort_keys=[("id", "ascending")])
    assert found.schema == rows.schema
    assert found.to_pydict() == rows.take(order).to_pydict()
    assert found.equals(rows.take(order))


def test_no_rows_have_the_same_columns_as_some(snowflake: SnowflakeWarehouse) -> None:
    with snowflake.session("an empty table") as session:
        session.execute(f"create table raw.trip ({COLUMNS})")
    assert snowflake.query("select * from raw.trip").schema == extremes(1).schema
    (batch,) = snowflake.batches("select * from raw.trip")
    assert (batch.num_rows, batch.schema) == (0, extremes(1).schema)


def test_batches_are_no_larger_than_asked_for(snowflake: SnowflakeWarehouse) -> None:
    with snowflake.session("some rows") as session:
        session.execute(f"create table raw.trip ({COLUMNS})")
        session.append("raw.trip", extremes(100))
    sizes = [batch.num_rows for batch in snowflake.batches("select * from raw.trip", rows_per_batch=70)]
    assert sum(sizes) == 300
    assert max(sizes) <= 70


def test_columns_are_told_in_order_and_a_missing_relation_by_name(snowflake: SnowflakeWarehouse) -> None:
    assert list(snowflake.columns("raw.card_transactions")) == [
        "transaction_id",
        "occurred_at",
        "customer_id",
        "terminal_id",
        "amount",
    ]
    with pytest.raises(LifecycleError, match=r"Expected a relation raw\.nothing, found none"):
        snowflake.columns("raw.nothing")


def test_a_whole_number_beyond_64_bits_is_refused_without_the_number(snowflake: SnowflakeWarehouse) -> None:
    with pytest.raises(LifecycleError) as caught:
        snowflake.query("select 12345678901234567890123::number(38, 0) as big")
    assert "12345678901234567890123" not in str(caught.value)


def test_a_failed_statement_is_told_by_its_number_and_not_by_its_values(snowflake: SnowflakeWarehouse) -> None:
    with pytest.raises(LifecycleError) as caught, snowflake.session("a bad value") as session:
        session.execute("insert into raw.card_transactions (transaction_id) values (?)", ["geheim-4711"])
    assert "geheim" not in str(caught.value)
    assert "insert into" in str(caught.value)


def test_a_missing_table_is_named_with_what_shows_the_rights(snowflake: SnowflakeWarehouse) -> None:
    with pytest.raises(LifecycleError, match=r"(?s)raw\.no_such|RAW\.NO_SUCH.*lifecycle warehouse check|NO_SUCH"):
        snowflake.query("select * from raw.no_such")


def test_a_definition_in_a_transaction_is_refused_since_it_would_commit_it(snowflake: SnowflakeWarehouse) -> None:
    def half_of_it() -> None:
        with snowflake.transaction("half of it") as session:
            session.execute("insert into raw.terminals (terminal_id, kind) values (1, 'fuel')")
            session.scratch("late", "n bigint")

    with pytest.raises(RuntimeError, match="would commit it"):
        half_of_it()
    assert snowflake.query("select * from raw.terminals").num_rows == 0


@pytest.mark.long
def test_transactions_of_a_kind_take_turns_and_each_sees_what_the_one_before_it_wrote(tmp_path: Path) -> None:
    """Two machines: each has a lock file of its own, so that only the lock in Snowflake keeps them apart."""
    # Not the tests' endpoint, which would soon roll back the first's transaction for the second.
    with local_snowflake.running(tmp_path / "endpoint") as endpoint:
        here, there = (
            SnowflakeWarehouse(endpoint.settings(tmp_path / home), Use("load")) for home in ("here", "there")
        )
        here.ensure(raw_definitions(here.dialect))
        seen: list[int] = []
        is_inside = threading.Event()

        def second() -> None:
            with there.session("the second") as session, session.transaction(serial="turns"):
                seen.append(session.query("select count(*) as n from raw.terminals").column(0)[0].as_py())

        def second_once_the_first_is_inside() -> None:
            is_inside.wait(60)
            # Its session began before the first's commit and may not see it: it is rejected, and a new one begins.
            there.retrying(second)

        thread = threading.Thread(target=second_once_the_first_is_inside)
        thread.start()
        with here.session("the first") as session, session.transaction(serial="turns"):
            is_inside.set()
            while endpoint.log.read_text().count("update raw.turns_lock") < 2:
                time.sleep(0.02)
            thread.join(0.3)
            assert thread.is_alive()
            session.execute("insert into raw.terminals (terminal_id, kind) values (1, 'fuel')")
        thread.join(60)
        assert seen == [1]
        here.close()
        there.close()


# Dagster's own integration warns of Pydantic's next major version.
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_resource_of_dagster_logs_in_as_the_platform_does(
    endpoint: LocalSnowflake, snowflake_settings: Settings
) -> None:
    from dagster_snowflake import SnowflakeResource

    arguments = connection_arguments(snowflake_settings.snowflake, Use("read"))
    start_converters()
    fields = {name: arguments.pop(name) for name in SnowflakeResource.model_fields if name in arguments}
    resource = SnowflakeResource(**fields, additional_snowflake_connection_args=arguments)
    with resource.get_connection() as connection, connection.cursor() as cursor:
        cursor.execute("select current_role(), ?", [7])
        assert cursor.fetchone() == ("LIFECYCLE_READ", 7)
    last = endpoint.statements()[-1]
    assert '"step": "read"' in last["tag"]


def test_settings_that_are_not_there_are_named_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, snowflake_settings: Settings
) -> None:
    monkeypatch.delenv("LIFECYCLE_SNOWFLAKE_USER")
    monkeypatch.delenv("LIFECYCLE_SNOWFLAKE_PASSWORD")
    with pytest.raises(LifecycleError) as caught:
        open_warehouse(Settings(home=snowflake_settings.home), Use("load"))
    assert "LIFECYCLE_SNOWFLAKE_USER" in str(caught.value)
    assert "LIFECYCLE_SNOWFLAKE_PRIVATE_KEY_FILE" in str(caught.value)
