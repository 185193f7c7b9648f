import dataclasses
import datetime as dt
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lifecycle.errors import LifecycleError
from lifecycle.local.simulator import (
    SimulationConfig,
    Simulator,
    customers_table,
    simulate,
    simulate_day,
    terminals_table,
)
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.raw_tables import declarations

START = dt.date(2026, 1, 1)
SMALL = SimulationConfig(customers=300, terminals=150, start_date=START, days=60, seed=7, fraud_scale=3.0)
CHANGED = SimulationConfig(
    customers=1500,
    terminals=800,
    start_date=START,
    days=60,
    seed=7,
    fraud_scale=2.0,
    pattern_change_date=START + dt.timedelta(days=40),
)


def day(number: int) -> dt.date:
    return START + dt.timedelta(days=number)


def transactions(config: SimulationConfig, first: int, end: int) -> pa.Table:
    return pa.concat_tables([simulate_day(config, day(number)).card_transactions for number in range(first, end)])


def frauds(config: SimulationConfig, first: int, end: int) -> pa.Table:
    simulator = Simulator(config)
    return pa.concat_tables([simulator.frauds(day(number)) for number in range(first, end)])


def numbers(table: pa.Table, column: str) -> Any:
    return table.column(column).cast(pa.float64() if column == "amount" else pa.int64()).to_numpy()


def hours(table: pa.Table) -> Any:
    return numbers(table, "occurred_at") // 3_600_000_000 % 24


def psi(reference: Any, current: Any, edges: Any) -> float:
    shares = [
        np.bincount(np.searchsorted(edges, rows), minlength=len(edges) + 1) / len(rows) for rows in (reference, current)
    ]
    before, after = (np.clip(share, 1e-4, None) for share in shares)
    return float(((after - before) * np.log(after / before)).sum())


@hypothesis_settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), number=st.integers(0, 59), has_change=st.booleans())
def test_every_day_keeps_the_rules_of_the_raw_tables(seed: int, number: int, has_change: bool) -> None:
    config = dataclasses.replace(SMALL, seed=seed, pattern_change_date=day(20) if has_change else None)
    simulated = simulate_day(config, day(number))
    table, reports = simulated.card_transactions, simulated.fraud_reports
    assert tuple(table.column_names) == declarations().table("card_transactions").column_names
    assert tuple(reports.column_names) == declarations().table("fraud_reports").column_names
    assert table.schema.field("amount").type == pa.decimal128(12, 2)
    assert all(column.null_count == 0 for column in [*table.columns, *reports.columns])
    occurred, ids = numbers(table, "occurred_at"), numbers(table, "transaction_id")
    assert (np.diff(ids) == 1).all()
    assert (np.diff(occurred) >= 0).all()
    assert (occurred % 1_000_000 == 0).all()
    assert {moment.date() for moment in table.column("occurred_at").to_pylist()} == {day(number)}
    assert numbers(table, "amount").min() > 0
    assert 0 <= numbers(table, "customer_id").min() <= numbers(table, "customer_id").max() < config.customers
    assert 0 <= numbers(table, "terminal_id").min() <= numbers(table, "terminal_id").max() < config.terminals
    assert {moment.date() for moment in reports.column("reported_at").to_pylist()} <= {day(number)}


@hypothesis_settings(max_examples=6, deadline=None)
@given(number=st.integers(0, 59), seed=st.integers(0, 1000))
def test_a_day_is_the_same_alone_and_in_sequence(number: int, seed: int) -> None:
    config = dataclasses.replace(SMALL, seed=seed, pattern_change_date=day(30))
    sequence = Simulator(config)
    for earlier in range(max(0, number - 3), number):
        sequence.day(day(earlier))
    assert sequence.day(day(number)) == Simulator(config).day(day(number))


def test_a_slice_writes_the_same_rows_as_the_whole(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path / "whole")
    summary = simulate(SMALL, tmp_path / "slice", day(40), day(50))
    assert (summary.first_date, summary.last_date) == (day(40), day(50))
    for relation in ("card_transactions", "fraud_reports"):
        written = sorted((tmp_path / "slice" / relation).iterdir())
        assert [file.stem for file in written] == [str(day(number)) for number in range(40, 51)]
        for file in written:
            assert pq.read_table(file).equals(pq.read_table(tmp_path / "whole" / relation / file.name))


