"""Protected attributes are read of the named entities alone, as of a date, and by the role of the step alone."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.spec.declarations import declarations
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.reading import protected
from lifecycle.warehouse.reading.protected import protected_attributes
from tests.harness.sql_check import problems

CUSTOMERS: dict[str, list[Any]] = {
    "customer_id": [1, 2, 3],
    "segment": ["student", "premium", "basic"],
    "age_band": ["18-24", "65+", "35-49"],
    "sex": ["F", "M", "F"],
}
COLUMNS = ("sex", "age_band")
LATER = dt.date(2100, 1, 1)


def read(warehouse: Warehouse, entities: list[Any], as_of: dt.date = LATER) -> dict[str, list[Any]]:
    found = protected_attributes(
        warehouse, declarations().table("customers"), COLUMNS, np.array(entities, dtype=object), as_of
    )
    return {name: values.tolist() for name, values in found.items()}


@pytest.fixture
def people(warehouse: Warehouse, write_parquet: Any) -> Warehouse:
    """Three customers; the age band of the first changed in 2026, and again in 2027."""
    load(warehouse, "customers", write_parquet(CUSTOMERS))
    for day, age_band in (("2027-01-01", "35-49"), ("2026-01-01", "25-34")):
        with warehouse.transaction("a test") as session:
            session.execute(
                "insert into protected.customers_versions (customer_id, segment, age_band, sex, known_at) "
                "values (1, 'student', ?, 'F', ?)",
                [age_band, dt.datetime.fromisoformat(day)],
            )
    return warehouse


def test_each_row_gets_its_entitys_values_and_an_unknown_entity_none(
    people: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protected, "BATCH", 2)
    expected = {"sex": ["M", "F", None, "M", "F"], "age_band": ["65+", "35-49", None, "65+", "35-49"]}
    assert read(people, [2, 3, 9, 2, 3]) == expected
    # A mart may have cast the ids to text; one that is no number has no row.
    assert read(people, ["2", "3", "none", "2", "3"]) == expected


@pytest.mark.parametrize(
    ("as_of", "age_band"),
    [("2025-12-31", "18-24"), ("2026-01-01", "18-24"), ("2026-01-02", "25-34"), ("2027-01-02", "35-49")],
)
def test_the_newest_version_of_before_the_date_counts(people: Warehouse, as_of: str, age_band: str) -> None:
    assert read(people, [1, 2], dt.date.fromisoformat(as_of))["age_band"] == [age_band, "65+"]


def test_what_cannot_be_read_is_named(people: Warehouse) -> None:
    table = declarations().table("customers")
    with pytest.raises(LifecycleError, match=r"in protected.customers, missing income"):
        protected_attributes(people, table, ["sex", "income"], np.array([1]), LATER)
    with pytest.raises(LifecycleError, match=r"Expected a table of the schema protected, got raw.terminals"):
        protected_attributes(people, declarations().table("terminals"), ["kind"], np.array([1]), LATER)
    with people.session("a fault") as session:
        session.execute("drop table protected.customers")
    with pytest.raises(LifecycleError, match=r"Expected a relation protected.customers, found none"):
        read(people, [1])


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSnowflake]:
    """An endpoint that refuses what the setup script does not grant."""
    with running(tmp_path_factory.mktemp("strict"), arguments=("--enforce",)) as local:
        yield local


@pytest.mark.long
def test_the_role_of_the_step_fairness_reads_them_and_no_other_reader_does(
    strict: LocalSnowflake, tmp_path: Path
) -> None:
    settings, file = strict.settings(tmp_path / "home"), tmp_path / "customers.parquet"
    pq.write_table(pa.table(CUSTOMERS), file)
    writer = open_warehouse(settings, Use("load"))
    writer.ensure(raw_definitions(writer.dialect))
    load(writer, "customers", file)
    assert read(open_warehouse(settings, Use("fairness", "toy")), [1, 2])["sex"] == ["F", "M"]
    sent = [line["sql"] for line in strict.statements() if line["role"] == "LIFECYCLE_FAIRNESS"]
    assert sum("protected.customers" in sql for sql in sent) == 2
    assert {sql: found for sql in sent if (found := problems(sql))} == {}
    for step in ("train", "read", "transform", "log"):
        with pytest.raises(LifecycleError) as refused:
            read(open_warehouse(settings, Use(step)), [1, 2])
        assert "protected.customers" in str(refused.value).lower()
        assert "65+" not in str(refused.value)
