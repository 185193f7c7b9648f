"""What the code location holds, and what loading it must not cost."""

import subprocess
import sys

import dagster as dg
import pytest

from lifecycle.gates.candidate_gates import GATES
from lifecycle.settings.platform import Settings
from tests.harness.definitions_text import SNAPSHOT, definitions_text

HEAVY = (
    "mlflow", "evidently", "lightgbm", "sklearn", "pandas", "matplotlib", "optuna", "dbt", "duckdb",
    "snowflake.connector", "dagster_snowflake", "fakesnow",
)  # fmt: skip

MODELS = ("card_fraud", "credit_default")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFECYCLE_HOME", str(tmp_path_factory.mktemp("home")))
        from lifecycle.definitions import defs

        built = defs() if callable(defs) else defs
        return built.get_repository_def()


def test_the_definitions_are_those_of_the_snapshot(repository: dg.RepositoryDefinition) -> None:
    # Rewritten by: python -m tests.harness.definitions_text
    assert definitions_text(repository) == SNAPSHOT.read_text()


def test_the_graph_holds_every_stage_of_the_model(repository: dg.RepositoryDefinition) -> None:
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert keys >= {
        "staging/stg_card_transactions",
        "staging/stg_fraud_reports",
        "marts/card_transaction_features",
        "marts/card_fraud_outcomes",
        "card_fraud/training_set",
        "card_fraud/backtest",
        "card_fraud/candidate",
        "card_fraud/model_version",
        "card_fraud/release",
        "card_fraud/decisions",
        "card_fraud/decision_load",
        "card_fraud/live_performance",
        "card_fraud/drift",
        "card_fraud/drift_report",
    }


def test_jobs_schedules_and_sensors_are_there(repository: dg.RepositoryDefinition) -> None:
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    of_each = {f"{model}_{job}" for model in MODELS for job in ("retrain", "monitor", "champion", "approve", "release")}
    assert jobs == {"features", "source_freshness"} | of_each
    schedules = {schedule.name for schedule in repository.schedule_defs}
    assert schedules == {
        "features_daily",
        "source_freshness_schedule",
    } | {f"{model}_{schedule}" for model in MODELS for schedule in ("daily", "champion_daily")}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    of_models = {f"{model}_{sensor}" for model in MODELS for sensor in ("retrain_sensor", "release_sensor")}
    assert sensors == {"run_failure_alerts"} | of_models


def test_every_gate_blocks(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    candidate = dg.AssetKey(["card_fraud", "candidate"])
    gates = [key for key in graph.asset_check_keys if key.asset_key == candidate]
    assert sorted(key.name for key in gates) == sorted(GATES)
    assert len(gates) >= 10
    assert all(graph.get(key).blocking for key in gates)


def test_the_training_set_of_a_date_needs_the_days_before_it_and_not_that_day(
    repository: dg.RepositoryDefinition,
) -> None:
    graph = repository.asset_graph
    mart = dg.AssetKey(["marts", "card_transaction_features"])
    mapping = graph.get_partition_mapping(dg.AssetKey(["card_fraud", "training_set"]), mart)
    downstream = graph.get(dg.AssetKey(["card_fraud", "training_set"])).partitions_def
    feature_days = graph.get(mart).partitions_def
    assert downstream is not None
    assert feature_days is not None
    upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(
        downstream_partitions_subset=downstream.empty_subset().with_partition_keys(["2018-08-29"]),
        downstream_partitions_def=downstream,
        upstream_partitions_def=feature_days,
    )
    days = sorted(upstream.partitions_subset.get_partition_keys())
    assert days[-1] == "2018-08-28"
    assert days[0] == "2018-06-06"


@pytest.mark.long
def test_loading_the_code_location_imports_nothing_heavy(settings: Settings) -> None:
    code = (
        "import sys; from lifecycle.definitions import defs; d = defs() if callable(defs) else defs; "
        "d.get_repository_def(); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    # The manifest is made at the first load, by dbt in a process of its own.
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip().splitlines()[-1] == "[]"


def test_every_asset_has_an_owner_tags_and_a_kind(repository: dg.RepositoryDefinition) -> None:
    for node in repository.asset_graph.asset_nodes:
        assert node.owners, node.key
        assert [tag for tag in node.tags if not tag.startswith("dagster/kind/")], node.key
        assert node.kinds, node.key


def test_decisions_come_from_releases_and_training_sets_from_outcomes(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    parents = {name: graph.get(dg.AssetKey(["card_fraud", name])).parent_keys for name in ("decisions", "training_set")}
    assert parents["decisions"] == {dg.AssetKey(["card_fraud", "release"])}
    assert dg.AssetKey(["marts", "card_fraud_outcomes"]) in parents["training_set"]
