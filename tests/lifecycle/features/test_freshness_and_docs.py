"""How fresh the sources are and the documentation: on both targets, on the command line and in Dagster."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from lifecycle.defs.feature_docs import defs, documentation_asset, source_key
from lifecycle.features.docs import docs_path, write_docs
from lifecycle.features.freshness import read_freshness
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_models
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions
from tests.lifecycle.features.conftest import settings_at


def _loaded(settings: Settings, **hours_ago: float) -> Settings:
    """Write loads of raw tables into the manifest, none of them earlier than others of the same table."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(raw_definitions(warehouse.dialect))
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    with warehouse.session("test data") as session:
        session.execute("delete from raw.loads")
        for relation, hours in hours_ago.items():
            for earlier in (0, 500):
                at = (now - dt.timedelta(hours=hours + earlier)).isoformat(sep=" ")
                session.execute(
                    "insert into raw.loads (relation, content_digest, mapping_digest, source_name, rows_read, "
                    f"rows_inserted, loaded_at) values ('{relation}', '{earlier}', 'm', 'f', 1, 1, '{at}')"
                )
    return settings


@pytest.mark.long
@pytest.mark.parametrize("target", ["duckdb", "snowflake"])
def test_a_source_is_as_fresh_as_its_last_load(target: str, endpoint: LocalSnowflake, tmp_path: Path) -> None:
    settings = settings_at(tmp_path) if target == "duckdb" else endpoint.settings(tmp_path)
    sources = read_freshness(_loaded(settings, card_transactions=1, fraud_reports=31))
    assert [(source.relation, source.status) for source in sources] == [
        ("raw.card_transactions", "pass"),
        ("raw.credit_clients", "unused"),
        ("raw.credit_outcomes", "unused"),
        ("raw.fraud_reports", "warn"),
    ]
    assert [round(source.age_hours, 1) for source in sources if source.age_hours] == [1.0, 31.0]
    assert {(source.warn_after_hours, source.error_after_hours) for source in sources} == {(30.0, 54.0)}


@pytest.mark.long
def test_the_command_fails_for_a_source_that_is_too_old_or_was_never_loaded(tmp_path: Path) -> None:
    settings = _loaded(settings_at(tmp_path), fraud_reports=60)
    command = [sys.executable, "-c", "from lifecycle.cli import main; main()", "features", "freshness"]
    environment = {**os.environ, "LIFECYCLE_HOME": str(settings.root), "LIFECYCLE_TARGET": "duckdb"}
    answered = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, env=environment)
    assert answered.returncode == 1
    never, *unused, old = json.loads(answered.stdout)
    assert [source["status"] for source in unused] == ["unused", "unused"]
    assert (never["status"], never["loaded_at"], never["age_hours"]) == ("error", None, None)
    assert (old["status"], round(old["age_hours"])) == ("error", 60)
    shown = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert shown.returncode == 1
    assert "never" in shown.stdout
    assert "60.0" in shown.stdout
    assert "30 / 54" in shown.stdout


@pytest.mark.long
@pytest.mark.parametrize("target", ["duckdb", "snowflake"])
def test_the_documentation_is_one_page_with_models_columns_and_graph(
    target: str, built: Settings, request: pytest.FixtureRequest
) -> None:
    settings = built if target == "duckdb" else request.getfixturevalue("built_in_snowflake")
    path = write_docs(settings)
    assert path == docs_path(settings)
    page = path.read_text()
    assert '"source.features.raw.card_transactions": ["model.features.stg_card_transactions"' in page
    assert "The terminal's frauds in (t - 37 d, t - 7 d] known at t" in page
    assert '"unit_test.' not in page
    assert "INLINE DATA" not in page
    for loaded in ('src="http', "src='http", 'rel="stylesheet" href="http', "url(http"):
        assert loaded not in page
    catalog = json.loads((settings.root / "dbt" / "docs" / "catalog.json").read_text())
    columns = catalog["nodes"]["model.features.card_transaction_features"]["columns"]
    assert len(columns) == 25


@pytest.mark.long
def test_dagster_links_the_page(lifecycle_home: Settings) -> None:
    documentation = documentation_asset(["card_transaction_features"])
    result = dg.materialize([documentation])
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["page"].value == docs_path(lifecycle_home).as_uri()
    assert metadata["size_bytes"].value == docs_path(lifecycle_home).stat().st_size
    assert documentation.op.pool == "warehouse"


@pytest.mark.long
def test_dagster_checks_each_source(lifecycle_home: Settings) -> None:
    _loaded(lifecycle_home, card_transactions=1, fraud_reports=31)
    repository = defs(read_models(lifecycle_home)).get_repository_def()
    result = repository.get_job("source_freshness").execute_in_process()
    assert result.success
    found = {check.asset_key: check for check in result.get_asset_check_evaluations()}
    unused = {source_key(table) for table in ("credit_clients", "credit_outcomes")}
    assert set(found) == {source_key(table) for table in ("card_transactions", "fraud_reports")} | unused
    assert {found[key].metadata["status"].value for key in unused} == {"unused"}
    assert all(found[key].passed for key in unused)
    assert found[source_key("card_transactions")].passed
    late = found[source_key("fraud_reports")]
    assert (late.passed, late.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert late.metadata["warn_after_hours"].value == 30.0
    schedule = repository.get_schedule_def("source_freshness_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_the_sources_of_dagster_are_those_that_the_models_read(lifecycle_home: Settings) -> None:
    from lifecycle.defs.features import feature_assets, feature_days

    assets = feature_assets(lifecycle_home, feature_days(read_models(lifecycle_home)))
    read = {dep for deps in assets.asset_deps.values() for dep in deps if dep.path[0] == "raw"}
    sources = defs(read_models(lifecycle_home)).resolve_asset_graph().external_asset_keys
    card, credit = ("card_transactions", "fraud_reports", "report_withdrawals"), ("credit_clients", "credit_outcomes")
    assert read == {source_key(name) for name in (*card, *credit)}
    assert read == {key for key in sources if key.path[0] == "raw"}
