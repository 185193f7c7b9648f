"""Time of `lifecycle check` for the two shipped models, with and without the data of their built marts.

python -m benchmarks.check

Both portfolios are simulated, loaded and built once by dbt. Every figure is of a whole process, beside one that only
prints the version.
"""

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CREDIT_TABLES = ("credit_clients", "credit_outcomes", "credit_protected")
END = dt.date(2026, 11, 18)
CARD_DAYS, CREDIT_DAYS = 90, 420
COMMANDS = {
    "lifecycle --version": ["--version"],
    "lifecycle check --no-data": ["check", "--no-data"],
    "lifecycle check --data": ["check", "--data"],
}


def make_home(folder: Path) -> dict[str, int]:
    """Simulate, load and build both marts; rows by model."""
    from lifecycle.features import build
    from lifecycle.local.demo.story import demo_world
    from lifecycle.local.installation import prepare
    from lifecycle.local.simulator import SIMULATED, simulate
    from lifecycle.local.simulator.credit import CreditConfig, simulate_credit
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_specs
    from lifecycle.warehouse import Use, open_warehouse
    from lifecycle.warehouse.loading.load import load

    settings = Settings()
    prepare(settings)
    simulate(demo_world(END - dt.timedelta(days=CARD_DAYS), END, 20180401), folder)
    credit = CreditConfig(END - dt.timedelta(days=CREDIT_DAYS), CREDIT_DAYS)
    simulate_credit(credit, folder, lambda *_: None)
    for table in (*SIMULATED, *CREDIT_TABLES):
        load(open_warehouse(settings, Use("load")), table, folder / table)
    build(settings)
    warehouse = open_warehouse(settings)
    return {
        name: warehouse.query(f"select count(*) as n from marts.{spec.mart}").to_pylist()[0]["n"]
        for name, spec in read_specs().items()
    }


def seconds(arguments: list[str]) -> float:
    """Wall time of one command, which must find nothing to complain of."""
    started = time.perf_counter()
    program = [str(Path(sys.executable).with_name("lifecycle")), *arguments]
    subprocess.run(program, check=True, stdout=subprocess.PIPE, timeout=300)
    return time.perf_counter() - started


def main() -> None:
    """Print a table, and JSON with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each, after one that is not")
    parser.add_argument("--json", action="store_true", help="print JSON as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIFECYCLE_HOME"] = str(Path(folder) / "home")
        rows = make_home(Path(folder) / "simulated")
        taken = {name: [seconds(command) for _ in range(given.runs + 1)][1:] for name, command in COMMANDS.items()}
    print(", ".join(f"{name}: {count:,} rows" for name, count in rows.items()))
    print("| command | median s | maximum s | times the first |\n|---|---|---|---|")
    base = statistics.median(taken["lifecycle --version"])
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"| `{name}` | {median:.2f} | {max(values):.2f} | {median / base:.1f} |")
    if given.json:
        print(json.dumps({"rows": rows, "seconds": taken}))


if __name__ == "__main__":
    main()
