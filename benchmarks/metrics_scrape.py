"""Size and time of `/metrics` after many releases, in one process and in a worker that shares its metrics.

A release every ten minutes; each bundle decides once. The clock is moved, so that retired bundles age; a version of
the server that keeps them shows what they cost.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from serving.telemetry.metrics import Metrics
from serving.telemetry.statuses import ModelStatus, SlotStatus, StoreStatus
from serving.telemetry.worker_metrics import join, prepare

BETWEEN_RELEASES_SECONDS = 600.0
SCRAPES = 21


def main() -> None:
    """Print one line for a single process and one for a worker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=150)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.folder is not None:
        join(chosen.folder, 0)
        print(f"a worker of several: {measured(chosen.releases)}")
        return
    print(f"after {chosen.releases} releases\none process: {measured(chosen.releases)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        command = [sys.executable, "-m", "benchmarks.metrics_scrape", "--releases", str(chosen.releases)]
        subprocess.run([*command, "--folder", folder], check=True)


def measured(releases: int) -> str:
    """Series, size and median time of a scrape after the last release."""
    metrics = Metrics()
    moved = 0.0
    genuine = time.monotonic
    time.monotonic = lambda: genuine() + moved
    for number in range(releases):
        bundle = f"{number:064x}"
        seen = ModelStatus(number, False, (SlotStatus("champion", "serving", bundle, "2026-01-31"),))
        metrics.watch(store=lambda seen=seen: StoreStatus({"m": seen}, 0.0, 0))  # type: ignore[misc]
        metrics.slot("m", "champion", bundle, ()).decided("approve", 0.5, 0.001, ())
        metrics.refresh()
        moved += BETWEEN_RELEASES_SECONDS
    time.monotonic = genuine
    seconds = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        page = metrics.exposition()
        seconds.append(time.perf_counter() - began)
    series = sum(not line.startswith(b"#") for line in page.splitlines())
    return f"{series} series, {len(page) / 1024:.0f} KB, {statistics.median(seconds) * 1000:.1f} ms a scrape"


if __name__ == "__main__":
    main()
