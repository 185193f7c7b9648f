"""Builds through dbt itself."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.features import build
from lifecycle.features.builds import day_bounds
from lifecycle.features.dbt import run_dbt
from lifecycle.features.manifest import reuse_parsing
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from tests.harness.features_generated import DAYS, FEATURES_RELATION, FIRST_DAY, RawRows, generate, insert
from tests.harness.foreign_environment import FOREIGN
from tests.harness.in_process_build import InProcessBuild

ALL_FEATURES = f"select * from {FEATURES_RELATION} order by transaction_id"


@pytest.fixture(scope="module")
def whole(compiled: Path, raw_rows: RawRows) -> pa.Table:
    built = InProcessBuild(compiled, raw_rows)
    built.build(FIRST_DAY, FIRST_DAY + dt.timedelta(days=DAYS))
    return built.features()


def test_a_first_build_makes_every_day(built: Settings, whole: pa.Table) -> None:
    assert open_warehouse(built).query(ALL_FEATURES).equals(whole)


def test_outcomes_are_the_periods_from_a_report_until_its_withdrawal(built: Settings, raw_rows: RawRows) -> None:
    withdrawals: dict[int, list[dt.datetime]] = {}
    for row in raw_rows.withdrawals.to_pylist():
        withdrawals.setdefault(row["transaction_id"], []).append(row["withdrawn_at"])
    first: dict[tuple[int, dt.datetime | None], dt.datetime] = {}
    for row in raw_rows.reports.to_pylist():
        key, reported_at = row["transaction_id"], row["reported_at"]
        end = min((moment for moment in withdrawals.get(key, ()) if moment >= reported_at), default=None)
        first[key, end] = min(reported_at, first.get((key, end), reported_at))
    found = open_warehouse(built).query(
        "select transaction_id, withdrawn_at, reported_at from marts.card_fraud_outcomes"
    )
    assert len(first) > len({key for key, _ in first}) > 500
    assert {(key, end): at for key, end, at in zip(*(c.to_pylist() for c in found.columns), strict=True)} == first
    assert found.num_rows == len(first)


@pytest.mark.long
def test_a_range_is_rebuilt_and_other_days_stay_whatever_the_shell_says(
    built: Settings, whole: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    start, end = FIRST_DAY + dt.timedelta(days=40), FIRST_DAY + dt.timedelta(days=43)
    in_days = f"occurred_at >= date '{start}' and occurred_at < date '{end}'"
    day_after = f"occurred_at >= date '{end}' and occurred_at < date '{end + dt.timedelta(days=1)}'"
    with open_warehouse(built).transaction("spoiling some days") as session:
        session.execute(f"delete from {FEATURES_RELATION} where {in_days} and transaction_id % 2 = 0")
        session.execute(
            f"insert into {FEATURES_RELATION} by name select * replace (-transaction_id - 1 as transaction_id) "
            f"from {FEATURES_RELATION} where {in_days}"
        )
        session.execute(f"update {FEATURES_RELATION} set amount = -amount where {day_after}")
    seen: list[str] = []
    summary = build(built, start, end, on_node=lambda node: seen.append(node.name))
    with open_warehouse(built).transaction("repairing the day after") as session:
        session.execute(f"update {FEATURES_RELATION} set amount = -amount where {day_after}")
    assert open_warehouse(built).query(ALL_FEATURES).equals(whole)
    assert summary.rows == _of_days(whole, start, end).num_rows
    assert {model.name for model in summary.models} <= set(seen)
    assert summary.seconds > summary.model_seconds > 0


@pytest.mark.long
def test_unit_tests_of_the_dbt_project_pass(built: Settings, tmp_path: Path) -> None:
    reuse_parsing(built, tmp_path)
    with open_warehouse(built).exclusive("unit tests"):
        run = run_dbt(
            built, ["test", "--select", "test_type:unit"], target_path=tmp_path, variables=day_bounds(None, None)
        )
    run.expect_success("to pass its unit tests")
    assert len(run.nodes) >= 42
    assert {node.status for node in run.nodes} == {"pass"}


@pytest.mark.long
def test_an_error_names_the_failed_test_and_dependent_models_are_not_built(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    rows = generate(seed=2, rows=50)
    insert(settings, rows)
    insert(settings, RawRows(rows.transactions.slice(0, 1), rows.reports.slice(0, 0)))
    with pytest.raises(
        LifecycleError, match="test unique_stg_card_transactions_transaction_id: Got 1 result"
    ) as caught:
        build(settings)
    assert "dbt.log" in str(caught.value)
    with pytest.raises(LifecycleError, match="found none"):
        open_warehouse(settings).columns(FEATURES_RELATION)


def test_an_empty_warehouse_is_refused_before_dbt_starts(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="run `lifecycle warehouse load card_transactions FILE`"):
        build(Settings(home=tmp_path))
    assert not (tmp_path / "dbt").exists()


def test_a_range_without_a_day_is_refused(built: Settings) -> None:
    with pytest.raises(LifecycleError, match="Expected a first day before 2018-05-01"):
        build(built, dt.date(2018, 5, 1), dt.date(2018, 5, 1))


def _of_days(rows: pa.Table, start: dt.date, end: dt.date) -> pa.Table:
    days = rows.column("occurred_at").cast(pa.date32()).to_pylist()
    return rows.filter(pa.array([start <= day < end for day in days]))


def test_rows_out_of_range_are_refused_before_dbt_starts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    insert(settings, generate(seed=2, rows=50))
    with open_warehouse(settings).transaction("a sentinel of an earlier version") as session:
        session.execute(
            "update raw.card_transactions set occurred_at = timestamp '9999-12-31' where transaction_id = 7"
        )
    with pytest.raises(LifecycleError, match=r"got 1 rows .* `lifecycle warehouse remove-out-of-range`"):
        build(settings)
    assert not (tmp_path / "dbt").exists()
