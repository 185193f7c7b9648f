import json
from pathlib import Path

from typer.testing import CliRunner

from lifecycle.cli.simulate import app

ARGUMENTS = ["--start", "2026-01-01", "--days", "6", "--customers", "60", "--terminals", "30", "--seed", "3"]


def test_simulate_writes_a_folder_for_each_relation_and_answers_as_json(tmp_path: Path) -> None:
    chosen = ["--first-day", "2026-01-03", "--last-day", "2026-01-04", "--pattern-change-day", "2026-01-04"]
    result = CliRunner().invoke(app, ["--out", str(tmp_path), *ARGUMENTS, *chosen, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["first_date"], document["last_date"]) == ("2026-01-03", "2026-01-04")
    assert document["card_transactions"] > 100
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        "card_transactions",
        "customers",
        "fraud_reports",
        "terminals",
    ]


def test_simulate_says_how_much_is_fraud(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--out", str(tmp_path), *ARGUMENTS])
    assert "transactions from 2026-01-01 to 2026-01-06" in result.stdout
    assert "% fraud" in result.stdout
