import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lifecycle.cli.warehouse import app
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings


@pytest.fixture
def file(write_parquet: Any, handbook: Any) -> Path:
    return Path(write_parquet(handbook))


def test_load_answers_with_one_json_document(settings: Settings, file: Path) -> None:
    result = CliRunner().invoke(app, ["load", "card_transactions", str(file), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["rows_inserted"] == 4
    assert document["columns_left_out"] == ["TX_TIME_SECONDS", "TX_TIME_DAYS"]


def test_load_says_what_it_left_out_and_which_days_to_build_again(settings: Settings, file: Path) -> None:
    result = CliRunner().invoke(app, ["load", "card_transactions", str(file)])
    assert "4 inserted" in result.stdout
    assert "fraud_reports derived from it: 2 inserted" in result.stdout
    assert "left out: TX_TIME_SECONDS, TX_TIME_DAYS" in result.stdout
    assert "2018-04-01 up to, not including, 2018-04-04" in result.stdout


def test_status_shows_every_relation(settings: Settings, file: Path) -> None:
    CliRunner().invoke(app, ["load", "card_transactions", str(file)])
    shown = CliRunner().invoke(app, ["status"]).stdout
    for word in ("card_transactions", "fraud_reports", "customers", "terminals", "2018-04-03", "MB"):
        assert word in shown
    document = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
    rows = {row["relation"]: row["rows"] for row in document["relations"] if row["rows"]}
    assert rows == {"card_transactions": 4, "fraud_reports": 2}
    assert len(document["relations"]) == 8


def test_an_unknown_relation_is_refused_with_the_known_ones(settings: Settings, file: Path) -> None:
    near = CliRunner().invoke(app, ["load", "card_transaction", str(file)])
    assert "a declared raw table, got 'card_transaction'; did you mean card_transactions?" in str(near.exception)
    far = CliRunner().invoke(app, ["load", "x", str(file)])
    assert "; the tables are card_transactions, credit_clients, credit_outcomes, credit_protected, customers" in str(
        far.exception
    )


def test_a_refused_load_reaches_the_root_command_as_its_own_error(settings: Settings, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["load", "card_transactions", str(tmp_path / "nowhere.parquet")])
    assert isinstance(result.exception, LifecycleError)
