"""docs/loading.md: its mapping loads a file, its options exist, its calendar is one."""

import datetime as dt
import re
import shlex
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from lifecycle.artefacts.acknowledged_days import AcknowledgedDays
from lifecycle.artefacts.training_sets import Selection, TrainingSetStore
from lifecycle.cli import app as root
from lifecycle.cli.warehouse import app
from lifecycle.settings.platform import Settings
from lifecycle.spec.declarations import declared_in
from lifecycle.spec.input_checks import InputSpec
from lifecycle.spec.model_files import read_model
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.loading.load import load
from lifecycle.warehouse.loading.value_checks import EARLIEST
from tests.harness.paths import ROOT

MANUAL = (ROOT / "docs" / "loading.md").read_text()
YAML = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)]


def test_the_table_that_the_manual_declares_is_loaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = tmp_path / "models/loans/dbt/models/staging/sources.yml"
    declared.parent.mkdir(parents=True)
    declared.write_text(yaml.safe_dump(YAML[0]))
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    Path("FILE.csv").write_text(
        "application_id,client_id,applied_at,income\nA-1,0012,2026-01-01 10:00:00,12.50\nA-2,c2,2026-01-03 10:00:00,\n"
    )
    result = CliRunner().invoke(app, ["load", "loan_applications", "FILE.csv"])
    assert result.exit_code == 0, result.exception
    assert "features to build again: 2026-01-01 up to, not including, 2026-01-04" in result.output
    found = open_warehouse(Settings()).query("select client_id, income from raw.loan_applications order by 1")
    assert found.to_pylist() == [{"client_id": "0012", "income": Decimal("12.50")}, {"client_id": "c2", "income": None}]


def test_the_mapping_of_the_manual_loads_a_spreadsheets_export(settings: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(yaml.safe_dump(YAML[1]))
    export = tmp_path / "export.csv"
    export.write_text("id;time;customer;terminal;value\n1;2026-01-01 10:00:00;7;70;1.234,50\n")
    warehouse = open_warehouse(settings)
    load(warehouse, "card_transactions", export, mapping)
    assert warehouse.query("select amount from raw.card_transactions").column(0).to_pylist() == [Decimal("1234.50")]


def test_the_commands_of_loading_in_the_manual_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE.csv").write_text(
        "transaction_id,occurred_at,customer_id,terminal_id,amount\n"
        "1,2026-01-01 10:00:00,7,70,1.00\n2,2026-01-01 10:00:00,7,70,-1.00\n"
    )
    commands = re.findall(r"^lifecycle warehouse (load .*FILE.*)$", MANUAL, re.MULTILINE)
    assert len(commands) == 2
    result = CliRunner().invoke(app, commands[1].replace("FILE", "FILE.csv").split())
    assert (result.exit_code, "1 rejected" in result.output) == (0, True), result.output
    assert "1 known already" in CliRunner().invoke(app, commands[0].replace("FILE", "FILE.csv").split()).output


def test_the_commands_for_rows_out_of_range_in_the_manual_run(settings: Settings) -> None:
    commands = re.findall(r"^lifecycle warehouse (remove.*?) *#", MANUAL, re.MULTILINE)
    assert [command.split()[1:] for command in commands] == [[], ["--yes"]]
    for command in commands:
        result = CliRunner().invoke(app, command.split())
        assert (result.exit_code, "No row is outside." in result.output) == (0, True), result.output
    assert open_warehouse(settings).query("select * from raw.removed_rows").num_rows == 0


def test_the_manual_names_the_bounds_the_tables_and_a_calendar() -> None:
    assert f"between {EARLIEST} and one day after the load" in MANUAL
    tables = declared_in([Settings().dbt_project_dir]).tables.values()
    assert all(table.versions_table in MANUAL for table in tables if table.corrected)
    calendar = InputSpec.model_validate(YAML[2]["input"]).calendar
    assert (calendar.holidays, calendar.closed_weekdays) == (("01-01", "12-25"), ("sun",))


def test_the_person_of_the_manual_is_erased(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^lifecycle (erase .*)$", MANUAL, re.MULTILINE)
    Path("people.csv").write_text("customer_id,segment,age_band,sex\n4711,a,b,F\n")
    load(open_warehouse(settings), "customers", Path("people.csv"))
    result = CliRunner().invoke(root, shlex.split(command))
    assert (result.exit_code, "Not erased:" in result.output) == (0, True), result.output
    assert len(list(settings.erasures_dir.glob("*.json"))) == 1


def test_the_day_of_the_manual_is_acknowledged(settings: Settings) -> None:
    (command,) = re.findall(r"^lifecycle (acknowledge .*)$", MANUAL, re.MULTILINE)
    assert CliRunner().invoke(root, shlex.split(command)).exit_code == 0
    assert AcknowledgedDays(settings.evidence_dir, "card_fraud").read().keys() == {dt.date(2018, 7, 4)}


def test_the_training_set_of_the_manual_is_verified(settings: Settings) -> None:
    (command,) = re.findall(r"^lifecycle (verify .*)$", MANUAL, re.MULTILINE)
    as_of = dt.date.fromisoformat(command.split()[-1])
    rows = pa.record_batch(
        {
            "transaction_id": pa.array([1], pa.int64()),
            "customer_id": pa.array([7], pa.int64()),
            "occurred_at": pa.array([0], pa.timestamp("us")),
            "reported_at": pa.nulls(1, pa.timestamp("us")),
        }
    )
    store = TrainingSetStore(settings.training_sets_dir, "card_fraud")
    store.write([rows], read_model("card_fraud"), Selection(as_of, as_of, as_of))
    result = CliRunner().invoke(root, shlex.split(command))
    assert (result.exit_code, "1 rows, as they were frozen" in result.output) == (0, True), result.output
