"""How often each gate blocks a retraining in which nothing is wrong.

A world of simulated payments with several times the cards of the demonstration, whose fraud pattern never changes, has
its features built once. Each retraining draws a part of the cards and a date: a champion is trained a week before it
and a candidate on it, both on the payments of these cards, and all gates judge the candidate. Whatever blocks, blocks
falsely. Two drawings share cards, so that the rates' own errors are a little above those of independent ones.

python -m benchmarks.false_blocks --retrains 200

With --home every retraining is kept as it ends, and the same command goes on after a kill.
"""

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "card_fraud"
SEED = 20180401
DATES = 6
WEEK = dt.timedelta(days=7)


def dates_of(end: dt.date) -> list[dt.date]:
    """The dates on which candidates are trained, before the pattern of frauds changes."""
    from lifecycle.local.demo.timeline import CHANGED_DAYS

    last = end - dt.timedelta(days=CHANGED_DAYS)
    return [last - dt.timedelta(days=number) for number in range(DATES)]


def freeze_all(dates: list[dt.date]) -> None:
    """The training sets of all dates and of a week before each."""
    from functools import partial

    from lifecycle.assets.resources import Stores
    from lifecycle.assets.training import freeze_training_set
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model

    settings = Settings()
    spec, stores = read_model(MODEL, settings.profile), Stores()
    for date in sorted({*dates, *(date - WEEK for date in dates)}):
        freeze_training_set(spec, stores, date, partial(open_step, settings))


def open_step(settings: Any, step: Any) -> Any:
    """The warehouse as a step opens it."""
    from lifecycle.warehouse import Use, open_warehouse

    return open_warehouse(settings, Use(step, MODEL))


def retrain(seed: int, share: float, margin: float | None) -> dict[str, Any]:
    """One retraining: each gate's outcome, its summary if it blocks, and the events of the holdout."""
    from lifecycle.artefacts.against_champion import champion_model
    from lifecycle.artefacts.candidates import CandidateStore
    from lifecycle.assets.resources import Stores
    from lifecycle.assets.training import fit_candidate
    from lifecycle.assets.validation import Champion, judge_candidate
    from lifecycle.modelling.training_set import examples_from_table
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.model_files import read_model

    settings = Settings()
    spec, stores = read_model(MODEL, settings.profile), Stores()
    search = spec.training.searched.model_copy(update={"seed": SEED + seed})
    spec = spec.model_copy(
        update={
            "training": spec.training.model_copy(update={"search": search}),
            "gates": spec.gates.model_copy(update={"margin": margin}),
        }
    )
    generator = np.random.default_rng([SEED, seed])
    dates = json.loads((settings.home / "dates.json").read_text())
    date = dt.date.fromisoformat(dates[int(generator.integers(len(dates)))])
    chosen: Any = None

    def drawn(as_of: dt.date) -> Any:
        nonlocal chosen
        examples = examples_from_table(stores.training_sets(MODEL).read_whole(as_of.isoformat()), spec)
        if chosen is None:
            cards = np.unique(examples.entity)
            chosen = generator.choice(cards, round(share * len(cards)), replace=False)
        return examples.rows(np.isin(examples.entity, chosen))

    with tempfile.TemporaryDirectory(prefix="retrain-") as folder:
        store = CandidateStore(Path(folder), MODEL)
        examples = drawn(date)
        earlier, _ = fit_candidate(spec, drawn(date - WEEK), date - WEEK, "0" * 64, store)
        candidate, trained = fit_candidate(spec, examples, date, "1" * 64, store)
        rival = Champion(earlier.digest, champion_model(earlier, earlier.digest))
        evidence = judge_candidate(spec, stores, candidate, examples, rival)
    return {
        "seed": seed,
        "events": trained.evaluation.positives,
        "outcomes": {verdict.gate: verdict.outcome for verdict in evidence.verdicts},
        "blocked_by": {verdict.gate: verdict.summary for verdict in evidence.verdicts if not verdict.is_passed},
    }


def main() -> None:
    """Make a world, retrain, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retrains", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first retraining")
    parser.add_argument("--scale", type=int, default=4, help="how many times the demonstration's cards")
    parser.add_argument("--share", type=float, default=0.5, help="share of the cards of one retraining")
    parser.add_argument("--margin", type=float, default=None, help="gates.margin")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--home", type=Path, default=None, help="a home of an earlier call, whose features are built")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="false-blocks-") as temporary:
        home = chosen.home or Path(temporary) / "home"
        os.environ |= {"LIFECYCLE_HOME": str(home), "LIFECYCLE_PROFILE": "demo", "OMP_NUM_THREADS": "1"}
        if not (home / "dates.json").exists():
            prepare(home, chosen.scale)
        kept = home / f"retrains-{chosen.share}-{chosen.margin}.jsonl"
        found = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        seeds = set(range(chosen.first, chosen.first + chosen.retrains))
        missing = sorted(seeds - {each["seed"] for each in found})
        with ProcessPoolExecutor(chosen.jobs) as processes, kept.open("a") as file:
            running = [processes.submit(retrain, seed, chosen.share, chosen.margin) for seed in missing]
            for future in as_completed(running):
                found.append(future.result())
                print(json.dumps(found[-1]), file=file, flush=True)
                print(f"{len(found)} of {len(seeds)}", file=sys.stderr, flush=True)
        found = sorted((each for each in found if each["seed"] in seeds), key=lambda each: int(each["seed"]))
    print(json.dumps(found) if chosen.json else table(found))


def prepare(home: Path, scale: int) -> None:
    """The world, its features and its training sets."""
    from benchmarks.backtest import make_home

    dates = dates_of(make_home(home, scale))
    freeze_all(dates)
    (home / "dates.json").write_text(json.dumps([date.isoformat() for date in dates]))


def table(found: list[dict[str, Any]]) -> str:
    """Outcomes by gate, and of all gates together."""
    events = sorted(each["events"] for each in found)
    lines = [
        f"{len(found)} retrainings, {events[0]} to {events[-1]} events in a holdout, median {events[len(events) // 2]}",
        "",
        "| gate | PASS | FAIL | INCONCLUSIVE | blocked |",
        "|---|---|---|---|---|",
    ]
    for gate in found[0]["outcomes"]:
        counts = Counter(each["outcomes"][gate] for each in found)
        blocked = 1 - counts["PASS"] / len(found)
        lines.append(f"| `{gate}` | {counts['PASS']} | {counts['FAIL']} | {counts['INCONCLUSIVE']} | {blocked:.1%} |")
    blocked = sum(bool(each["blocked_by"]) for each in found) / len(found)
    lines.append(f"| any | | | | {blocked:.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
