"""The dbt project in Dagster."""

import datetime as dt
import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import dagster as dg
import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.features.dbt import DbtRun
from lifecycle.features.manifest import ensure_manifest
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_models
from lifecycle.warehouse import open_warehouse

DAY = dt.date(2018, 5, 20)
FEATURES = dg.AssetKey(["marts", "card_transaction_features"])
OUTCOMES = dg.AssetKey(["marts", "card_fraud_outcomes"])


@pytest.fixture
def module(lifecycle_home: Settings) -> ModuleType:
    return importlib.import_module("lifecycle.defs.features")


@pytest.fixture
def assets(module: ModuleType, lifecycle_home: Settings) -> dg.AssetsDefinition:
    found = module.feature_assets(lifecycle_home, module.feature_days(read_models(lifecycle_home)))
    assert isinstance(found, dg.AssetsDefinition)
    return found


def _rows(settings: Settings) -> pa.Table:
    return open_warehouse(settings).query("select * from marts.card_transaction_features order by transaction_id")


def test_each_model_is_an_asset_in_the_group_of_its_layer(assets: dg.AssetsDefinition) -> None:
    groups = {"/".join(spec.key.path): spec.group_name for spec in assets.specs}
    assert groups == {
        "staging/stg_card_transactions": "staging",
        "staging/stg_fraud_reports": "staging",
        "intermediate/int_reported_transactions": "intermediate",
        "intermediate/int_customer_windows": "intermediate",
        "intermediate/int_terminal_windows": "intermediate",
        "marts/card_transaction_features": "marts",
        "marts/card_fraud_outcomes": "marts",
        "staging/stg_credit_clients": "staging",
        "staging/stg_credit_outcomes": "staging",
        "marts/credit_client_features": "marts",
    }
    assert all("dbt" in spec.kinds for spec in assets.specs)
    assert all((spec.description or "").startswith("One row per ") for spec in assets.specs)


def test_every_key_is_checked(assets: dg.AssetsDefinition) -> None:
    checks = {(spec.key.asset_key.path[-1], spec.key.name.split("_")[0]) for spec in assets.check_specs}
    for spec in assets.specs:
        assert (spec.key.path[-1], "unique") in checks
        assert (spec.key.path[-1], "not") in checks
        assert spec.key.path[0] == "staging" or (spec.key.path[-1], "relationships") in checks


def test_a_backfill_is_one_run_in_the_pool_of_the_warehouse(module: ModuleType, assets: dg.AssetsDefinition) -> None:
    days = module.feature_days(read_models(Settings()))
    assert assets.partitions_def == days
    assert days.get_first_partition_key() == "2018-04-01"
    assert assets.backfill_policy == dg.BackfillPolicy.single_run()
    assert assets.op.pool == "warehouse"


def test_the_job_builds_everything_and_its_schedule_runs_daily(module: ModuleType) -> None:
    models = read_models(Settings())
    repository = module.defs(models).get_repository_def()
    built = module.feature_assets(Settings(), module.feature_days(models))
    assert repository.get_job("features").asset_layer.executable_asset_keys == built.keys
    schedule = repository.get_schedule_def("features_daily")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "0 1 * * *"


@pytest.mark.long
def test_a_run_over_some_days_makes_them_anew_and_says_how_many_rows(
    lifecycle_home: Settings, assets: dg.AssetsDefinition
) -> None:
    whole = _rows(lifecycle_home)
    with open_warehouse(lifecycle_home).transaction("spoiling a day") as session:
        session.execute(f"delete from marts.card_transaction_features where cast(occurred_at as date) = date '{DAY}'")
    assert _rows(lifecycle_home).num_rows < whole.num_rows
    result = dg.materialize(
        [assets],
        tags={
            "dagster/asset_partition_range_start": str(DAY - dt.timedelta(days=1)),
            "dagster/asset_partition_range_end": str(DAY),
        },
    )
    assert result.success
    assert _rows(lifecycle_home).equals(whole)
    days = [moment.date() for moment in whole.column("occurred_at").to_pylist()]
    shown = [found for found in result.asset_materializations_for_node("dbt_features") if found.asset_key == FEATURES]
    for day in (DAY - dt.timedelta(days=1), DAY):
        [rows] = [
            found.metadata["dagster/partition_row_count"].value for found in shown if found.partition == day.isoformat()
        ]
        assert rows == days.count(day)
    features = shown[0].metadata
    assert isinstance(features["Execution Duration"].value, float)
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == len(list(assets.check_specs))
    assert all(evaluation.passed for evaluation in evaluations)


@pytest.mark.long
def test_part_of_the_graph_can_be_run_alone(lifecycle_home: Settings, assets: dg.AssetsDefinition) -> None:
    result = dg.materialize([assets], partition_key=str(DAY), selection=[OUTCOMES])
    assert result.success
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [OUTCOMES]
    assert {evaluation.asset_key for evaluation in result.get_asset_check_evaluations()} == {OUTCOMES}


def test_the_manifest_is_parsed_once_for_the_files_as_they_are(lifecycle_home: Settings) -> None:
    manifest = ensure_manifest(lifecycle_home)
    written = manifest.stat().st_mtime_ns
    assert ensure_manifest(lifecycle_home) == manifest
    assert manifest.stat().st_mtime_ns == written
    assert manifest.is_relative_to(lifecycle_home.root)


def test_of_two_processes_that_find_no_manifest_one_parses_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Path] = []

    def parse(_settings: Settings, _arguments: list[str], *, target_path: Path, project: Path) -> DbtRun:
        parsed.append(target_path)
        time.sleep(0.3)
        target_path.mkdir(parents=True, exist_ok=True)
        (target_path / "manifest.json").write_text("{}")
        return DbtRun(exit_code=0, seconds=0, nodes=(), violations=(), log_path=target_path)

    monkeypatch.setattr("lifecycle.features.manifest.run_dbt", parse)
    with ThreadPoolExecutor(2) as pool:
        manifests = list(pool.map(ensure_manifest, [Settings(home=tmp_path)] * 2))
    assert len(parsed) == 1
    assert manifests[0] == manifests[1]
    assert manifests[0].read_text() == "{}"


def test_a_project_that_cannot_be_found_is_named(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="set LIFECYCLE_DBT_PROJECT_DIR"):
        ensure_manifest(Settings(home=tmp_path, dbt_project_dir=tmp_path))