def test_the_seed_and_the_switch_change_the_rows_and_nothing_else_does() -> None:
    assert simulate_day(SMALL, day(5)).card_transactions.equals(Simulator(SMALL).day(day(5)).card_transactions)
    other = dataclasses.replace(SMALL, seed=8)
    assert not simulate_day(SMALL, day(5)).card_transactions.equals(simulate_day(other, day(5)).card_transactions)
    longer = dataclasses.replace(SMALL, days=90)
    assert simulate_day(SMALL, day(5)) == simulate_day(longer, day(5))
    switched = dataclasses.replace(SMALL, pattern_change_date=day(6))
    assert simulate_day(SMALL, day(5)).card_transactions.equals(simulate_day(switched, day(5)).card_transactions)


def test_a_pattern_that_returns_gives_the_former_days() -> None:
    changed = dataclasses.replace(SMALL, pattern_change_date=day(6))
    returned = dataclasses.replace(changed, pattern_return_date=day(8))
    for number, same_as in [(5, SMALL), (7, changed), (8, SMALL)]:
        rows = simulate_day(returned, day(number)).card_transactions
        assert rows.equals(simulate_day(same_as, day(number)).card_transactions)
    assert not simulate_day(returned, day(8)).card_transactions.equals(simulate_day(changed, day(8)).card_transactions)


def test_reports_follow_their_transactions_within_30_days() -> None:
    config = dataclasses.replace(SMALL, fraud_scale=10.0, customers=1000, late_report_share=0.1)
    table, reports = transactions(config, 0, 20), frauds(config, 0, 20)
    occurred = dict(zip(numbers(table, "transaction_id"), numbers(table, "occurred_at"), strict=True))
    delays = np.array(
        [
            (reported - occurred[number]) / 86_400_000_000
            for number, reported in zip(
                numbers(reports, "transaction_id"), numbers(reports, "reported_at"), strict=True
            )
        ]
    )
    assert len(delays) > 500
    assert delays.min() >= 0
    assert delays.max() <= 30
    assert np.mean(delays > 7) == pytest.approx(0.1, abs=0.03)
    assert delays[delays <= 7].mean() == pytest.approx(2.8, abs=0.3)


def test_every_fraud_is_reported_on_exactly_one_day() -> None:
    simulator = Simulator(SMALL)
    by_day = pa.concat_tables([simulator.day(day(number)).fraud_reports for number in range(60)])
    early = frauds(SMALL, 0, 30)
    assert set(numbers(early, "transaction_id")) <= set(numbers(by_day, "transaction_id"))
    assert len(set(numbers(by_day, "transaction_id"))) == by_day.num_rows


def test_by_default_somewhat_under_one_percent_is_fraud_and_the_scale_multiplies_it() -> None:
    shares = []
    for scale in (1.0, 2.0):
        config = dataclasses.replace(
            CHANGED, customers=3000, terminals=3000, fraud_scale=scale, pattern_change_date=None
        )
        shares.append(frauds(config, 0, 40).num_rows / transactions(config, 0, 40).num_rows)
    assert 0.004 < shares[0] < 0.01
    assert shares[1] == pytest.approx(2 * shares[0], rel=0.3)


def test_the_switch_shows_in_what_is_visible_of_the_traffic() -> None:
    before, after = transactions(CHANGED, 26, 40), transactions(CHANGED, 40, 47)
    quiet = transactions(CHANGED, 19, 26)
    edges = np.quantile(numbers(before, "amount"), np.linspace(0.1, 0.9, 9))
    night = np.array([6.5])
    assert psi(hours(before), hours(after), night) > 0.25
    assert psi(numbers(before, "amount"), numbers(after, "amount"), edges) > 0.1
    assert psi(hours(before), hours(quiet), night) < 0.02
    assert psi(numbers(before, "amount"), numbers(quiet, "amount"), edges) < 0.02
    assert after.num_rows / 7 == pytest.approx(1.19 * before.num_rows / 14, rel=0.05)


