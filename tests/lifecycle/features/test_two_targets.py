"""The same raw rows through both targets, by the command line: the same features on every row, to the bit."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lifecycle.local.snowflake import LocalSnowflake, running
from lifecycle.settings.platform import PROJECT_ROOT, Settings
from lifecycle.warehouse import open_warehouse

TRANSACTIONS = PROJECT_ROOT.parent / "shared" / "data" / "card_fraud_handbook" / "transactions.parquet"
FIRST_DAY, END_DAY, NEXT_END_DAY = "2018-04-01", "2018-05-31", "2018-06-01"
LATE = "TX_DATETIME >= '2018-05-10' and TX_DATETIME < '2018-05-11' and TERMINAL_ID % 50 = 7"
"""Transactions that come with the day after the 60, three weeks late."""
ROWS = {8: 72_960, 1: 575_561}
"""Transactions of the first 60 days of every eighth customer, and of all."""
BUILT = (
    "intermediate.int_reported_transactions",
    "intermediate.int_customer_windows",
    "intermediate.int_terminal_windows",
    "marts.card_transaction_features",
    "marts.card_fraud_outcomes",
)
REPORTED = ("intermediate.int_reported_transactions", "marts.card_fraud_outcomes")


@dataclass(frozen=True)
class Target:
    """An installation on one of the two, driven by the command line in processes of its own."""

    settings: Settings
    environment: dict[str, str]

    def run(self, *arguments: str) -> Any:
        """The command's answer."""
        command = [sys.executable, "-c", "from lifecycle.cli import main; main()", *arguments, "--json"]
        environment = {**os.environ, **self.environment, "LIFECYCLE_HOME": str(self.settings.root)}
        completed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert completed.returncode == 0, completed.stderr
        return json.loads(completed.stdout)

    def load(self, path: Path, relation: str = "card_transactions") -> Any:
        """Load rows; transactions come with their reports."""
        return self.run("warehouse", "load", relation, str(path))

    def rows(self, relation: str) -> pa.Table:
        """All rows, by transaction and report."""
        order = "transaction_id, reported_at" if relation in REPORTED else "transaction_id"
        return open_warehouse(self.settings).query(f"select * from {relation} order by {order}")


@pytest.fixture
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSnowflake]:
    """One of its own: the handbook's ids are those of other tests' rows."""
    with running(tmp_path_factory.mktemp("two_targets")) as started:
        yield started


@pytest.fixture
def targets(endpoint: LocalSnowflake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Target, Target]:
    homes = tmp_path_factory.mktemp("duckdb"), tmp_path_factory.mktemp("snowflake")
    return (
        Target(Settings(home=homes[0], target="duckdb"), {"LIFECYCLE_TARGET": "duckdb"}),
        Target(endpoint.settings(homes[1]), endpoint.environment()),
    )


@pytest.fixture
def files(every: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The handbook's first 60 days without the late rows, and the day after them with the late rows."""
    assert TRANSACTIONS.is_file(), f"Expected the handbook's file at {TRANSACTIONS}, found none"
    folder = tmp_path_factory.mktemp("handbook")
    parts = {
        "first_60_days": f"TX_DATETIME >= '{FIRST_DAY}' and TX_DATETIME < '{END_DAY}' and not ({LATE})",
        "day_61_and_late": f"(TX_DATETIME >= '{END_DAY}' and TX_DATETIME < '{NEXT_END_DAY}') or ({LATE})",
    }
    for name, condition in parts.items():
        chosen = f"CUSTOMER_ID % {every} = 0 and ({condition})"
        duckdb.sql(f"copy (select * from '{TRANSACTIONS}' where {chosen}) to '{folder / name}.parquet'")
    return folder / "first_60_days.parquet", folder / "day_61_and_late.parquet"


@pytest.fixture
def withdrawn(every: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Withdrawals of every third fraud two days after its report, and second reports of every ninth a day later."""
    folder = tmp_path_factory.mktemp("withdrawn")
    parts = {"report_withdrawals": ("withdrawn_at", 3, 9), "fraud_reports": ("reported_at", 9, 10)}
    for name, (column, nth, days) in parts.items():
        duckdb.sql(
            f"copy (select TRANSACTION_ID as transaction_id, TX_DATETIME + to_days({days}) as {column} "
            f"from '{TRANSACTIONS}' where TX_FRAUD = 1 and TRANSACTION_ID % {nth} = 0 and CUSTOMER_ID % {every} = 0 "
            f"and TX_DATETIME < '{END_DAY}' and not ({LATE})) to '{folder / name}.parquet'"
        )
    return {name: folder / f"{name}.parquet" for name in parts}


@pytest.mark.handbook
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.soak)])
def test_both_targets_build_the_same_rows_to_the_bit(
    every: int, targets: tuple[Target, Target], files: tuple[Path, Path], withdrawn: dict[str, Path], tmp_path: Path
) -> None:
    first, later = files
    assert _in_both(targets, lambda target: target.load(first)["rows_inserted"]) == ROWS[every]
    assert _in_both(targets, lambda target: target.run("features", "build")["rows"]) == ROWS[every]
    _expect_the_same(targets)

    touched = _in_both(targets, lambda target: target.load(later)["touched"])
    assert len(touched) >= 1
    for days in touched:
        build = ("features", "build", "--start", days["start_date"], "--end", days["end_date"])
        assert _in_both(targets, lambda target, build=build: target.run(*build)["rows"]) > 0
    _expect_the_same(targets)

    for relation, path in withdrawn.items():
        touched = _in_both(targets, lambda target, path=path, name=relation: target.load(path, name)["touched"])
        for days in touched:
            build = ("features", "build", "--start", days["start_date"], "--end", days["end_date"])
            assert _in_both(targets, lambda target, build=build: target.run(*build)["rows"]) > 0
    _expect_the_same(targets)

    whole = Target(Settings(home=tmp_path, target="duckdb"), {"LIFECYCLE_TARGET": "duckdb"})
    for path in files:
        whole.load(path)
    for relation, path in withdrawn.items():
        whole.load(path, relation)
    whole.run("features", "build")
    _expect_the_same((whole, targets[1]))


def _in_both(targets: Sequence[Target], act: Any) -> Any:
    """What both targets answer."""
    answers = [act(target) for target in targets]
    assert answers[0] == answers[1]
    return answers[0]


def _expect_the_same(targets: Sequence[Target]) -> None:
    for relation in BUILT:
        expected, found = (target.rows(relation) for target in targets)
        assert set(found.column_names) == set(expected.column_names)
        # Arrow refuses a cast that would change a value.
        conformed = found.select(expected.column_names).cast(expected.schema)
        assert conformed.num_rows == expected.num_rows > 0
        assert conformed.equals(expected), relation
