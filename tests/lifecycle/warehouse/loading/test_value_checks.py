import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lifecycle.warehouse.loading.value_checks import cast_column, quoted
from lifecycle.warehouse.raw_tables import Column

AMOUNT = Column("amount", "DECIMAL(12,2)", minimum=0)
ID = Column("customer_id", "BIGINT")
MOMENT = Column("occurred_at", "TIMESTAMP")


@pytest.fixture(scope="module")
def connection() -> Any:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    yield connection
    connection.close()


def cast(connection: Any, value: object, source_type: str, target: Column) -> tuple[Any, list[str]]:
    """The converted value, and the descriptions of its faults."""
    found = cast_column("x", source_type, target)
    assert found is not None
    conditions = ", ".join(fault.condition for fault in found.faults)
    row = connection.execute(
        f"select {found.value}, {conditions} from (select cast(? as {source_type}) as x)", [value]
    ).fetchone()
    wrong = [fault.got for fault, is_wrong in zip(found.faults, row[1:], strict=True) if is_wrong]
    return row[0], wrong


@given(cents=st.integers(0, 999_999_999_999), noise=st.floats(-9e-7, 9e-7))
def test_an_amount_keeps_its_cents_under_any_noise_of_floats(connection: Any, cents: int, noise: float) -> None:
    # A double has fewer than six decimals beyond 10^9, so that the noise itself must fit below the limit there.
    value = cents / 100 + (noise if cents < 10**10 else 0.0)
    assert cast(connection, value, "DOUBLE", AMOUNT) == (Decimal(cents) / 100, [])


@given(cents=st.integers(0, 10**9), beyond=st.floats(2e-6, 0.004999))
def test_an_amount_with_real_further_decimals_is_refused(connection: Any, cents: int, beyond: float) -> None:
    for value in (cents / 100 + beyond, cents / 100 + 0.01 - beyond):
        assert cast(connection, value, "DOUBLE", AMOUNT)[1] == ["further decimals"]


@given(cents=st.integers(1, 10**11))
def test_every_negative_amount_is_refused(connection: Any, cents: int) -> None:
    assert cast(connection, -cents / 100, "DOUBLE", AMOUNT)[1] == ["negative"]


@given(cents=st.integers(0, 10**12 - 1))
def test_an_amount_reads_the_same_from_text_and_from_decimals(connection: Any, cents: int) -> None:
    amount = Decimal(cents) / 100
    assert cast(connection, f"{amount:f}", "VARCHAR", AMOUNT) == (amount, [])
    assert cast(connection, amount, "DECIMAL(18,4)", AMOUNT) == (amount, [])


@given(number=st.integers(-(2**63), 2**63 - 1))
def test_an_id_reads_the_same_from_text_and_from_integers(connection: Any, number: int) -> None:
    assert cast(connection, str(number), "VARCHAR", ID) == (number, [])
    assert cast(connection, number, "BIGINT", ID) == (number, [])


@pytest.mark.long
@given(text=st.text(max_size=12))
@example(text="1\v")
@example(text=" -1\t")
def test_text_is_an_id_only_if_it_is_a_whole_number(connection: Any, text: str) -> None:
    text = text.replace("\0", "")
    value, wrong = cast(connection, text, "VARCHAR", ID)
    digits = text.strip(" \t\n\r\f")  # white space as DuckDB's regular expressions know it: no vertical tab
    is_whole = digits.removeprefix("-").isascii() and digits.removeprefix("-").isdecimal()
    assert (value is not None) == is_whole
    assert wrong == ([] if is_whole else ["another kind of value"])


@given(
    moment=st.datetimes(dt.datetime.fromisoformat("1900-01-01"), dt.datetime.fromisoformat("2200-01-01")),
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_a_moment_with_an_offset_becomes_utc(connection: Any, moment: dt.datetime, offset: int) -> None:
    zone = dt.timezone(dt.timedelta(minutes=offset))
    text = moment.replace(tzinfo=zone).isoformat()
    for written, utc in ((text, moment - dt.timedelta(minutes=offset)), (moment.isoformat(" "), moment)):
        assert cast(connection, written, "VARCHAR", MOMENT) == (utc, out_of_bounds(utc))


def out_of_bounds(moment: dt.datetime) -> list[str]:
    latest = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(days=1)
    if moment < dt.datetime.fromisoformat("1990-01-01"):
        return ["earlier"]
    return ["later"] if moment > latest else []


@pytest.mark.parametrize(
    ("value", "source_type", "expected"),
    [
        (True, "BOOLEAN", True),
        (1, "TINYINT", True),
        (0.0, "DOUBLE", False),
        (" True ", "VARCHAR", True),
        ("0", "VARCHAR", False),
    ],
)
def test_a_flag_says_yes_or_no_in_many_ways(connection: Any, value: object, source_type: str, expected: bool) -> None:
    assert cast(connection, value, source_type, Column("is_fraud", "BOOLEAN")) == (expected, [])


@pytest.mark.parametrize(
    ("source_type", "target"),
    [
        ("BOOLEAN", ID),
        ("TIMESTAMP", ID),
        ("DATE", MOMENT),
        ("BIGINT", MOMENT),
        ("BOOLEAN", AMOUNT),
        ("STRUCT(a INTEGER)", AMOUNT),
        ("BLOB", Column("kind", "VARCHAR")),
        ("DATE", Column("is_fraud", "BOOLEAN")),
    ],
)
def test_a_type_that_cannot_be_the_column_has_no_cast(source_type: str, target: Column) -> None:
    assert cast_column("x", source_type, target) is None


def test_a_column_name_cannot_end_its_quotes() -> None:
    assert quoted('a"b') == '"a""b"'
