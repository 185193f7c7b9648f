"""A model's file against the data of its mart: windows, capacity, and features without content."""

import datetime as dt
from typing import Any

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.gates.model_against_data import data_faults
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Definition, Warehouse
from lifecycle.warehouse.reading.examples import MARTS, training_batches
from lifecycle.warehouse.reading.mart_profile import mart_profile
from tests.harness.credit_model import CREDIT

FEATURES = [
    {"name": "income", "dtype": "float", "minimum": 0},
    {"name": "age", "dtype": "int", "maximum": 90},
    {"name": "country", "dtype": "category", "categories": ["de", "fr"]},
    {"name": "rating", "dtype": "float", "is_nullable": True},
    {"name": "version", "dtype": "int"},
]
FIRST = dt.datetime.fromisoformat("2024-01-01T10:00")
ENTITIES, DAYS = 20, 60


@pytest.fixture
def mart(warehouse: Warehouse) -> Warehouse:
    """Twenty clients a day over sixty days; every feature has a fault of its own."""
    timestamp = warehouse.dialect.timestamp
    columns = f"""application_id varchar, client_id varchar, occurred_at {timestamp}, income double, age integer,
        country varchar, rating double, version integer, label_known_at {timestamp}, is_default boolean"""
    warehouse.ensure(
        [
            Definition(MARTS, f"create schema if not exists {MARTS}"),
            Definition(f"{MARTS}.clients", f"create table {MARTS}.clients ({columns})"),
        ]
    )
    rows = [
        f"('a{day}-{client}', 'c{client}', '{FIRST + dt.timedelta(days=day)}', {-1 if client == 3 else client}, "
        f"{'null' if client == 5 else 30 + client}, '{'it' if client == 7 else 'de'}', null, 1, "
        f"'{FIRST + dt.timedelta(days=day + 1)}', {client % 2 == 0})"
        for day in range(DAYS)
        for client in range(ENTITIES)
    ]
    with warehouse.transaction("a test") as session:
        session.execute(f"insert into {MARTS}.clients values {', '.join(rows)}")
    return warehouse


def credit(**changes: Any) -> RiskModelSpec:
    return RiskModelSpec.model_validate(CREDIT | {"features": FEATURES} | changes)


def test_features_without_content_are_named_with_their_key(mart: Warehouse) -> None:
    spec = credit()
    profile = mart_profile(mart, spec)
    assert profile is not None
    assert (profile.rows, profile.entities_a_day) == (ENTITIES * DAYS, ENTITIES)
    assert (profile.first_day, profile.last_day) == (dt.date(2024, 1, 1), dt.date(2024, 2, 29))
    place, remedy = "at `features", "fill them in the mart, or set is_nullable"
    assert data_faults(spec, profile) == [
        f"Expected values of 'income' within its range, got 60 rows of clients outside - {place}.0.name`",
        f"Expected no null of 'age', got 60 in 1200 rows of clients; {remedy} - {place}.1.name`",
        f"Expected values of 'country' within its categories, got 60 rows of clients outside - {place}.2.name`",
        f"Expected values of 'rating', got nulls only in 1200 rows of clients - {place}.3.name`",
        f"Expected values of 'version' that differ, got the same in all rows of clients - {place}.4.name`",
    ]


def test_windows_and_capacity_are_compared_with_the_mart(mart: Warehouse) -> None:
    training = CREDIT["training"] | {"train": 70}
    spec = credit(
        features=[{"name": "income"}],
        training=training,
        decision={"capacity": {"review": ENTITIES}},
        gates=CREDIT["gates"],
    )
    profile = mart_profile(mart, spec)
    assert profile is not None
    windows, capacity = data_faults(spec, profile)
    assert windows.startswith("Expected examples from 2023-12-")
    assert "the first of clients is of 2024-01-01; load " in windows
    assert capacity == (
        "Expected a capacity below the 20 entities of a day, got 20: people could look at all of them, and no model "
        "would be needed - at `decision.capacity.review`"
    )


def test_a_mart_that_is_not_built_has_no_profile(warehouse: Warehouse) -> None:
    assert mart_profile(warehouse, credit()) is None


def test_a_mart_that_was_built_without_a_column_is_named(mart: Warehouse) -> None:
    spec = credit(features=[*FEATURES, {"name": "savings"}, {"name": "bills"}])
    message = r"in marts\.clients, it was built without savings, bills; build it again: lifecycle features build --full"
    day = dt.date(2024, 1, 9)
    for reading in (
        lambda: mart_profile(mart, spec),
        lambda: list(training_batches(mart, spec, day, day + dt.timedelta(days=1), day)),
    ):
        with pytest.raises(LifecycleError, match=message):
            reading()
