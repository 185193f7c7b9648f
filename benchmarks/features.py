"""Cost of building features: against bare window SQL, over three sizes, and for one more day after a year.

    python -m benchmarks.features [--transactions FILE] [--sizes 150000,1500000,15000000] [--repeats 3] [--json]

The bare SQL is one statement that computes the book's 15 features with window functions into a table, in DuckDB with
the same memory and threads, in the same warehouse file. Two forms of it are timed: over timestamps with intervals, as
one writes it, and over whole microseconds, which DuckDB evaluates faster. It tests nothing, and its reports come at
exactly 7 days. The models compute the five further features of the mart as well. dbt's start, its parse and its tests
are reported apart. Peak memory is that of the process that builds (`ru_maxrss`).
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.settings.platform import PROJECT_ROOT, Settings

HANDBOOK = PROJECT_ROOT.parent / "shared" / "data" / "card_fraud_handbook" / "transactions.parquet"
YEAR_STARTS = dt.date(2023, 1, 1)
YEAR_DAYS = 365
TX_PER_CUSTOMER_DAY = 2
TERMINALS_PER_CUSTOMER = 2
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Measured:
    """One build; `model_seconds` is dbt's summed execution time of the models."""

    name: str
    rows: int
    model_seconds: float
    test_seconds: float
    dbt_seconds: float
    peak_gigabytes: float
    models: dict[str, float]

    @property
    def microseconds_per_row(self) -> float:
        """Cost of a row."""
        return self.model_seconds / self.rows * 1e6


def bare_sql(is_integer: bool) -> str:
    """The 15 features in one statement."""
    clock = "epoch_us(occurred_at)" if is_integer else "occurred_at"

    delay = f"{7 * DAY_US}" if is_integer else "interval '7 days'"

    def span(days: int) -> str:
        return f"{days * DAY_US - 1}" if is_integer else f"interval '{days * 86_400 - 0.000001:.6f} seconds'"

    columns = []
    for days in (1, 7, 30):
        customer = f"partition by customer_id order by clock range between {span(days)} preceding and current row"
        terminal = (
            f"partition by terminal_id order by clock range between {span(days + 7)} preceding and {delay} preceding"
        )
        columns += [
            f"count(*) over ({customer}) as customer_tx_count_{days}d",
            f"avg(amount) over ({customer}) as customer_mean_amount_{days}d",
            f"count(*) over ({terminal}) as terminal_tx_count_{days}d",
            f"coalesce(avg(is_fraud) over ({terminal}), 0) as terminal_fraud_share_{days}d",
        ]
    return (
        "create or replace table bench.bare as select transaction_id, customer_id, terminal_id, occurred_at, amount, "
        "case when isodow(occurred_at) >= 6 then 1 else 0 end as is_weekend, "
        f"case when hour(occurred_at) <= 6 then 1 else 0 end as is_night, {', '.join(columns)} "
        f"from (select t.*, {clock} as clock, case when r.transaction_id is null then 0 else 1 end as is_fraud "
        "from raw.card_transactions t left join raw.fraud_reports r using (transaction_id))"
    )