def test_the_switch_changes_who_is_defrauded_and_for_how_much() -> None:
    amounts: list[Any] = []
    for first, end in ((20, 40), (40, 60)):
        table, reports = transactions(CHANGED, first, end), frauds(CHANGED, first, end)
        is_fraud = np.isin(numbers(table, "transaction_id"), numbers(reports, "transaction_id"))
        amounts.append((numbers(table, "amount")[is_fraud], hours(table)[is_fraud]))
    (before, hours_before), (after, hours_after) = amounts
    assert np.mean(before > 150) > 0.3
    assert np.mean(after > 150) < 0.1
    assert np.mean(hours_before < 7) < 0.1
    assert np.mean(hours_after < 7) > 0.7


def test_customers_pay_near_home_and_older_customers_fall_victim_less_before_the_switch() -> None:
    people = customers_table(CHANGED).to_pydict()
    assert len(set(people["segment"])) == 4
    assert len(set(people["age_band"])) == 5
    assert set(people["sex"]) == {"F", "M"}
    assert len(set(terminals_table(CHANGED).to_pydict()["kind"])) == 6
    table = transactions(CHANGED, 0, 20)
    customer, terminal = numbers(table, "customer_id"), numbers(table, "terminal_id")
    busiest = np.bincount(customer).argmax()
    share = np.bincount(terminal[customer == busiest], minlength=800)
    assert np.sort(share)[-30:].sum() > 0.85 * share.sum()


def test_what_is_written_loads_without_a_mapping(tmp_path: Path, settings: Settings) -> None:
    summary = simulate(SMALL, tmp_path / "out", day(0), day(12))
    warehouse = open_warehouse(settings)
    for relation in ("card_transactions", "customers", "terminals", "fraud_reports"):
        result = load(warehouse, relation, tmp_path / "out" / relation)
        assert result.mapping == "raw"
        assert result.columns_left_out == ()
    held = warehouse.query(
        "select (select count(*) from raw.card_transactions), (select count(*) from raw.fraud_reports)"
    )
    assert [column[0].as_py() for column in held.columns] == [summary.card_transactions, summary.fraud_reports]


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"customers": 0}, "Expected customers from 1 to 4,000,000, got 0"),
        ({"days": 0}, "Expected days"),
        ({"seed": -1}, "Expected seed"),
        ({"fraud_scale": -1.0}, "Expected fraud_scale"),
        ({"late_report_share": 1.5}, "Expected late_report_share"),
    ],
)
def test_a_world_that_cannot_be_is_refused(change: dict[str, Any], violation: str) -> None:
    with pytest.raises(LifecycleError, match=violation):
        dataclasses.replace(SMALL, **change)


def test_a_day_outside_of_the_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="Expected a day from 2026-01-01 to 2026-03-01, got 2026-03-02"):
        simulate_day(SMALL, day(60))
    with pytest.raises(LifecycleError, match="Expected the first day up to the last"):
        simulate(SMALL, tmp_path, day(3), day(2))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LifecycleError, match="Expected to write the simulated days"):
        simulate(SMALL, tmp_path / "file", day(0), day(0))


@pytest.mark.parametrize("point", ["simulate.file_written:3", "simulate.file_named:3"])
def test_killed_between_two_files_and_run_again_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setenv("LIFECYCLE_CRASH_AT", point)
    arguments = ["--out", str(tmp_path / "killed"), "--start", "2026-01-01", "--days", "3"]
    arguments += ["--customers", "50", "--terminals", "20", "--seed", "7"]
    command = [sys.executable, "-c", "from lifecycle.cli.simulate import app; app()", *arguments]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == -signal.SIGKILL
    world = SimulationConfig(customers=50, terminals=20, start_date=START, days=3, seed=7)
    simulate(world, tmp_path / "killed")
    simulate(world, tmp_path / "whole")
    files = {file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*.*")}
    assert {file.relative_to(tmp_path / "killed") for file in (tmp_path / "killed").rglob("*.*")} == files
    for file in files:
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
