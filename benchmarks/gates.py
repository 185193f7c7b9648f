"""Coverage of the intervals of paired differences, and how often the champion's gate errs.

Draws populations of cards and terminals in which events come in clusters, as in the handbook's simulator: most of them
at a terminal that is compromised for weeks, many on a card that is, the rest alone. Two models score every row; what a
model misses at one event of a cluster it tends to miss at the others. Each run is a new population. The true
difference is that of the mean over all runs of a size, since average precision depends on it.

python -m benchmarks.gates coverage --runs 1000
python -m benchmarks.gates errors --runs 1000
python -m benchmarks.gates cost
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.gates.looks import Look, decide, look_levels
from lifecycle.modelling.clusters import clustered_interval, clusterings
from lifecycle.modelling.evaluation import Interval, Predictions, Reviewed, metric_draws, paired_difference
from lifecycle.modelling.fold_evidence import FoldDifference, fold_difference, pooled_interval
from lifecycle.modelling.influence import differences, influences
from lifecycle.modelling.ranking import Outcomes
from lifecycle.tables.arrays import IntArray

SEED = 20180401
RATE = 0.009
"""Share of events; the errors are measured with `DENSE_RATE`, for a third of the rows."""
DENSE_RATE = 0.03
DAYS = 7
ROWS_OF_A_CARD = 14
ROWS_OF_A_TERMINAL = 7
TERMINAL_SHARE, CARD_SHARE = 0.6, 0.3
"""Shares of the events at compromised terminals and on compromised cards."""
EVENTS_OF_A_TERMINAL, EVENTS_OF_A_CARD = 7, 4
STRENGTH = 2.5
"""Mean margin of an event in standard deviations of a genuine row: an average precision of about 0.5."""
COMMON = 0.96
"""Share of the variance of a model's margins that both models have in common."""
MARGIN = 0.02
BOOTSTRAPPED = 60
"""Runs of which the 200 draws of cards are computed, too."""
METRICS = ("average_precision", "roc_auc", "recall_at_capacity", "brier")


@dataclass(frozen=True)
class Population:
    """Rows of one window with the margins of two models."""

    outcomes: Outcomes
    terminals: IntArray
    ours: Predictions
    theirs: Predictions
    capacity: int

    @property
    def reviewed(self) -> Reviewed:
        """By the capacity."""
        return Reviewed(capacity=self.capacity)


