"""Cost of freezing a training set: rows a second and the client's peak memory, streamed by day and all at once.

python -m benchmarks.extraction --target duckdb
python -m benchmarks.extraction --target snowflake    # against the local endpoint, see docs/snowflake.md

A mart of `--rows` rows over `--days` days is made in the warehouse's own file, with the 20 features of card_fraud as
random numbers, which no compression shrinks. Then it leaves the warehouse twice, each time in a process of its own:
as the platform does it (`training_batches`, `TrainingSetStore.write`), and the plain way (one query, one table, one
`write_table`). Both must have the same digest. Memory is that process's alone (`ru_maxrss`): with DuckDB it holds the
database too, which runs within it.
"""

import argparse
import datetime as dt
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

START = dt.date(2025, 1, 1)
MATURITY_DAYS = 7
FRAUD_EVERY = 125
"""One row in so many was reported: the share of the Fraud Detection Handbook's data."""
DATABASE = "LIFECYCLE"
LIMIT_MB = 1000.0
STEPS = ("fill", "streamed", "at_once")


def fill(file: Path, rows: int, days: int, is_snowflake: bool) -> None:
    """Make the marts in a DuckDB file: the warehouse's own, or the one that the endpoint will serve."""
    import duckdb

    from lifecycle.spec.mart_contract import columns_of_mart, columns_of_outcomes
    from lifecycle.spec.model_files import read_model

    spec = read_model("card_fraud")
    mart, outcomes = (
        f'marts."{name.upper() if is_snowflake else name}"' for name in (spec.mart, spec.label.relation or "")
    )
    names = [*columns_of_mart(spec).values(), *columns_of_outcomes(spec).values()]
    quoted = {name: f'"{name.upper() if is_snowflake else name}"' for name in names}
    values = {
        "transaction_id": "id",
        "customer_id": "cast(hash(id) % 50000 as bigint)",
        "occurred_at": f"timestamp '{START}' + to_microseconds(id * {days * 86_400_000_000 // rows})",
        "amount": "cast(hash(id, 'amount') % 100000000 / 100 as decimal(12, 2))",
    }
    for name in spec.examples.clusters:
        values.setdefault(name, f"cast(hash(id, '{name}') % 10000 as bigint)")
    for each in (*spec.features, *spec.facts):
        number = f"hash(id, '{each.name}')"
        values.setdefault(each.name, f"cast({number} % 500 as bigint)" if each.dtype == "int" else f"{number} / 1e16")
    withdrawn = f", cast(null as timestamp) as {quoted[spec.label.withdrawn_at]}" if spec.label.withdrawn_at else ""
    selected = ", ".join(f"{value} as {quoted[name]}" for name, value in values.items())
    schema = "MARTS" if is_snowflake else "marts"
    with duckdb.connect(str(file)) as connection:
        connection.execute("set enable_progress_bar = false; set memory_limit = '2GB'")
        connection.execute(f'create schema "{schema}"')
        connection.execute(f"create table {mart} as select {selected} from range({rows}) as numbers(id)")
        connection.execute(
            f"create table {outcomes} as select {quoted['transaction_id']}, {quoted['occurred_at']}, "
            f"{quoted['occurred_at']} + to_days({MATURITY_DAYS}) as {quoted['reported_at']}{withdrawn} "
            f"from {mart} where {quoted['transaction_id']} % {FRAUD_EVERY} = 0"
        )


def extract(step: str, out: Path, days: int) -> dict[str, Any]:
    """Freeze the training set one way in this process and return the cost."""
    import pyarrow.parquet as pq

    from lifecycle.artefacts.training_sets import Selection, TrainingSetStore
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model
    from lifecycle.tables.content_digest import content_digest
    from lifecycle.warehouse import Use, open_warehouse
    from lifecycle.warehouse.reading.examples import training_batches, training_examples

    spec, settings = read_model("card_fraud"), Settings()
    end = START + dt.timedelta(days=days)
    as_of = end + dt.timedelta(days=MATURITY_DAYS)
    warehouse = open_warehouse(settings, Use("train"))
    warehouse.query("select 1 as one")  # the engine and the connector are imported by then
    baseline, started = peak_mb(), time.perf_counter()
    if step == "streamed":
        with closing(training_batches(warehouse, spec, START, end, as_of)) as batches:
            frozen = TrainingSetStore(out, spec.name).write(batches, spec, Selection(as_of, START, end))
        seconds, peak = time.perf_counter() - started, peak_mb()
        rows, digest, file = frozen.description.rows, frozen.description.digest, frozen.folder / "examples.parquet"
    else:
        file = out / "examples.parquet"
        table = training_examples(warehouse, spec, START, end, as_of)
        pq.write_table(table, file, compression="zstd")
        seconds, peak = time.perf_counter() - started, peak_mb()
        rows, digest = table.num_rows, content_digest(table.to_batches())
    size = file.stat().st_size / 1e6
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "imported_mb": baseline,
            "peak_mb": peak, "file_mb": size, "digest": digest}  # fmt: skip


