"""Peak memory of a daily check over more and more decisions.

python -m benchmarks.monitoring_memory

A log of so many decisions over two weeks is written, with the mart's rows and outcomes. Then the check of the last day
runs in a process of its own, as the daily job does: it loads the whole log, measures the live performance, accounts
for the day, counts the stopped cards, and compares the traffic of a week with the reference. Figures are the process's
peak (`ru_maxrss`) after each step; DuckDB runs within it, with a memory limit below what it would cache of the tables.
Fails if the peak grows by more than the limit.
"""

import argparse
import datetime as dt
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

START = dt.date(2026, 1, 1)
DAYS = 14
LIMIT_BYTES = 50.0
"""Growth of the peak for each further decision."""
RECORDS_PER_SEGMENT = 20_000
MEMORY_LIMIT = "100MB"
"""Of DuckDB, whose cache of tables grows up to `LIFECYCLE_DUCKDB_MEMORY_LIMIT` (3 GB) and is not what is measured."""
FRAUD_EVERY = 100
BUNDLE = "b" * 64
STEPS = ("imported", "load", "performance", "accounts", "cards", "drift")


def fill(home: Path, decisions: int) -> None:
    """Write a log with every transaction decided once, in the order of their times, and the marts."""
    import duckdb
    import numpy as np

    from lifecycle.spec.model_files import read_model
    from serving.contract.documents import DECISION_RECORD_VERSION, DecisionRecord
    from serving.log.segments import line_of, segment_name

    spec, rng = read_model("card_fraud"), np.random.default_rng(7)
    log = home / "decision_log"
    log.mkdir(parents=True)
    pause = dt.timedelta(days=DAYS) / decisions
    begin = dt.datetime.combine(START, dt.time(), dt.UTC)
    for first in range(0, decisions, RECORDS_PER_SEGMENT):
        with (log / segment_name(first // RECORDS_PER_SEGMENT + 1)).open("wb") as segment:
            for number in range(first, min(first + RECORDS_PER_SEGMENT, decisions)):
                margin = float(rng.normal(0, 2))
                record = DecisionRecord(
                    schema_version=DECISION_RECORD_VERSION, decision_id=f"{number:032x}", transaction_id=str(number),
                    entity_key=f"{number % (decisions // 20):064x}", occurred_at=begin + number * pause,
                    decided_at=begin + number * pause, model=spec.name, slot="champion", bundle_digest=BUNDLE,
                    release_number=1, features=tuple(rng.random(len(spec.features)).tolist()), margin=margin,
                    score=1 / (1 + 2.718281828 ** -margin), decision="approve", elapsed_us=120,
                )  # fmt: skip
                segment.write(line_of(record))
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("set enable_progress_bar = false; create schema marts")
        step = DAYS * 86_400_000_000 / decisions
        connection.execute(
            f"create table marts.{spec.mart} as select cast(id as bigint) as transaction_id, "
            f"cast(id % {decisions // 20} as bigint) as customer_id, "
            f"timestamp '{START}' + to_microseconds(cast(floor(id * {step}) as bigint)) as occurred_at, "
            f"cast(id % 1000 as decimal(12, 2)) as amount from range({decisions}) as numbers(id)"
        )
        connection.execute(
            f"create table marts.{spec.label.relation} as select transaction_id, occurred_at, "
            f"occurred_at + to_days(3) as reported_at, cast(null as timestamp) as withdrawn_at "
            f"from marts.{spec.mart} where transaction_id % {FRAUD_EVERY} = 0"
        )


def check() -> dict[str, float]:
    """Run the check in this process; peak in MB after each step."""
    import numpy as np

    from lifecycle.assets.monitoring import measured_performance, measured_traffic
    from lifecycle.modelling.evaluation import Interval
    from lifecycle.modelling.reference import SCORE, Reference, freeze
    from lifecycle.monitoring.traffic import ChampionInForce
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model
    from lifecycle.warehouse import Use, open_warehouse
    from lifecycle.warehouse.reading.accounts import day_accounts
    from lifecycle.warehouse.reading.daily_loads import daily_loads
    from lifecycle.warehouse.reading.decisions import load_decisions
    from serving.contract.documents import Bands, Calibration, Deciding

    spec, settings = read_model("card_fraud"), Settings()
    as_of = START + dt.timedelta(days=DAYS)
    day = as_of - dt.timedelta(days=1)
    uniform = np.random.default_rng(7).random(10_000)
    champion = ChampionInForce(
        bundle_digest=BUNDLE,
        trained_until=START,
        promised_recall=Interval(0.5, 0.4, 0.6),
        reference=Reference(
            {name: freeze(uniform, 10) for name in (*spec.feature_names, SCORE)}, START.isoformat(), START.isoformat()
        ),
        deciding=Deciding(
            schema_version=1, model=spec.name, features=(), calibration=Calibration(slope=1.0, intercept=0.0),
            bands=Bands(review_from=0.5),
        ),
        model_text=b"",
    )  # fmt: skip
    warehouse = open_warehouse(settings, Use("log"))
    warehouse.query("select 1 as one")
    peaks = {"imported": peak_mb()}
    loaded = load_decisions(warehouse, settings.decision_log_dir)
    peaks["load"] = peak_mb()
    verdict = measured_performance(spec, warehouse, champion, as_of)
    peaks["performance"] = peak_mb()
    [account] = day_accounts(warehouse, spec, day, as_of)
    peaks["accounts"] = peak_mb()
    daily_loads(warehouse, spec.name, as_of - dt.timedelta(days=7), as_of)
    peaks["cards"] = peak_mb()
    traffic = measured_traffic(spec, warehouse, champion, as_of, {})
    peaks["drift"] = peak_mb()
    if not (loaded.inserted and account.decisions and traffic.rows and verdict.positives):
        sys.exit(f"Expected a whole check, got {loaded}, {account}, {traffic.rows} rows, {verdict}")
    return peaks


def peak_mb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_child(step: str, home: Path, decisions: int) -> dict[str, float]:
    """Run one step in a child process. This process stays small, since a child's peak starts at its parent's."""
    command = [sys.executable, "-m", "benchmarks.monitoring_memory", "--step", step, "--decisions", str(decisions)]
    environment = {**os.environ, "LIFECYCLE_HOME": str(home), "LIFECYCLE_TARGET": "duckdb"}
    environment["LIFECYCLE_DUCKDB_MEMORY_LIMIT"] = MEMORY_LIMIT
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def growth_bytes(peaks: dict[int, dict[str, float]]) -> float:
    """Bytes by which the last step's peak grows for each decision, from the smallest number to the largest."""
    fewest, most = min(peaks), max(peaks)
    return (peaks[most]["drift"] - peaks[fewest]["drift"]) * 2**20 / (most - fewest)


def print_table(peaks: dict[int, dict[str, float]]) -> None:
    """Print the peaks in MB as a table."""
    print("| decisions | " + " | ".join(STEPS) + " |")
    print("|---" * (len(STEPS) + 1) + "|")
    for decisions, steps in peaks.items():
        print(f"| {decisions:,} | " + " | ".join(f"{steps[step]:,.0f}" for step in STEPS) + " |")


def main() -> None:
    """Measure, print, and fail if the peak grows too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, nargs="+", default=[100_000, 200_000, 400_000])
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--step", choices=("fill", "check"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step == "fill":
        fill(Path(os.environ["LIFECYCLE_HOME"]), chosen.decisions[0])
        print("{}")
        return
    if chosen.step == "check":
        print(json.dumps(check()))
        return
    peaks: dict[int, dict[str, float]] = {}
    for decisions in chosen.decisions:
        with tempfile.TemporaryDirectory(prefix="monitoring-memory-") as folder:
            in_child("fill", Path(folder), decisions)
            peaks[decisions] = in_child("check", Path(folder), decisions)
    growth = growth_bytes(peaks)
    result: dict[str, Any] = {"peaks_mb": peaks, "growth_bytes_per_decision": growth, "limit_bytes": LIMIT_BYTES}
    if chosen.as_json:
        print(json.dumps(result, indent=1))
    else:
        print_table(peaks)
        print(f"\nThe peak grows by {growth:.0f} bytes a decision.")
    if growth > LIMIT_BYTES:
        sys.exit(f"Expected a growth of at most {LIMIT_BYTES:.0f} bytes a decision, got {growth:.0f}")


if __name__ == "__main__":
    main()
