"""`/metrics` stays bounded however many releases come and go, and no counter falls."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.telemetry.metrics import Metrics
from serving.telemetry.statuses import ModelStatus, SlotStatus, StoreStatus
from serving.telemetry.worker_metrics import FORGET_SECONDS, HIDE_SECONDS, prepare
from tests.harness.paths import ROOT

RELEASES = 150
SERIES_OF_A_BUNDLE = 46


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def serve(metrics: Metrics, bundle: str) -> None:
    seen = ModelStatus(1, False, (SlotStatus("champion", "serving", bundle, "2026-01-31"),))
    metrics.watch(store=lambda: StoreStatus({"m": seen}, 0.0, 0))


def decide(metrics: Metrics, bundle: str) -> None:
    metrics.slot("m", "champion", bundle, ((0, "mean"),)).decided("approve", 0.5, 0.001, (None,))


def lines(metrics: Metrics) -> list[str]:
    return [line for line in metrics.exposition().decode().splitlines() if not line.startswith("#")]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def test_after_150_releases_the_page_is_as_long_as_after_two(clock: Clock) -> None:
    metrics = Metrics()
    sizes = []
    for number in range(RELEASES):
        serve(metrics, f"b{number}")
        decide(metrics, f"b{number}")
        clock.now += 600
        sizes.append(len(lines(metrics)))
    assert max(sizes[2:]) - sizes[1] <= 2 * SERIES_OF_A_BUNDLE
    assert f'serving_feature_missing_total{{feature="mean",model="m"}} {RELEASES}.0' in lines(metrics)


def test_a_bundle_is_shown_for_a_while_then_hidden_then_forgotten_and_may_come_back(clock: Clock) -> None:
    metrics = Metrics()

    def count(bundle: str) -> str | None:
        named = re.compile(rf'serving_requests_total\{{bundle="{bundle}",decision="approve".*\}} (\S+)')
        return next((match[1] for line in lines(metrics) if (match := named.match(line))), None)

    serve(metrics, "b1")
    decide(metrics, "b1")
    before = metrics.slot("m", "champion", "b1", ())
    assert count("b1") == "1.0"
    serve(metrics, "b2")
    clock.now += HIDE_SECONDS - 1
    assert count("b1") == "1.0", "its last counts are still scraped"
    clock.now += 2
    assert count("b1") is None
    serve(metrics, "b1")
    decide(metrics, "b1")
    assert count("b1") == "2.0", "a rollback goes on from its count"
    serve(metrics, "b2")
    assert count("b2") is None
    clock.now += FORGET_SECONDS + 1
    assert count("b1") is None
    assert before.is_forgotten
    serve(metrics, "b1")
    decide(metrics, "b1")
    assert count("b1") == "1.0", "after it vanished it begins again"


WORKER = """
import sys
import time
from pathlib import Path
from serving.telemetry.worker_metrics import join
join(Path(sys.argv[1]), int(sys.argv[2]))
from tests.serving.telemetry.test_retired_bundles import Clock, decide, serve
from serving.telemetry.metrics import Metrics
clock = Clock()
time.monotonic = clock.monotonic
"""
RELEASING = """
metrics = Metrics()
for number in range(150):
    serve(metrics, f"b{number}")
    decide(metrics, f"b{number}")
    metrics.refresh()
    clock.now += 600
    metrics.refresh()
print(metrics.exposition().decode())
"""


def in_worker(folder: Path, number: int, code: str) -> str:
    """Run `code` as a worker of its own process; what it prints."""
    command = [sys.executable, "-c", WORKER + code, str(folder), str(number)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.long
def test_the_files_of_workers_stay_bounded_and_totals_stay(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    prepare(folder)
    # One after the other: a restarted worker (number 0 again) continues its predecessor's counters.
    for worker in (0, 1, 0):
        told = in_worker(folder, worker, RELEASING)
    series = [line for line in told.splitlines() if line.startswith("serving_") and "bundle=" in line]
    assert 0 < len(series) <= 3 * SERIES_OF_A_BUNDLE
    assert 'serving_feature_missing_total{feature="mean",model="m"} 450.0' in told
    assert "serving_bundle_idle_seconds" not in told
    used = [path.read_bytes().rstrip(b"\0") for path in folder.glob("*.db")]
    assert max(map(len, used)) < 100_000
    assert all(content.count(b'"bundle"') <= 5 * SERIES_OF_A_BUNDLE for content in used)


BEHIND = """
metrics = Metrics()
serve(metrics, "old")
for _ in range(3):
    decide(metrics, "old")
metrics.refresh()
"""
AHEAD = """
metrics = Metrics()
serve(metrics, "old")
decide(metrics, "old")
metrics.refresh()
serve(metrics, "new")
for _ in range(10):
    clock.now += 600
    metrics.refresh()
print(metrics.exposition().decode())
"""


def test_the_count_of_a_bundle_that_one_worker_still_serves_never_falls(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    prepare(folder)
    for worker, code in enumerate((BEHIND, AHEAD)):
        told = in_worker(folder, worker, code)
    [count] = [line for line in told.splitlines() if 'bundle="old",decision="approve"' in line]
    assert count.endswith(" 4.0")
