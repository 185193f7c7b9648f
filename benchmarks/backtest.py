"""Wall time of a backtest per date: one command for each date, one process, processes side by side.

python -m benchmarks.backtest --dates 12

Simulated card transactions are loaded and their features built once. Then the same dates of `card_fraud` are trained
and judged by commands of their own, one after the other, as someone without `lifecycle backtest` would do it; by one
command with one process; and by one command with `--jobs` processes. A second recipe is compared by `--against`, which
shares each date's training set, and by a backtest of its own. Each way starts without results of another.
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

MODEL = "card_fraud"
SEED = 20180401
TODAY = dt.date(2026, 11, 20)
DAY = dt.timedelta(days=1)
DROPPED = "terminal_fraud_share_1d"
"""Input that the second recipe lacks."""


def make_home(home: Path, scale: int = 1) -> dt.date:
    """Simulate, load and build the features; returns the day after the last one.

    Parameters
    ----------
    scale
        How many times the cards and terminals of the demonstration.
    """
    import dagster as dg

    from lifecycle.assets.partitions import RANGE_END_TAG, RANGE_START_TAG
    from lifecycle.definitions import defs
    from lifecycle.local.demo.story import FEATURES_JOB, demo_world
    from lifecycle.local.demo.timeline import timeline
    from lifecycle.local.installation import prepare
    from lifecycle.local.simulator import SIMULATED, simulate
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model
    from lifecycle.warehouse import Use, open_warehouse
    from lifecycle.warehouse.loading.load import load

    settings = Settings()
    prepare(settings)
    days = timeline(read_model(MODEL, settings.profile), TODAY)
    world = demo_world(days.first_day, days.end_day, SEED)
    world = dataclasses.replace(world, customers=world.customers * scale, terminals=world.terminals * scale)
    simulate(world, home / "simulated")
    for relation in SIMULATED:
        load(open_warehouse(settings, Use("load")), relation, home / "simulated" / relation)
    tags = {RANGE_START_TAG: days.first_day.isoformat(), RANGE_END_TAG: (days.end_day - DAY).isoformat()}
    definitions = defs() if callable(defs) else defs
    with dg.DagsterInstance.ephemeral() as instance:
        built = definitions.resolve_job_def(FEATURES_JOB).execute_in_process(tags=tags, instance=instance)
    assert built.success
    return days.end_day


def timed(home: Path, commands: list[list[str]]) -> dict[str, Any]:
    """Seconds of commands that run one after the other, without earlier results."""
    shutil.rmtree(home / "backtests", ignore_errors=True)
    shutil.rmtree(home / "training_sets", ignore_errors=True)
    started, documents = time.perf_counter(), []
    for command in commands:
        program = [sys.executable, "-m", "lifecycle.cli", "backtest", MODEL, *command, "--json"]
        documents.append(json.loads(subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout))
    dates = [date for document in documents for date in document["dates"]]
    assert all(date["result"] for date in dates), [date["not_computed"] for date in dates]
    digests = [date["result"]["ours"]["candidate_digest"] for date in dates]
    return {"seconds": time.perf_counter() - started, "digests": digests}


def measure(home: Path, end: dt.date, count: int, every: int, jobs: int) -> dict[str, Any]:
    """Figures of all ways; the same dates give the same candidates in each."""
    from lifecycle.spec.model_files import model_files

    dates = [end - (count - 1 - number) * every * DAY for number in range(count)]
    span = ["--from", str(dates[0]), "--to", str(dates[-1]), "--every", str(every)]
    other = home / "other.yaml"
    document = yaml.safe_load(next(path for path in model_files() if path.parent.name == MODEL).read_text())
    attributes = document["attributes"]
    attributes["features"] = [feature for feature in attributes["features"] if feature["name"] != DROPPED]
    other.write_text(yaml.safe_dump(document, sort_keys=False))
    ways = {
        "a command for each date": [["--from", str(date), "--to", str(date), "--jobs", "1"] for date in dates],
        "one command, 1 process": [[*span, "--jobs", "1"]],
        f"one command, {jobs} processes": [[*span, "--jobs", str(jobs)]],
        f"with --against, {jobs} processes": [[*span, "--jobs", str(jobs), "--against", str(other)]],
    }
    found = {way: timed(home, commands) for way, commands in ways.items()}
    same = {tuple(figure.pop("digests")) for way, figure in found.items() if "--against" not in way}
    for figure in found.values():
        figure.pop("digests", None)
        figure["seconds_per_date"] = figure["seconds"] / count
        figure["speed_up"] = found["a command for each date"]["seconds"] / figure["seconds"]
    return {"dates": count, "cores": len(os.sched_getaffinity(0)), "same_candidates": len(same) == 1, "ways": found}


def main() -> None:
    """Make a home, measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=12)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--home", type=Path, default=None, help="a home of an earlier call, whose features are built")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backtest-") as temporary:
        home = chosen.home or Path(temporary) / "home"
        os.environ |= {"LIFECYCLE_HOME": str(home), "LIFECYCLE_PROFILE": "demo"}
        last = home / "last_day"
        if not last.exists():
            end = make_home(home)
            last.write_text(end.isoformat())
        figures = measure(home, dt.date.fromisoformat(last.read_text()), chosen.dates, chosen.every, chosen.jobs)
    if chosen.json:
        print(json.dumps(figures))
        return
    print(f"{figures['dates']} dates, {figures['cores']} cores, same candidates: {figures['same_candidates']}")
    print("| | s | s a date | faster by |\n|---|---|---|---|")
    for way, figure in figures["ways"].items():
        print(f"| {way} | {figure['seconds']:.1f} | {figure['seconds_per_date']:.1f} | {figure['speed_up']:.2f} |")


if __name__ == "__main__":
    main()
