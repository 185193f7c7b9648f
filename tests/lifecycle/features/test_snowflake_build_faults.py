"""An endpoint that dies or a session that ends during a build: the next build gives the same rows."""

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.features import build
from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from tests.harness.features_generated import DAYS, FEATURES_RELATION, FIRST_DAY, RawRows, insert
from tests.harness.in_process_build import InProcessBuild

pytestmark = pytest.mark.long

RELATIONS = (FEATURES_RELATION, "intermediate.int_customer_windows", "intermediate.int_terminal_windows")
REBUILT = (FIRST_DAY + dt.timedelta(days=20), FIRST_DAY + dt.timedelta(days=30))
BUILD_SECONDS = 240.0


def rows(settings: Settings) -> dict[str, pa.Table]:
    warehouse = open_warehouse(settings)
    return {relation: warehouse.query(f"select * from {relation} order by transaction_id") for relation in RELATIONS}


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSnowflake]:
    """An endpoint that may die, and rolls back what its lost sessions have begun."""
    with running(tmp_path_factory.mktemp("mortal"), arguments=("--abandoned-seconds", "0.5")) as started:
        yield started


@pytest.fixture(scope="module")
def built_there(mortal: LocalSnowflake, tmp_path_factory: pytest.TempPathFactory, raw_rows: RawRows) -> Settings:
    """An installation with every day's features at the endpoint that may die."""
    settings = mortal.settings(tmp_path_factory.mktemp("home"))
    insert(settings, raw_rows)
    build(settings)
    return settings


@pytest.fixture(scope="module")
def whole(compiled: Path, raw_rows: RawRows) -> pa.Table:
    built = InProcessBuild(compiled, raw_rows)
    built.build(FIRST_DAY, FIRST_DAY + dt.timedelta(days=DAYS))
    return built.features()


@contextmanager
def coming_back(mortal: LocalSnowflake) -> Iterator[None]:
    """Restart the endpoint once it has died, which happens by the block's end.

    A retry then learns that its session is gone, so no timeout is needed that a slow machine's statements could reach.
    """

    def come_back() -> None:
        mortal.wait_until_dead(BUILD_SECONDS)
        mortal.restart()

    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(come_back)
        yield
        back.result()


@pytest.mark.parametrize(
    ("step", "effect", "is_after"),
    [
        ("delete from lifecycle.intermediate.int_terminal_windows", "kill", True),
        ("insert into lifecycle.marts.card_transaction_features", "kill", False),
        ("insert into lifecycle.marts.card_transaction_features", "kill", True),
        ("insert into lifecycle.intermediate.int_customer_windows", "end", True),
        ("delete from lifecycle.marts.card_transaction_features", "end", False),
    ],
)
def test_a_build_that_is_cut_off_is_run_again_and_ends_the_same(
    mortal: LocalSnowflake, built_there: Settings, whole: pa.Table, step: str, effect: str, is_after: bool
) -> None:
    before = rows(built_there)
    mortal.fault(step, effect, after=is_after)
    with (
        coming_back(mortal) if effect == "kill" else nullcontext(),
        pytest.raises(LifecycleError, match="Expected dbt to build the features"),
    ):
        build(built_there, *REBUILT)
    mortal.clear_faults()
    build(built_there, *REBUILT)
    after = rows(built_there)
    assert {name: table.equals(before[name]) for name, table in after.items()} == dict.fromkeys(RELATIONS, True)
    found = after[FEATURES_RELATION]
    assert found.select(whole.column_names).cast(whole.schema).equals(whole)


def test_a_token_that_expires_during_a_build_is_renewed(mortal: LocalSnowflake, built_there: Settings) -> None:
    before = rows(built_there)
    mortal.fault("insert into lifecycle.intermediate.int_customer_windows", "expire")
    build(built_there, *REBUILT)
    mortal.clear_faults()
    assert {name: table.equals(before[name]) for name, table in rows(built_there).items()} == dict.fromkeys(
        RELATIONS, True
    )
