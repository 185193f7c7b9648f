"""Serving under faults: swaps, kills, overload and a long run, each with its claims.

    python -m benchmarks.serving_faults all
    python -m benchmarks.serving_faults swaps [--count 100] [--steady-seconds 1.5]
    python -m benchmarks.serving_faults kills [--count 20] [--durability written]
    python -m benchmarks.serving_faults overload [--seconds 30]
    python -m benchmarks.serving_faults soak [--minutes 2]

Each starts its own server on one core and loads it from another, prints a table and its claims, and with ``--json`` one
document instead. It exits with 1 where a claim does not hold, and says which.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# As a script, this file's folder is first on the path, and its `serving.py` hides the package of that name.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "benchmarks")]

from benchmarks import serving_claims as claims_of  # noqa: E402
from benchmarks.serving_kills import kills_trial  # noqa: E402
from benchmarks.serving_overload import overload_trial  # noqa: E402
from benchmarks.serving_servers import Cores, split_cores  # noqa: E402
from benchmarks.serving_soak import soak_trial  # noqa: E402
from benchmarks.serving_swaps import swaps_trial  # noqa: E402
from benchmarks.serving_trial import Outcome  # noqa: E402

TRIALS = ("swaps", "kills", "overload", "soak")
COUNTS = {"swaps": 100, "kills": 20}


def tried(trial: str, chosen: argparse.Namespace, cores: Cores) -> Outcome:
    """Run one trial."""
    if trial == "swaps":
        return swaps_trial(cores, chosen.count or COUNTS[trial], chosen.steady_seconds)
    if trial == "kills":
        return kills_trial(cores, chosen.count or COUNTS[trial], chosen.durability)
    if trial == "overload":
        return overload_trial(cores, chosen.seconds)
    return soak_trial(cores, chosen.minutes)


def as_document(outcomes: Sequence[Outcome], cores: Cores) -> dict[str, Any]:
    """The whole result as a JSON-ready document."""
    trials = {
        each.trial: {**each.notes, "rows": each.rows, "claims": claims_of.as_documents(each.claims)}
        for each in outcomes
    }
    holds = all(claim.holds for each in outcomes for claim in each.claims)
    return {"all_hold": holds, "machine": claims_of.machine(cores), **trials}


def report(outcome: Outcome) -> None:
    """Print a trial's figures and claims."""
    print(f"{outcome.trial}\n")
    claims_of.print_table(outcome.rows, outcome.columns)
    for name, value in outcome.notes.items():
        if not isinstance(value, list | dict):
            print(f"{name}: {value}")
    print()
    claims_of.print_claims(outcome.claims)
    print(flush=True)


def main() -> int:
    """Run the requested trials and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=(*TRIALS, "all"))
    parser.add_argument("--count", type=int, help="how many swaps (100) or kills (20)")
    parser.add_argument("--steady-seconds", type=float, default=1.5, help="load without a swap between ten swaps")
    parser.add_argument(
        "--durability", choices=("written", "fsync"), default="written", help="of the log that kills try"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of overload")
    parser.add_argument("--minutes", type=float, default=2.0, help="of soak")
    parser.add_argument("--json", action="store_true", help="one document for machines")
    chosen = parser.parse_args()
    cores = split_cores()
    claims_of.note_cores(cores)
    outcomes = []
    for trial in TRIALS if chosen.trial == "all" else (chosen.trial,):
        outcome = tried(trial, chosen, cores)
        outcomes.append(outcome)
        if not chosen.json:
            report(outcome)
    if chosen.json:
        claims_of.print_document(as_document(outcomes, cores))
    return claims_of.exit_code([claim for outcome in outcomes for claim in outcome.claims])


if __name__ == "__main__":
    sys.exit(main())
