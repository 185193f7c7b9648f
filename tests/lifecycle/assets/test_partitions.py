"""Partitions begin where the loaded data begin, and a backfill of years stops at its first run."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from typer.testing import CliRunner

from lifecycle.artefacts.first_day import first_loaded_day, record_first_day
from lifecycle.assets.backfill_limit import ALLOW_TAG, MAXIMUM_PARTITIONS
from lifecycle.assets.partitions import BACKFILL_TAG, as_of_dates, first_day, occurred_days
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import candidate_asset
from lifecycle.cli import app
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training import Trained
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.reading.first_day import note_first_day
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import failure, freeze, materialize

DAY = dt.timedelta(days=1)


def start_of(partitions: dg.DailyPartitionsDefinition) -> dt.date:
    return partitions.start.date()


def test_before_the_first_load_partitions_begin_with_the_first_date(settings: Settings, spec: RiskModelSpec) -> None:
    declared = dt.date.fromisoformat(spec.first_date or "")
    assert start_of(occurred_days(spec)) == start_of(as_of_dates(spec)) == declared


def test_days_begin_with_the_data_and_cut_offs_with_the_first_whole_training_set(
    settings: Settings, spec: RiskModelSpec
) -> None:
    first = dt.date.fromisoformat(spec.first_date or "") + 100 * DAY
    record_first_day(settings.root, {"card_transactions": first})
    assert start_of(occurred_days(spec)) == first_day(spec) == first
    as_of = start_of(as_of_dates(spec))
    assert snapshot_days(as_of, spec.training, spec.label.maturity_days)[0] == first


def test_no_partition_is_earlier_than_the_first_date(settings: Settings, spec: RiskModelSpec) -> None:
    record_first_day(settings.root, {"card_transactions": dt.date(2001, 1, 1)})
    assert start_of(occurred_days(spec)) == dt.date.fromisoformat(spec.first_date or "")


def test_loading_earlier_days_moves_the_first_day(settings: Settings, tmp_path: Path) -> None:
    for day in (dt.date(2024, 3, 5), dt.date(2024, 3, 1), dt.date(2024, 3, 9)):
        rows = {
            "transaction_id": pa.array([day.day], pa.int64()),
            "occurred_at": pa.array([dt.datetime.combine(day, dt.time(12))], pa.timestamp("us")),
            "customer_id": pa.array([1], pa.int64()),
            "terminal_id": pa.array([1], pa.int64()),
            "amount": pa.array([1.0]),
        }
        file = tmp_path / f"{day}.parquet"
        pq.write_table(pa.table(rows), file)
        answer = CliRunner().invoke(app, ["warehouse", "load", "card_transactions", str(file)])
        assert answer.exit_code == 0, answer.output
    assert first_loaded_day(settings.root) == dt.date(2024, 3, 1)
    with open_warehouse(settings, Use("load")).session("the test removes a day") as session:
        session.execute("delete from raw.card_transactions where transaction_id = 1")
    assert note_first_day(open_warehouse(settings), settings.root)
    assert first_loaded_day(settings.root) == dt.date(2024, 3, 5)


def test_an_empty_warehouse_records_nothing(settings: Settings) -> None:
    assert not note_first_day(open_warehouse(settings), settings.root)
    assert first_loaded_day(settings.root) is None


@pytest.mark.filterwarnings("ignore:.*AssetSelection.sources.*is deprecated")  # Dagster uses it itself
@pytest.mark.parametrize(
    ("count", "is_allowed"),
    [
        (MAXIMUM_PARTITIONS + 1, False),
        pytest.param(MAXIMUM_PARTITIONS + 1, True, marks=pytest.mark.long),
        pytest.param(MAXIMUM_PARTITIONS, False, marks=pytest.mark.long),
        pytest.param(MAXIMUM_PARTITIONS, True, marks=pytest.mark.long),
    ],
)
def test_a_backfill_of_more_than_a_month_is_cancelled_unless_its_tag_allows_it(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, monkeypatch: pytest.MonkeyPatch,
    count: int, *, is_allowed: bool,
) -> None:  # fmt: skip
    freeze(stores, spec, table)
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)
    assets = [candidate_asset(spec)]
    graph = dg.Definitions(assets=assets, resources={"stores": stores}).get_repository_def().asset_graph
    with dg.DagsterInstance.ephemeral() as instance:
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id="abcd",
            asset_graph=graph,
            partition_names=[(AS_OF + number * DAY).isoformat() for number in range(count)],
            asset_selection=[asset.key for asset in assets],
            backfill_timestamp=dt.datetime.now(dt.UTC).timestamp(),
            tags={ALLOW_TAG: str(count)} if is_allowed else {},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        instance.add_backfill(backfill)
        result = materialize(stores, assets, AS_OF, instance, {BACKFILL_TAG: "abcd"})
        kept = instance.get_backfill("abcd")
    assert kept is not None
    if is_allowed or count == MAXIMUM_PARTITIONS:
        assert result.success, failure(result)
        assert kept.status is BulkActionStatus.REQUESTED
    else:
        assert "at most 31 partitions of toy/candidate, got 32: it was cancelled" in failure(result)
        assert f"{ALLOW_TAG}=32" in failure(result)
        assert kept.status is BulkActionStatus.CANCELING
