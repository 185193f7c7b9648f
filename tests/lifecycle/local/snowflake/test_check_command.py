import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from lifecycle.cli.warehouse import app
from lifecycle.errors import LifecycleError
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.local.snowflake.grants import statements
from lifecycle.local.snowflake.options import SETUP
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse

SCRIPT = list(statements(SETUP.read_text()))


@pytest.fixture
def in_environment(account: LocalSnowflake, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> LocalSnowflake:
    """The endpoint as the environment's warehouse."""
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COLUMNS", raising=False)
    return account


def test_the_command_shows_roles_grants_and_that_nothing_is_missing(in_environment: LocalSnowflake) -> None:
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0, result.output
    for word in (
        "LIFECYCLE_FAIRNESS",
        "LIFECYCLE_TRAIN_WH",
        "future tables in MARTS",
        "has the grants it needs",
    ):
        assert word in result.stdout
    assert "password" not in result.stdout.lower()


def test_the_command_says_what_is_missing_how_to_mend_it_and_fails(
    in_environment: LocalSnowflake, use_script: Any
) -> None:
    line = "grant usage on schema lifecycle.marts to role lifecycle_train"
    use_script([statement for statement in SCRIPT if statement != line])
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 1
    assert "LIFECYCLE_TRAIN lacks USAGE on schema LIFECYCLE.MARTS" in result.stdout
    assert "grant usage on schema LIFECYCLE.MARTS to role LIFECYCLE_TRAIN;" in result.stdout
    document = json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)
    assert document["is_ready"] is False
    (lacking,) = [need for step in document["steps"] for need in step["missing"]]
    assert lacking["statement"] == "grant usage on schema LIFECYCLE.MARTS to role LIFECYCLE_TRAIN;"


def test_the_command_shows_no_secret(in_environment: LocalSnowflake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_SNOWFLAKE_PASSWORD", "planted-password")
    result = CliRunner().invoke(app, ["check", "--json"])
    assert result.exit_code == 1
    assert "LIFECYCLE_SNOWFLAKE_USER" in str(result.exception)
    assert "planted" not in result.output + str(result.exception)


def test_the_command_says_where_the_file_is_and_that_it_can_be_written(settings: Settings) -> None:
    assert "created at first use" in CliRunner().invoke(app, ["check"]).stdout
    assert not settings.warehouse_path.exists()
    open_warehouse(settings)
    document = json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)
    assert document["is_ready"] is True
    assert document["path"] == str(settings.warehouse_path)
    assert document["size_bytes"] == settings.warehouse_path.stat().st_size
    relations = open_warehouse(settings).query("select table_name from information_schema.tables").column(0).to_pylist()
    assert "written_by_check" not in relations


def test_a_file_that_is_no_warehouse_is_named(settings: Settings) -> None:
    settings.root.mkdir(parents=True)
    settings.warehouse_path.write_text("no database")
    with pytest.raises(LifecycleError, match=re.escape(str(settings.warehouse_path))):
        CliRunner().invoke(app, ["check"], catch_exceptions=False)
