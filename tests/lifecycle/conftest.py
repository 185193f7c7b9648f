from collections.abc import Iterator

import pyarrow as pa
import pytest

from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.snowflake_endpoint import ABANDONED
from tests.harness.toy_model import AS_OF, card_table, spec_with


@pytest.fixture(scope="session")
def spec() -> RiskModelSpec:
    return spec_with()


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return card_table()


@pytest.fixture(scope="session")
def examples(table: pa.Table) -> Examples:
    return examples_from_table(table, spec_with())


@pytest.fixture(scope="session")
def trained(examples: Examples) -> Trained:
    """The toy model as of `AS_OF`.

    It does not use the fixture `spec`: some folders override that one, and pytest would keep the model of the folder
    that asked first.
    """
    return train(spec_with(), examples, AS_OF)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSnowflake]:
    """The local Snowflake endpoint of this test process; `tests.harness.snowflake_endpoint` has databases for tests.

    It soon rolls back a transaction that its client left open and that others wait for.
    """
    with running(tmp_path_factory.mktemp("endpoint"), arguments=ABANDONED) as local:
        yield local