def population(generator: np.random.Generator, events: int, gap: float = 0.0, rate: float = RATE) -> Population:
    """Rows with about so many events; `gap` weakens our model."""
    rows = round(events / rate)
    card = generator.integers(0, rows // ROWS_OF_A_CARD, rows)
    terminal = generator.integers(0, rows // ROWS_OF_A_TERMINAL, rows)
    at_terminal, on_card = (
        generator.poisson(events * share / size)
        for share, size in ((TERMINAL_SHARE, EVENTS_OF_A_TERMINAL), (CARD_SHARE, EVENTS_OF_A_CARD))
    )
    is_at_terminal = np.isin(terminal, generator.permutation(rows // ROWS_OF_A_TERMINAL)[:at_terminal])
    is_on_card = np.isin(card, generator.permutation(rows // ROWS_OF_A_CARD)[:on_card])
    is_on_card &= generator.random(rows) < EVENTS_OF_A_CARD / ROWS_OF_A_CARD
    is_alone = generator.random(rows) < rate * (1 - TERMINAL_SHARE - CARD_SHARE)
    is_positive = is_at_terminal | is_on_card | is_alone
    cluster = np.where(is_at_terminal, terminal, np.where(is_on_card, rows + card, 2 * rows + np.arange(rows)))
    codes = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    occurred = np.datetime64("2018-08-01", "us") + np.sort(generator.integers(0, DAYS * 86_400, rows)).astype(
        "timedelta64[s]"
    )
    shared = [generator.normal(size=size) for size in (rows, codes.max() + 1, card.max() + 1, terminal.max() + 1)]

    def scored(strength: float) -> Predictions:
        own = [COMMON**0.5 * part + (1 - COMMON) ** 0.5 * generator.normal(size=len(part)) for part in shared]
        noise = (own[0] + 0.4 * own[2][card] + 0.4 * own[3][terminal]) / 1.32**0.5
        margins = noise + is_positive * (strength + own[1][codes])
        return Predictions(margins, 1 / (1 + np.exp(3.5 - 1.5 * margins)))

    ours, theirs = scored(STRENGTH - gap), scored(STRENGTH)
    capacity = max(5, round(events / DAYS * 0.7))
    return Population(Outcomes(occurred, card, None, is_positive), terminal, ours, theirs, capacity)


def value_difference(found: Population) -> dict[str, float]:
    """Our metrics minus theirs."""
    ours, theirs = (
        metric_draws(found.outcomes, scores, found.reviewed, draws=0) for scores in (found.ours, found.theirs)
    )
    return {name: float(ours[name][0] - theirs[name][0]) for name in ours}


def gap_of(margin: float, base: int = SEED, runs: int = 12, events: int = 1000) -> float:
    """The weakness of our model that lowers average precision by `margin`, by bisection on the same populations."""
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        worse = np.mean(
            [
                value_difference(population(np.random.default_rng([base, 7, run]), events, middle, DENSE_RATE))[
                    "average_precision"
                ]
                for run in range(runs)
            ]
        )
        low, high = (middle, high) if worse > -margin else (low, middle)
    return (low + high) / 2


def intervals(found: Population, confidence: float) -> dict[str, dict[str, Interval]]:
    """The intervals of the difference by each way of clustering."""
    values = value_difference(found)
    influence = differences(
        influences(found.outcomes, found.ours, found.reviewed), influences(found.outcomes, found.theirs, found.reviewed)
    )
    card, rows = found.outcomes.entity, np.arange(len(found.outcomes))
    ways: dict[str, list[Any]] = {
        "rows": [rows],
        "card": [card],
        "terminal": [found.terminals],
        "card and terminal": [card, found.terminals],
    }
    return {
        way: {name: clustered_interval(values[name], influence[name], clusters, confidence) for name in METRICS}
        for way, clusters in ((way, clusterings(columns)) for way, columns in ways.items())
    }


def coverage(runs: int, sizes: Sequence[int], base: int = SEED) -> None:
    """Share of the runs whose 95 % interval holds the mean difference."""
    print(f"| events | runs | way | {' | '.join(METRICS)} |\n|---|---|---|{'---|' * len(METRICS)}")
    for events in sizes:
        found: dict[str, list[dict[str, Interval]]] = {}
        for run in range(runs):
            drawn = population(np.random.default_rng([base, events, run]), events)
            for way, each in intervals(drawn, 0.95).items():
                found.setdefault(way, []).append(each)
            if run < BOOTSTRAPPED:
                bootstrapped = paired_difference(drawn.outcomes, drawn.ours, drawn.theirs, drawn.reviewed)
                found.setdefault("200 draws of cards", []).append({name: bootstrapped[name] for name in METRICS})
        truth = {name: np.mean([each[name].value for each in found["rows"]]) for name in METRICS}
        for way, listed in found.items():
            shares = [
                np.mean([each[name].low <= truth[name] <= each[name].high for each in listed]) for name in METRICS
            ]
            print(
                f"| {events} | {len(listed)} | {way} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True
            )


def fold_of(found: Population, fold: int) -> FoldDifference:
    """The population as one fold's evidence; clusters of another fold are other clusters."""
    ways = (found.outcomes.entity + fold * 10_000_000, found.terminals + fold * 10_000_000)
    return fold_difference(found.outcomes, found.ours, found.theirs, found.reviewed, "average_precision", ways)


def outcome_of_run(
    seed: int, events: int, folds: int, gap: float, base: int = SEED, confidence: float = 0.95
) -> tuple[str, int, float]:
    """The gate's outcome, the folds it looked at, and the difference that it saw."""
    evidence: list[FoldDifference] = []
    levels = look_levels([(number + 1) / folds for number in range(folds)], (1 - confidence) / 2)
    looks: list[Look] = []
    for fold in range(folds):
        drawn = population(
            np.random.default_rng([base, events, folds, seed, fold]), round(events / folds), gap, DENSE_RATE
        )
        evidence.append(fold_of(drawn, fold))
        looks.append(Look(pooled_interval(evidence, 1 - 2 * levels[fold]), levels[fold]))
        decision = decide(looks, MARGIN, is_last=fold == folds - 1)
        if decision.outcome is not None:
            break
    return str(decision.outcome), len(looks), looks[-1].interval.value


def errors(runs: int, worse_by: Sequence[float], base: int = SEED) -> None:
    """Rates of PASS, FAIL and INCONCLUSIVE of an equal candidate and of worse ones."""
    gaps = [(f"worse by {less:g}" if less else "equal", gap_of(less, base) if less else 0.0) for less in worse_by]
    print(
        "| candidate | events | folds | runs | PASS | FAIL | INCONCLUSIVE | looks |\n|---|---|---|---|---|---|---|---|"
    )
    for name, gap in gaps:
        for events, folds in ((100, 1), (300, 1), (1000, 1), (1000, 4), (2000, 4), (4000, 4)):
            found = [outcome_of_run(run, events, folds, gap, base) for run in range(runs)]
            rates = [np.mean([outcome == each for outcome, _, _ in found]) for each in ("PASS", "FAIL", "INCONCLUSIVE")]
            looks = np.mean([looked for _, looked, _ in found])
            print(
                f"| {name} | {events} | {folds} | {runs} | "
                f"{' | '.join(f'{rate:.1%}' for rate in rates)} | {looks:.1f} |",
                flush=True,
            )


def cost() -> None:
    """Seconds for all metrics of both models with their intervals, 100,000 rows."""
    drawn = population(np.random.default_rng(SEED), 900)
    started = time.perf_counter()
    intervals(drawn, 0.95)
    print(f"{len(drawn.outcomes):,} rows, four ways of clustering: {time.perf_counter() - started:.1f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the experiments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=["coverage", "errors", "cost"])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED, help="of the populations; another one draws fresh ones")
    parser.add_argument("--events", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--worse-by", type=float, nargs="*", default=[0, MARGIN])
    chosen = parser.parse_args(arguments)
    experiments: dict[str, Callable[[], None]] = {
        "coverage": lambda: coverage(chosen.runs, chosen.events, chosen.seed),
        "errors": lambda: errors(chosen.runs, chosen.worse_by, chosen.seed),
        "cost": cost,
    }
    experiments[chosen.experiment]()


if __name__ == "__main__":
    main()
