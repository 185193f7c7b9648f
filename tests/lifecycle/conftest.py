import pyarrow as pa
import pytest

from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_model import card_table, spec_with


@pytest.fixture(scope="session")
def spec() -> RiskModelSpec:
    return spec_with()


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return card_table()


@pytest.fixture(scope="session")
def examples(table: pa.Table, spec: RiskModelSpec) -> Examples:
    return examples_from_table(table, spec)
