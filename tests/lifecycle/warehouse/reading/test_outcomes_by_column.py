"""Outcomes that the mart holds in a column, read from the warehouse as known before a date."""

import datetime as dt
from pathlib import Path

import pytest

from lifecycle.modelling.training_set import examples_from_table, labels
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.interface import Definition, Warehouse
from lifecycle.warehouse.reading.decisions import load_decisions, read_decisions
from lifecycle.warehouse.reading.examples import MARTS, known_positives, training_batches, training_examples
from tests.harness.credit_model import CREDIT
from tests.harness.logs import DAY, NEXT_DAY, make_log

ROWS = (
    # id, known on February, outcome
    ("1", "03", "true"),
    ("2", "05", "false"),
    ("3", None, "true"),
    ("4", "03", None),
)
MONTH = (dt.date(2026, 1, 1), dt.date(2026, 2, 1))


@pytest.fixture
def credit() -> RiskModelSpec:
    return RiskModelSpec.model_validate(CREDIT | {"name": "card_fraud"})


@pytest.fixture
def mart(warehouse: Warehouse, credit: RiskModelSpec) -> Warehouse:
    timestamp = warehouse.dialect.timestamp
    columns = f"""application_id varchar, client_id varchar, occurred_at {timestamp}, income double,
        label_known_at {timestamp}, is_default boolean"""
    warehouse.ensure(
        [
            Definition(MARTS, f"create schema if not exists {MARTS}"),
            Definition(f"{MARTS}.{credit.mart}", f"create table {MARTS}.{credit.mart} ({columns})"),
        ]
    )
    with warehouse.transaction("a test") as session:
        for name, day, outcome in ROWS:
            known = f"'2026-02-{day} 00:00:00'" if day else "null"
            session.execute(
                f"insert into {MARTS}.{credit.mart} values "
                f"('{name}', 'c{name}', '2026-01-31 12:00:00', 1.5, {known}, {outcome or 'null'})"
            )
    return warehouse


@pytest.mark.long
@pytest.mark.parametrize(
    ("as_of", "known", "positives"),
    [(3, [], 0), (4, ["1"], 1), (6, ["1", "2"], 1)],
)
def test_a_training_set_knows_what_was_known(
    mart: Warehouse, credit: RiskModelSpec, as_of: int, known: list[str], positives: int
) -> None:
    date = dt.date(2026, 2, as_of)
    table = training_examples(mart, credit, *MONTH, date)
    assert table.column_names == [
        "application_id", "client_id", "occurred_at", "income", "label_known_at", "is_default",
    ]  # fmt: skip
    rows = table.to_pylist()
    assert [row["application_id"] for row in rows if row["label_known_at"]] == known
    assert [row["application_id"] for row in rows if row["is_default"] is not None] == known
    is_positive, _ = labels(examples_from_table(table, credit), date, 1)
    assert is_positive.sum() == known_positives(mart, credit, *MONTH, date) == positives
    streamed = [row for batch in training_batches(mart, credit, *MONTH, date) for row in batch.to_pylist()]
    assert streamed == rows


def test_a_decision_has_its_outcome_once_it_is_known(mart: Warehouse, credit: RiskModelSpec, tmp_path: Path) -> None:
    load_decisions(mart, make_log(tmp_path))
    outcomes = {
        day: {
            row["decision_id"]: row["is_positive"]
            for row in read_decisions(mart, credit, DAY, NEXT_DAY, dt.date(2026, 2, day)).to_pylist()
        }
        for day in (3, 4, 6)
    }
    assert outcomes == {
        3: {"d1": None, "d2": None, "d3": None},
        4: {"d1": True, "d2": None, "d3": None},
        6: {"d1": True, "d2": False, "d3": None},
    }
