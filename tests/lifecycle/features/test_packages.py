"""The dbt package of a folder of models is built with the shipped project, and its faults are its own."""

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.features import build
from lifecycle.features.builds import run_build
from lifecycle.features.freshness import read_freshness
from lifecycle.features.manifest import DbtProject, ensure_project, known_project, project_digest
from lifecycle.features.nodes import read_nodes
from lifecycle.features.usable_models import usable_models
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.spec.arrivals import arrival_of
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.declarations import declarations
from lifecycle.spec.model_files import read_models
from lifecycle.spec.ref_graph import ref_graph
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.erasure import erase
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.raw_tables import raw_definitions
from lifecycle.warehouse.reading.examples import daily_volumes, newest_event
from lifecycle.warehouse.reading.first_day import note_first_day
from serving.storage.durable import write_file
from tests.harness.features_generated import generate
from tests.harness.paths import ROOT
from tests.harness.snowflake_endpoint import own_database

LOANS = ROOT / "tests" / "harness" / "loans"
ROWS = {
    "application_id": [f"A{number:03}" for number in range(40)],
    "client_id": [f"c{number % 7}" for number in range(40)],
    "applied_at": [dt.datetime(2026, 1, 1 + number // 4, 12) for number in range(40)],  # noqa: DTZ001
    "limit_amount": [f"{number}.50" for number in range(40)],
    "age": [18 + number for number in range(40)],
    "education": ["university" if number % 2 else None for number in range(40)],
    "first_job_on": pa.nulls(40, pa.date32()),
    "has_phone": [True] * 40,
    "ratio": [number / 8 if number % 3 else None for number in range(40)],
}
FEATURES = "select * from marts.loan_features order by application_id"


def copied(models: Path) -> Path:
    shutil.copytree(LOANS, models / "loans")
    return models


def filled(settings: Settings, folder: Path) -> None:
    """Cards from generated rows; loans from a Parquet and a CSV file."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(raw_definitions(warehouse.dialect))
    cards = generate(seed=3, rows=60)
    with warehouse.session("test data") as session:
        session.append("raw.card_transactions", cards.transactions)
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(ROWS)
    pq.write_table(table.slice(0, 20), folder / "loans.parquet")
    names = ",".join(table.column_names)
    lines = [
        ",".join("" if value is None else str(value) for value in row.values()) for row in table.slice(20).to_pylist()
    ]
    (folder / "loans.csv").write_text("\n".join([names, *lines]) + "\n")
    for file in ("loans.parquet", "loans.csv"):
        assert load(warehouse, "loan_applications", folder / file).rows_inserted == 20
    defaults = pa.table({"application_id": ["A001", "A030"], "defaulted_at": [dt.datetime(2026, 1, 12)] * 2})  # noqa: DTZ001
    pq.write_table(defaults, folder / "defaults.parquet")
    load(warehouse, "loan_defaults", folder / "defaults.parquet")
    note_first_day(warehouse, settings.root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patched:
        root = tmp_path_factory.mktemp("packages")
        patched.setenv("LIFECYCLE_MODELS", str(copied(root / "models")))
        yield root


@pytest.fixture(scope="module")
def built(folder: Path) -> Settings:
    """An installation with cards and loans, both built."""
    settings = Settings(home=folder / "home", duckdb_memory_limit="1GB", duckdb_threads=1)
    filled(settings, folder / "files")
    build(settings)
    return settings


@pytest.fixture
def own(built: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A copy of the built installation with a folder of models that a test may change."""
    shutil.copytree(built.root, tmp_path / "home", symlinks=True)
    monkeypatch.setenv("LIFECYCLE_MODELS", str(copied(tmp_path / "models")))
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    return Settings(duckdb_memory_limit="1GB", duckdb_threads=1)


def expect_built(settings: Settings) -> None:
    warehouse = open_warehouse(settings)
    rows = warehouse.query(FEATURES).to_pylist()
    assert [row["application_id"] for row in rows] == ROWS["application_id"]
    assert [row["limit_amount"] for row in rows] == [float(text) for text in ROWS["limit_amount"]]
    assert [row["education"] for row in rows] == ROWS["education"]
    assert [row["ratio"] for row in rows] == ROWS["ratio"]
    assert [row["is_weekend"] for row in rows[8:12]] == [1] * 4  # 3 January 2026 is a Saturday
    outcomes = warehouse.query("select application_id from marts.loan_outcomes order by 1").column(0).to_pylist()
    assert outcomes == ["A001", "A030"]


@pytest.mark.long
def test_a_package_is_built_with_the_shipped_project_and_nothing_is_written_into_it(
    built: Settings, folder: Path
) -> None:
    expect_built(built)
    assert open_warehouse(built).query("select * from marts.card_transaction_features").num_rows == 60
    package = folder / "models" / "loans"
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    assert files == {path.relative_to(LOANS) for path in LOANS.rglob("*") if path.is_file()}


@pytest.mark.long
def test_a_package_is_built_in_snowflake(folder: Path, endpoint: LocalSnowflake, tmp_path: Path) -> None:
    settings = own_database(endpoint, tmp_path)
    filled(settings, tmp_path / "files")
    build(settings)
    expect_built(settings)
    assert build(settings, dt.date(2026, 1, 2), dt.date(2026, 1, 3)).rows == 4
    expect_built(settings)


@pytest.mark.long
def test_a_day_is_built_by_the_time_of_the_packages_own_events(own: Settings) -> None:
    warehouse = open_warehouse(own)
    whole = warehouse.query(FEATURES)
    with warehouse.session("spoiling two days") as session:
        session.execute("update marts.loan_features set age = 0 where cast(observed_at as date) < date '2026-01-03'")
    assert build(own, dt.date(2026, 1, 2), dt.date(2026, 1, 3)).rows == 4
    assert warehouse.query("select count(*) as n from marts.loan_features where age = 0").to_pylist() == [{"n": 4}]
    build(own, dt.date(2026, 1, 1), dt.date(2026, 1, 2))
    assert warehouse.query(FEATURES).equals(whole)


@pytest.mark.long
def test_the_input_of_a_model_is_read_from_its_declared_table(built: Settings, folder: Path) -> None:
    models = read_models(built)
    spec = models.valid["loans"]
    assert (models.faulty, arrival_of(spec, built).name) == ((), "loan_applications")
    warehouse = open_warehouse(built)
    volumes = daily_volumes(warehouse, spec, dt.date(2026, 1, 9), dt.date(2026, 1, 12))
    assert [(volume.raw_rows, volume.mart_rows) for volume in volumes] == [(4, 4), (4, 4), (0, 0)]
    assert newest_event(warehouse, spec, dt.date(2026, 2, 1)) == ROWS["applied_at"][-1]
    assert json.loads((built.root / "first_day.json").read_bytes())["tables"] == {
        "card_transactions": "2018-04-01", "loan_applications": "2026-01-01"
    }  # fmt: skip
    fresh = {source.relation: source.status for source in read_freshness(built)}
    assert fresh["raw.loan_applications"] == "pass"


@pytest.mark.long
def test_a_person_is_erased_from_the_tables_of_a_package(own: Settings) -> None:
    record = erase(own, "c1", by="test", reason="asked for it", kind="client")
    assert {table: count for table, count in record.rows.items() if count} == {
        "marts.loan_features": 6, "marts.loan_outcomes": 1, "raw.loan_defaults": 1, "raw.loan_applications": 6
    }  # fmt: skip
    assert "c1" not in open_warehouse(own).query("select client_id from marts.loan_features").column(0).to_pylist()
    assert open_warehouse(own).query("select * from marts.card_transaction_features").num_rows == 60


@pytest.mark.long
def test_a_changed_file_of_a_package_changes_the_manifest(own: Settings) -> None:
    before = project_digest(own)
    assert known_project(own) is None  # other folders of models
    path = own.models / "loans/dbt/models/staging/stg_loan_applications.sql"
    path.write_text(path.read_text() + "\n")
    assert project_digest(own) != before


def names(project: DbtProject) -> set[str]:
    return {model.name for model in read_nodes(project.manifest).models.values()}


@pytest.mark.long
def test_a_package_that_dbt_cannot_parse_is_left_out_and_named_everywhere(own: Settings) -> None:
    mart = own.models / "loans/dbt/models/marts/loan_features.sql"
    mart.write_text(
        mart.read_text().replace("materialized='incremental'", "materialized='incremental', enabled='maybe'")
    )
    project = ensure_project(own)
    assert list(project.left_out) == ["loans"]
    assert "'maybe' is not of type" in project.left_out["loans"]
    assert "card_transaction_features" in names(project)
    assert "loan_features" not in names(project)
    models = usable_models(own)
    assert (list(models.valid), [model.name for model in models.faulty]) == ([], ["loans"])
    checked = CliRunner().invoke(app, ["check"])
    assert checked.exit_code == 1
    assert "loans: faulty." in checked.output
    assert "'maybe' is not of type" in checked.output
    assert run_build(own, None, None).exit_code == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("marts/loan_features.sql", "ref('stg_loan_applications')", "ref('stg_loan_application')",
         r"got ref\('stg_loan_application'\); did you mean stg_loan_applications\?.* - in .*loan_features\.sql"),
        ("marts/loan_features.sql", "{{ days_built('applied_at') }}", "{{ days_built('applied_at') ",
         r"Expected Jinja that parses, got: .* - at line \d+ - in .*loan_features\.sql"),
        ("marts/loan_features.yml", "version: 2", "version: [2",
         r"Expected readable YAML, got: .* - in .*loan_features\.yml"),
        ("staging/sources.yml", "key: application_id", "keyy: application_id",
         r"raw_loan_applications: faulty.* got 'keyy'; did you mean key\? - at `config.meta.lifecycle.keyy`, line 14"),
    ],
)  # fmt: skip
def test_a_fault_is_found_without_dbt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, fault: str
) -> None:
    monkeypatch.setenv("LIFECYCLE_MODELS", str(copied(tmp_path / "models")))
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    path = tmp_path / "models/loans/dbt/models" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    checked = CliRunner().invoke(app, ["check"])
    assert checked.exit_code == 1
    assert re.search(fault, checked.output.replace("\n", " ")), checked.output
    assert not (tmp_path / "home" / "dbt").exists()


