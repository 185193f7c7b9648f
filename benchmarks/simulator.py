"""Cost of simulating and loading card transactions: rows a second and peak memory, each step in its own process.

python -m benchmarks.simulator --rows 15000000 --out /tmp/simulated
"""

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lifecycle.local.simulator import SimulationConfig, simulate
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.loading.load import load

DAYS = 365
TRANSACTIONS_PER_CUSTOMER = 2.0
"""A day, on average."""
STEPS = ("simulate", "load_card_transactions", "load_fraud_reports", "load_card_transactions_again")


def rows_of(step: str, out: Path, rows: int) -> int:
    """Run one step and return its number of rows."""
    if step == "simulate":
        customers = max(1, round(rows / DAYS / TRANSACTIONS_PER_CUSTOMER))
        config = SimulationConfig(customers, 2 * customers, dt.date(2025, 1, 1), DAYS, seed=1)
        return simulate(config, out / "files").card_transactions
    warehouse = open_warehouse(Settings(home=out / "home"))
    if step == "load_fraud_reports":
        return load(warehouse, "fraud_reports", out / "files/fraud_reports").rows_read
    return load(warehouse, "card_transactions", out / "files/card_transactions").rows_read


def measured(step: str, out: Path, rows: int) -> dict[str, float]:
    """Figures of one step, run in a child process so that its peak memory is its own."""
    command = [sys.executable, __file__, "--step", step, "--out", str(out), "--rows", str(rows)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def main() -> None:
    """Simulate a year of about `--rows` transactions, load it, load it again, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=15_000_000)
    parser.add_argument("--out", type=Path, default=None, help="a new folder; a temporary one if not given")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        started = time.perf_counter()
        rows = rows_of(chosen.step, chosen.out, chosen.rows)
        seconds = time.perf_counter() - started
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "peak_mb": peak_mb}))
        return
    with tempfile.TemporaryDirectory(prefix="simulated-") as temporary:
        figures = {step: measured(step, chosen.out or Path(temporary), chosen.rows) for step in STEPS}
    if chosen.json:
        print(json.dumps(figures))
        return
    for step, figure in figures.items():
        print(
            f"{step:30s} {figure['rows']:12,.0f} rows {figure['seconds']:8.1f} s "
            f"{figure['rows_per_second']:12,.0f} rows/s {figure['peak_mb']:8,.0f} MB peak"
        )


if __name__ == "__main__":
    main()