def time_bare(settings: Settings, is_integer: bool) -> float:
    """Seconds of the bare statement, in a process of its own."""
    code = (
        "import duckdb, sys, time\n"
        f"c = duckdb.connect({str(settings.warehouse_path)!r})\n"
        f"c.execute(\"set memory_limit='{settings.duckdb_memory_limit}'; set threads={settings.duckdb_threads}\")\n"
        f"c.execute(\"set temp_directory='{settings.warehouse_path}.tmp'; set preserve_insertion_order=false\")\n"
        "c.execute('set enable_progress_bar=false; create schema if not exists bench')\n"
        "started = time.perf_counter()\n"
        "c.execute(sys.stdin.read())\n"
        "print(time.perf_counter() - started)\n"
        "c.execute('drop schema bench cascade')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=bare_sql(is_integer), capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def run_lifecycle(settings: Settings, *arguments: str) -> tuple[dict[str, Any], float]:
    """The command's JSON answer, and its peak memory or that of a process it started, in gigabytes."""
    command = [sys.executable, "-c", "from lifecycle.cli import main; main()", *arguments, "--json"]
    environment = {**os.environ, "LIFECYCLE_HOME": str(settings.root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        answer = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"lifecycle {' '.join(arguments)} failed")
    return json.loads(answer), usage.ru_maxrss / 1e6


def build(settings: Settings, name: str, *arguments: str) -> Measured:
    """Build features, measured."""
    answer, peak = run_lifecycle(settings, "features", "build", *arguments)
    return Measured(
        name=name,
        rows=answer["rows"],
        model_seconds=answer["model_seconds"],
        test_seconds=answer["test_seconds"],
        dbt_seconds=answer["overhead_seconds"],
        peak_gigabytes=peak,
        models=answer["models"],
    )


def against_bare(folder: Path, transactions: Path, repeats: int) -> dict[str, Any]:
    """The handbook's rows: the models and both forms of the bare SQL by turns, the fastest of each."""
    settings = Settings(home=folder / "handbook")
    run_lifecycle(settings, "warehouse", "load", "card_transactions", str(transactions))
    builds, intervals, integers = [], [], []
    for _ in range(repeats):
        intervals.append(time_bare(settings, is_integer=False))
        integers.append(time_bare(settings, is_integer=True))
        builds.append(build(settings, "handbook", "--full"))
        tell(f"bare {intervals[-1]:.1f}, over microseconds {integers[-1]:.1f}, models {builds[-1].model_seconds:.1f} s")
    best = min(builds, key=lambda built: built.model_seconds)
    return {
        "build": asdict(best),
        "bare_seconds": min(intervals),
        "bare_microseconds_seconds": min(integers),
        "ratio": best.model_seconds / min(intervals),
        "ratio_to_microseconds": best.model_seconds / min(integers),
    }


def over_sizes(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """A simulated year of each size, then one more day on top of it."""
    measured = []
    for size in sizes:
        settings = Settings(home=folder / f"year_{size}")
        load_year(folder, settings, size)
        year = build(settings, f"year of {size:,}")
        load_days(folder, settings, size, YEAR_DAYS, YEAR_DAYS)
        day = YEAR_STARTS + dt.timedelta(days=YEAR_DAYS)
        more = build(settings, "one more day", "--start", str(day))
        for built in (year, more):
            tell(f"{built.name}: {built.rows:,} rows in {built.model_seconds:.2f} s, {built.peak_gigabytes:.2f} GB")
        measured.append({"year": asdict(year), "one_more_day": asdict(more)})
    return measured


def load_year(folder: Path, settings: Settings, size: int) -> None:
    """Load the year's days; some rows more or less than `size`."""
    load_days(folder, settings, size, 0, YEAR_DAYS - 1)


def load_days(folder: Path, settings: Settings, size: int, first: int, last: int) -> None:
    """Simulate the days from the index `first` to `last` and load them with their reports."""
    customers = max(1, round(size / YEAR_DAYS / TX_PER_CUSTOMER_DAY))
    world = ["--customers", str(customers), "--terminals", str(customers * TERMINALS_PER_CUSTOMER)]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        days = [str(YEAR_STARTS + dt.timedelta(days=index)) for index in (0, first, last)]
        span = ["--start", days[0], "--days", str(YEAR_DAYS + 1), "--first-day", days[1], "--last-day", days[2]]
        run_lifecycle(settings, "simulate", "--out", out, *world, *span)
        for relation in ("card_transactions", "fraud_reports"):
            run_lifecycle(settings, "warehouse", "load", relation, f"{out}/{relation}")


def tell(text: str) -> None:
    """Print progress to standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def print_table(result: dict[str, Any]) -> None:
    """Print the figures as a table."""
    header = f"{'build':<28}{'rows':>12}{'models s':>10}{'us/row':>8}{'tests s':>9}{'dbt s':>7}{'peak GB':>9}"
    print(header)
    rows = [result["handbook"]["build"]] if result["handbook"] else []
    for size in result["sizes"]:
        rows += [size["year"], size["one_more_day"]]
    for row in rows:
        per_row = row["model_seconds"] / row["rows"] * 1e6
        print(
            f"{row['name']:<28}{row['rows']:>12,}{row['model_seconds']:>10.2f}{per_row:>8.1f}"
            f"{row['test_seconds']:>9.2f}{row['dbt_seconds']:>7.1f}{row['peak_gigabytes']:>9.2f}"
        )
    if book := result["handbook"]:
        print(f"\nbare SQL {book['bare_seconds']:.2f} s: the models take {book['ratio']:.2f} times as long")
        print(
            f"bare SQL over microseconds {book['bare_microseconds_seconds']:.2f} s: "
            f"{book['ratio_to_microseconds']:.2f} times as long"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=Path, default=HANDBOOK, help="the handbook's file")
    parser.add_argument(
        "--sizes", default="150000,1500000,15000000", help="rows of the simulated years; empty for none"
    )
    parser.add_argument("--repeats", type=int, default=3, help="times that the models and the bare SQL take turns")
    parser.add_argument(
        "--folder", type=Path, help="where to work (15 million rows take some 6 GB); a temporary one if not given"
    )
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        handbook = None
        if arguments.repeats:
            if not arguments.transactions.is_file():
                sys.exit(
                    f"Expected the handbook's file, found none - at {arguments.transactions}; --repeats 0 leaves it out"
                )
            handbook = against_bare(Path(folder), arguments.transactions, arguments.repeats)
        sizes = over_sizes(Path(folder), [int(size) for size in arguments.sizes.split(",") if size])
    result = {"handbook": handbook, "sizes": sizes}
    if arguments.as_json:
        print(json.dumps(result, indent=1))
    else:
        print_table(result)


if __name__ == "__main__":
    main()