def test_a_model_with_the_name_of_a_shipped_one_is_refused_and_the_shipped_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE_MODELS", str(copied(tmp_path / "models")))
    write_file(tmp_path / "models/loans/dbt/models/staging/stg_card_transactions.sql", b"select 1 as one")
    shown = CliRunner().invoke(app, ["check"]).output
    assert re.search(r"Expected a name that no other dbt model has, got that of .*dbt_project", shown), shown
    declared = declarations(Settings())
    assert ref_graph(dbt_projects(Settings())).tables_of("card_transaction_features") <= set(declared.tables)


def test_a_model_outside_of_the_layers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_MODELS", str(copied(tmp_path / "models")))
    write_file(tmp_path / "models/loans/dbt/models/loose.sql", b"select 1 as one")
    assert "Expected a model below staging, intermediate, marts" in CliRunner().invoke(app, ["check"]).output


@pytest.mark.long
def test_the_failing_test_of_one_package_leaves_the_other_models_built(own: Settings) -> None:
    from lifecycle.defs.features import feature_assets, feature_days

    with open_warehouse(own).session("a row that no load accepts") as session:
        session.execute(
            "insert into raw.loan_applications select * from raw.loan_applications where application_id = 'A001'"
        )
    assets = feature_assets(own, feature_days(read_models(own)))
    day = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-01"}
    result = dg.materialize([assets], tags=day, raise_on_error=False)
    assert not result.success
    done = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
    assert {"card_transaction_features", "card_fraud_outcomes", "stg_loan_applications"} <= done
    assert not {"loan_features", "loan_outcomes"} & done
    failed = {check.asset_key.path[-1] for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed == {"stg_loan_applications"}
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "unique_stg_loan_applications_application_id" in str(failure.step_failure_data.error)