def peak_mb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_child(step: str, out: Path, chosen: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run one step in a child process. This process stays small, since a child's peak starts at its parent's."""
    # Without this folder on the path, where `serving.py` would hide the package of that name.
    command = [sys.executable, "-P", __file__, "--step", step, "--out", str(out), "--target", chosen.target]
    command += ["--rows", str(chosen.rows), "--days", str(chosen.days)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment})
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Fill the warehouse, extract both ways, compare."""
    is_snowflake = chosen.target == "snowflake"
    file = folder / "endpoint" / f"{DATABASE}.db" if is_snowflake else folder / "home" / "warehouse.duckdb"
    file.parent.mkdir()
    in_child("fill", file, chosen, {})
    environment = {"LIFECYCLE_HOME": str(folder / "home"), "LIFECYCLE_TARGET": chosen.target}
    with ExitStack() as stack:
        if is_snowflake:
            from lifecycle.local import snowflake as local_snowflake

            endpoint = stack.enter_context(local_snowflake.running(file.parent))
            environment |= endpoint.environment() | {"LIFECYCLE_SNOWFLAKE_DATABASE": DATABASE}
        figures = {}
        for step in STEPS[1:] if chosen.naive else STEPS[1:2]:
            out = folder / step
            out.mkdir()
            figures[step] = in_child(step, out, chosen, environment)
    if len({figure["digest"] for figure in figures.values()}) != 1:
        sys.exit(f"Expected the same rows both ways, got {figures}")
    return {"target": chosen.target, "days": chosen.days, "limit_mb": LIMIT_MB, **figures}


def print_table(result: dict[str, Any]) -> None:
    """Print the figures as a table."""
    print(f"{'':<10}{'rows':>12}{'seconds':>9}{'rows/s':>10}{'imported MB':>13}{'peak MB':>9}{'file MB':>9}")
    ways = {step: result[step] for step in STEPS if step in result}
    for step, figure in ways.items():
        print(
            f"{step:<10}{figure['rows']:>12,}{figure['seconds']:>9.1f}{figure['rows_per_second']:>10,.0f}"
            f"{figure['imported_mb']:>13,.0f}{figure['peak_mb']:>9,.0f}{figure['file_mb']:>9,.0f}"
        )
    streamed = ways["streamed"]
    if "at_once" in ways:
        plain = ways["at_once"]
        print(
            f"\nStreamed by day takes {streamed['peak_mb'] / plain['peak_mb']:.2f} of the memory and "
            f"{streamed['seconds'] / plain['seconds']:.2f} of the time of all at once."
        )


def main() -> None:
    """Measure, print, and fail where the peak is not below the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=("duckdb", "snowflake"), default="duckdb")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--naive", action=argparse.BooleanOptionalAction, default=True, help="also all at once")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step == "fill":
        fill(chosen.out, chosen.rows, chosen.days, chosen.target == "snowflake")
        print("{}")
        return
    if chosen.step:
        print(json.dumps(extract(chosen.step, chosen.out, chosen.days)))
        return
    with tempfile.TemporaryDirectory(prefix="extraction-") as folder:
        result = measure(Path(folder), chosen)
    if chosen.as_json:
        print(json.dumps(result, indent=1))
    else:
        print_table(result)
    if result["streamed"]["peak_mb"] >= LIMIT_MB:
        sys.exit(f"Expected a peak below {LIMIT_MB:,.0f} MB, got {result['streamed']['peak_mb']:,.0f} MB")


if __name__ == "__main__":
    main()
