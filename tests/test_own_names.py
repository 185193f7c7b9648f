"""Only the shipped model, its dbt project, the simulator and the demonstration know the tables of card payments."""

import re

import pytest

from lifecycle.settings.platform import Settings
from lifecycle.spec.declarations import declared_in
from lifecycle.spec.ref_graph import ref_graph
from tests.harness.imports import file_name, sources

SHIPPED = [Settings().dbt_project_dir]
TABLES = declared_in(SHIPPED).tables
COLUMNS = {"customer_id", "terminal_id", "age_band"}
"""Columns of the raw tables whose names say whose they are; the others are words of any model or of the protocol."""
OWNERS = ("lifecycle/defs/card_fraud/", "lifecycle/local/simulator/", "lifecycle/local/demo/")
ALLOWED = {
    # The command of the simulator.
    "lifecycle/cli/simulate.py": {"card_transactions", "fraud_reports"},
    # Its template of a model of card payments.
    "lifecycle/local/new_model/__init__.py": {"card_transactions", "fraud_reports"},
    # The default of an older model file, which need not name the column.
    "lifecycle/spec/examples.py": {"customer_id"},
    # Part of the digest by which files that an earlier version loaded are recognised.
    "lifecycle/warehouse/loading/mapping.py": {"fraud_reports"},
}


def names_in(text: str) -> set[str]:
    """Names of tables, dbt models and columns; those that are English words only in quotes or after a schema."""
    names = {*TABLES, *ref_graph(SHIPPED).models, *COLUMNS}
    words = {name for name in names if "_" not in name}
    found = {name for name in names - words if re.search(rf"\b{name}\b", text)}
    return found | {name for name in words if re.search(rf"""["']{name}["']|\b(raw|protected)\.{name}\b""", text)}


def test_the_search_finds_the_names_of_the_shipped_project() -> None:
    assert {"card_transactions", "terminals"} < set(TABLES)
    assert names_in('x = "customers"; y = "raw.terminals"; from marts.card_transaction_features') == {
        "customers", "terminals", "card_transaction_features"
    }  # fmt: skip
    assert names_in("customers wait at terminals") == set()


@pytest.mark.parametrize("package", ["lifecycle", "serving"])
def test_no_code_names_a_table_a_mart_or_a_column_of_the_shipped_model(package: str) -> None:
    found = {
        file_name(path): names
        for path in sources(package)
        if not file_name(path).startswith(OWNERS) and (names := names_in(path.read_text()))
    }
    assert found == {name: names for name, names in ALLOWED.items() if name.startswith(package)}
