"""The Fraud Detection Handbook's published features, through the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lifecycle.settings.platform import PROJECT_ROOT, Settings

HANDBOOK = PROJECT_ROOT.parent / "shared" / "data" / "card_fraud_handbook"
TRANSACTIONS = HANDBOOK / "transactions.parquet"
PUBLISHED = HANDBOOK / "published_features_to_2018-05-19.parquet"

PUBLISHED_NAMES = {
    "is_weekend": "TX_DURING_WEEKEND",
    "is_night": "TX_DURING_NIGHT",
    **{f"customer_tx_count_{days}d": f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW" for days in (1, 7, 30)},
    **{f"customer_mean_amount_{days}d": f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW" for days in (1, 7, 30)},
    **{f"terminal_tx_count_{days}d": f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW" for days in (1, 7, 30)},
    **{f"terminal_fraud_share_{days}d": f"TERMINAL_ID_RISK_{days}DAY_WINDOW" for days in (1, 7, 30)},
}
TIES_THE_OTHER_WAY_ROUND = [121453, 121454, 163831, 163832, 174806, 174807]
"""Two transactions of one customer in the same second: the publication does not order them by their ids."""


@pytest.fixture
def lifecycle(settings: Settings) -> Callable[..., Any]:
    """The `lifecycle` command in an installation of its own; its answer as JSON."""

    def run(*arguments: str) -> Any:
        command = [sys.executable, "-c", "from lifecycle.cli import main; main()", *arguments, "--json"]
        completed = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(settings))
        assert completed.returncode == 0, completed.stderr
        return json.loads(completed.stdout)

    return run


@pytest.mark.long
@pytest.mark.handbook
@pytest.mark.timeout(600)
def test_the_published_features_come_out(lifecycle: Callable[..., Any], tmp_path: Path) -> None:
    for path in (TRANSACTIONS, PUBLISHED):
        assert path.is_file(), f"Expected the handbook's file at {path}, found none"
    lifecycle("warehouse", "load", "card_transactions", str(TRANSACTIONS))
    built = lifecycle("features", "build")
    assert built["rows"] == 1_504_628
    out = tmp_path / "features.parquet"
    exported = lifecycle("features", "export", str(out), "--model", "card_fraud")
    assert exported["columns"][:2] == ["transaction_id", "amount"]
    conditions = [
        f"abs({ours} - {theirs}) <= 1e-9" if "mean" in ours or "share" in ours else f"{ours} = {theirs}"
        for ours, theirs in PUBLISHED_NAMES.items()
    ]
    rows = duckdb.sql(
        f"select transaction_id, {' and '.join(conditions)} as is_identical "
        f"from '{out}' join '{PUBLISHED}' using (transaction_id) order by transaction_id"
    ).fetchall()
    assert len(rows) == 470_491
    assert [transaction_id for transaction_id, is_identical in rows if not is_identical] == TIES_THE_OTHER_WAY_ROUND


def _environment(settings: Settings) -> dict[str, str]:
    import os

    return {**os.environ, "LIFECYCLE_HOME": str(settings.root)}
