"""What simulating and loading card transactions costs: rows a second and peak memory, each in a process of its own.

python benchmarks/simulator.py --rows 15000000 --out /tmp/simulated
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DAYS = 365
TRANSACTIONS_PER_CUSTOMER = 2.0
"""A day, on average."""


def measured(script: str, *arguments: str) -> dict[str, float]:
    """Run a script of this project in a child process: seconds, and its peak memory in MB."""
    watch = (
        "import resource, sys, time; started = time.perf_counter(); "
        f"exec({script!r}); "
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; "
        "import json; print(json.dumps({'rows': rows, 'seconds': time.perf_counter() - started, 'peak_mb': peak}))"
    )
    out = subprocess.run([sys.executable, "-c", watch, *arguments], check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(out)
    figures["rows_per_second"] = figures["rows"] / figures["seconds"]
    return figures


SIMULATE = """
from pathlib import Path
from lifecycle.simulator import SimulationConfig, simulate
customers, days = int(sys.argv[2]), int(sys.argv[3])
config = SimulationConfig(customers=customers, terminals=2 * customers, start_date=dt.date(2025, 1, 1), days=days, seed=1)
rows = simulate(config, Path(sys.argv[1])).card_transactions
"""
LOAD = """
from pathlib import Path
from lifecycle.settings import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.loading import load
rows = load(open_warehouse(Settings(home=Path(sys.argv[2]))), sys.argv[3], Path(sys.argv[1])).rows_read
"""


def main() -> None:
    """Simulate a year of about `--rows` transactions, load it, load it again, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=15_000_000)
    parser.add_argument("--out", type=Path, default=None, help="where to write; a temporary folder if not given")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    out = chosen.out or Path(tempfile.mkdtemp(prefix="simulated-"))
    customers = max(1, round(chosen.rows / DAYS / TRANSACTIONS_PER_CUSTOMER))
    home = out / "home"
    figures = {
        "simulate": measured(SIMULATE, str(out), str(customers), str(DAYS)),
        "load card_transactions": measured(LOAD, str(out / "card_transactions"), str(home), "card_transactions"),
        "load fraud_reports": measured(LOAD, str(out / "fraud_reports"), str(home), "fraud_reports"),
        "load card_transactions again": measured(LOAD, str(out / "card_transactions"), str(home), "card_transactions"),
    }
    if chosen.out is None:
        shutil.rmtree(out)
    if chosen.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(
            f"{name:30s} {figure['rows']:12,.0f} rows {figure['seconds']:8.1f} s "
            f"{figure['rows_per_second']:12,.0f} rows/s {figure['peak_mb']:8,.0f} MB peak"
        )


if __name__ == "__main__":
    main()
