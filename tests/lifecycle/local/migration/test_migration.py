"""A home of an earlier version: a dry run changes nothing; a migration loses nothing and continues after a crash."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.features import build
from lifecycle.local.installation import prepare
from lifecycle.local.migration import migrate, migration_notice, read_kept, read_plan
from lifecycle.local.migration.feature_tables import UNFINISHED_FILE
from lifecycle.local.migration.first_day import FirstDays
from lifecycle.local.migration.raw_tables import RawTables
from lifecycle.local.up_record import UpRecord
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from serving.storage.crash_points import CRASH_AT_VARIABLE
from tests.harness.earlier_home import MART, WINDOWS, files_of, rows_of, write_earlier_home
from tests.harness.features_generated import DAYS, FIRST_DAY, generate

ROWS = 400


@pytest.fixture
def earlier(settings: Settings) -> Settings:
    write_earlier_home(settings, generate(seed=3, rows=ROWS))
    return settings


def test_a_dry_run_says_what_is_due_and_changes_nothing(earlier: Settings) -> None:
    before = files_of(earlier.root)
    answer = CliRunner().invoke(app, ["migrate", "--dry-run", "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert [step["step"] for step in document["steps"]] == ["raw tables", "first days", "feature tables"]
    assert "raw.credit_clients" in document["steps"][0]["found"]
    found = document["steps"][2]["found"]
    assert f"{WINDOWS} lacks customer_max_amount_7d" in found
    assert f"{MART} lacks customer_max_amount_7d" in found
    assert files_of(earlier.root) == before


def test_what_stays_is_named_with_its_reason(earlier: Settings) -> None:
    kept = {it.what: it.found for it in read_kept(earlier)}
    assert kept == {
        "evidence and candidates": "1 of 2 documents with earlier names",
        "candidates of card_fraud": "1 dates up to 2026-01-08 without verdicts of above_floor, no_leaking_feature, "
        "not_worse_by_slice, not_costlier, fair_by_group, calibrated, robust, explained, consistent, servable",
    }


def test_older_keys_and_settings_of_dagster_are_listed_and_not_rewritten(
    earlier: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "models" / "loans" / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("attributes: {mart: loan_features, gates: {minimum_frauds: 5}}\n")
    (earlier.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path / "models"))
    kept = {it.what: it.found for it in read_kept(Settings())}
    expected = "older keys: mart (now examples.mart), gates.minimum_frauds (now gates.minimum_positives)"
    assert kept[str(file)] == expected
    assert "Expected a value of run_monitoring.enabled" in kept["dagster.yaml"]


def test_a_damaged_document_is_named_before_anything_else_reads_it(earlier: Settings) -> None:
    path = earlier.evidence_dir / "card_fraud" / "live_performance" / "2026-01-15.json"
    path.write_text("{")
    with pytest.raises(LifecycleError, match=r"2026-01-15\.json"):
        read_kept(earlier)


def test_first_days_are_recorded_for_each_raw_table_once(earlier: Settings) -> None:
    FirstDays().run(earlier)
    assert FirstDays().find(earlier) is None
    document = json.loads((earlier.root / "first_day.json").read_bytes())
    assert document["tables"] == {"card_transactions": document["first_day"]}


def test_a_raw_table_that_an_update_has_added_is_made(earlier: Settings) -> None:
    before = rows_of(earlier)
    finding = RawTables().find(earlier)
    assert finding is not None
    assert "raw.credit_clients" in finding.found
    RawTables().run(earlier)
    assert RawTables().find(earlier) is None
    assert rows_of(earlier) == before


def test_nothing_is_due_in_a_new_home(settings: Settings) -> None:
    prepare(settings)
    assert migrate(settings, lambda finding: pytest.fail(finding.step)) == []
    assert migration_notice(settings) is None
    answer = CliRunner().invoke(app, ["migrate"])
    assert (answer.exit_code, answer.stdout.splitlines()[0]) == (0, "Nothing is due.")


def test_a_folder_without_a_home_is_refused(settings: Settings) -> None:
    with pytest.raises(LifecycleError, match=r"Expected a home, found no installation\.json"):
        read_plan(settings)


def test_a_running_home_is_not_migrated(earlier: Settings) -> None:
    UpRecord(earlier.root).begin()
    with pytest.raises(LifecycleError, match="stop them with `lifecycle down`"):
        migrate(earlier, lambda finding: pytest.fail(finding.step))


def test_status_and_up_name_the_command(earlier: Settings) -> None:
    notice = migration_notice(earlier)
    assert notice is not None
    assert "(raw tables, first days, feature tables): run `lifecycle migrate --dry-run`" in notice


def test_a_build_that_was_killed_is_due_although_every_column_is_there(settings: Settings) -> None:
    prepare(settings)
    (settings.root / UNFINISHED_FILE).write_text("{}")
    assert [finding.found for finding in read_plan(settings)] == ["a full build that did not finish"]


def test_the_notice_does_not_wait_for_a_warehouse_in_use(earlier: Settings) -> None:
    program = (
        "import sys; from lifecycle.settings.platform import Settings\n"
        "from lifecycle.warehouse import open_warehouse\n"
        "with open_warehouse(Settings()).exclusive('a build'): print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert migration_notice(earlier) == "Not read whether a migration is due: another process uses the warehouse"
    finally:
        holder.communicate("")
    assert "run `lifecycle migrate" in (migration_notice(earlier) or "")


@pytest.mark.long
@pytest.mark.timeout(900)  # three runs of dbt
def test_a_migration_that_is_killed_continues_and_loses_nothing(earlier: Settings) -> None:
    raw, evidence = rows_of(earlier), files_of(earlier.evidence_dir)
    command = [sys.executable, "-m", "lifecycle.cli", "migrate", "--json"]
    for point in ("migration.step_ended:2", "migration.build_begun", "features.node_ended:12"):
        killed = subprocess.run(command, env={**os.environ, CRASH_AT_VARIABLE: point}, check=False, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        assert [finding.step for finding in read_plan(earlier)] == ["feature tables"]
    finished = subprocess.run(command, check=False, capture_output=True)
    assert finished.returncode == 0, finished.stderr.decode()
    assert [step["step"] for step in json.loads(finished.stdout)["steps"]] == ["feature tables"]
    assert read_plan(earlier) == []
    assert (rows_of(earlier), files_of(earlier.evidence_dir)) == (raw, evidence)
    marts = open_warehouse(earlier).query(f"select count(customer_max_amount_7d) as known from {MART}").to_pylist()
    assert marts == [{"known": ROWS}]
    last = FIRST_DAY + dt.timedelta(days=DAYS - 1)
    assert build(earlier, last, last + dt.timedelta(days=1)).rows > 0
