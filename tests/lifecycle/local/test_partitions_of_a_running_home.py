"""While `lifecycle up` runs, partitions follow the loaded data, and a backfill of every date is cancelled."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness.running_installation import RunningInstallation, running_installation

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]
TRAINING_SET = {"path": ["card_fraud", "training_set"]}
_PARTITIONS = """
query Partitions($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }"""


def load_day(installation: RunningInstallation, folder: Path, day: dt.date) -> None:
    rows = {
        "transaction_id": pa.array([day.toordinal()], pa.int64()),
        "occurred_at": pa.array([dt.datetime.combine(day, dt.time(12))], pa.timestamp("us")),
        "customer_id": pa.array([1], pa.int64()),
        "terminal_id": pa.array([1], pa.int64()),
        "amount": pa.array([1.0]),
    }
    file = folder / f"{day}.parquet"
    pq.write_table(pa.table(rows), file)
    installation.command("warehouse", "load", "card_transactions", str(file))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstallation]:
    with running_installation(tmp_path_factory.mktemp("partitions") / "home") as running:
        running.command("init")
        running.start()
        yield running


def partitions(installation: RunningInstallation) -> list[str]:
    return list(installation.ask(_PARTITIONS, key=TRAINING_SET)["partitionKeys"])


def test_partitions_follow_a_load_and_a_backfill_of_all_is_cancelled(
    installation: RunningInstallation, tmp_path: Path
) -> None:
    assert partitions(installation)[0] == "2018-04-01"
    today = dt.datetime.now(dt.UTC).date()
    load_day(installation, tmp_path, today - dt.timedelta(days=100))
    installation.wait(lambda: len(partitions(installation)) < 100, "the partitions to begin with the data")
    load_day(installation, tmp_path, today - dt.timedelta(days=120))
    installation.wait(lambda: partitions(installation)[0] < str(today - dt.timedelta(days=80)), "earlier partitions")
    names = partitions(installation)
    backfill = installation.launch_backfill([TRAINING_SET["path"]], names)
    installation.wait(lambda: backfill()["status"] == "CANCELED", "the backfill to be cancelled")
    failures = [installation.failure(run["runId"]) or "" for run in backfill()["runs"]]
    expected = f"at most 31 partitions of card_fraud/training_set, got {len(names)}: it was cancelled"
    assert any(expected in failure for failure in failures), failures
    assert not any("No training set was frozen" in failure for failure in failures)
