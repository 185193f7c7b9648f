"""The simulated credit portfolio: the same rows whatever days are written, outcomes after their observations."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.simulator.credit import OUTCOME_DAYS, CreditConfig, simulate_credit

START = dt.date(2025, 3, 1)
TABLES = ("credit_clients", "credit_outcomes")


def written(folder: Path, config: CreditConfig) -> dict[str, pa.Table]:
    simulate_credit(config, folder, lambda _done, _total: None)
    return {name: pq.read_table(folder / name) for name in (*TABLES, "credit_protected")}


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    config = CreditConfig(START, 210, clients=400, downturn_date=dt.date(2025, 7, 1))
    return written(tmp_path_factory.mktemp("credit"), config)


def test_each_client_is_observed_once_a_month(portfolio: dict[str, pa.Table]) -> None:
    rows = portfolio["credit_clients"]
    months = pc.strftime(rows["observed_at"], "%Y%m")
    pairs = pa.table({"client": rows["client_id"], "month": months}).group_by(["client", "month"]).aggregate([])
    assert pairs.num_rows == rows.num_rows
    assert pc.count_distinct(rows["application_id"]).as_py() == rows.num_rows
    assert 400 * 6 <= rows.num_rows <= 400 * 7
    assert pc.min(rows["paid_1"]).as_py() >= 0


def test_an_outcome_is_known_after_its_observation_and_within_the_waiting_time(portfolio: dict[str, pa.Table]) -> None:
    joined = portfolio["credit_outcomes"].join(portfolio["credit_clients"], "application_id", join_type="inner")
    assert joined.num_rows == portfolio["credit_outcomes"].num_rows > 400
    waited = pc.days_between(joined["observed_at"], joined["known_at"])
    assert 1 <= pc.min(waited).as_py() <= pc.max(waited).as_py() <= OUTCOME_DAYS
    assert set(pc.filter(waited, pc.invert(joined["is_default"])).to_pylist()) == {OUTCOME_DAYS}


def test_a_downturn_raises_defaults(tmp_path: Path) -> None:
    calm = simulate_credit(CreditConfig(START, 240, clients=1500), tmp_path / "calm", lambda _done, _total: None)
    config = CreditConfig(START, 240, clients=1500, downturn_date=START)
    bad = simulate_credit(config, tmp_path / "bad", lambda _done, _total: None)
    assert 0.04 < calm.defaults / calm.observations < 0.12
    assert bad.defaults > 1.4 * calm.defaults


def test_rows_do_not_depend_on_how_many_days_are_written(tmp_path: Path, portfolio: dict[str, pa.Table]) -> None:
    config = CreditConfig(START, 60, clients=400, downturn_date=dt.date(2025, 7, 1))
    some = written(tmp_path, config)["credit_clients"].sort_by("application_id")
    ids = pc.is_in(portfolio["credit_clients"]["application_id"], some["application_id"].combine_chunks())
    assert portfolio["credit_clients"].filter(ids).sort_by("application_id").equals(some)


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(LifecycleError, match="Expected clients from 1 to 200,000, got 0"):
        CreditConfig(START, 10, clients=0)
