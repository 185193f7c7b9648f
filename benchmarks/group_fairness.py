"""Time of rates and disparities by group: `lifecycle.modelling.fairness` against fairlearn's `MetricFrame`.

python -m benchmarks.group_fairness

Both read the same made-up rows by turns, so that a slow moment of the machine meets both. *fairlearn* has its own
metrics; *four counts* gives `MetricFrame` nothing but four sums of NumPy masks, from which every rate follows: the
least work that it can be asked to do.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

ROOT = Path(__file__).resolve().parents[1]
# As a script, this file's folder is first on the path, and another file there hides the package that is measured.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "benchmarks")]

from benchmarks.serving_claims import print_table  # noqa: E402
from lifecycle.modelling.fairness import RATES, disparities, group_metrics  # noqa: E402

GROUPS = 5


@dataclass(frozen=True)
class Measured:
    """One type of groups; medians over the rounds, and the ratios of the medians."""

    groups: str
    rows: int
    ours_seconds: float
    fairlearn_seconds: float
    four_counts_seconds: float
    fairlearn_ratio: float
    four_counts_ratio: float
    largest_difference: float


def made_up(rows: int, kind: str) -> tuple[Any, Any, Any]:
    """Outcomes, predictions and groups of a type, shape ``(rows,)`` each."""
    rng = np.random.default_rng(1)
    codes = rng.integers(GROUPS, size=rows)
    y_true = rng.random(rows) < 0.1 + 0.05 * codes
    y_pred = rng.random(rows) < np.where(y_true, 0.7 - 0.05 * codes, 0.1)
    names = np.array([f"band {code}" for code in range(GROUPS)], dtype=object)
    return y_true, y_pred, codes if kind == "whole numbers" else names[codes]


def ours(y_true: Any, y_pred: Any, groups: Any) -> dict[str, float]:
    """Every disparity, by us."""
    return disparities(group_metrics(y_true, y_pred, groups))


def by_fairlearn(y_true: Any, y_pred: Any, groups: Any) -> dict[str, float]:
    """Every disparity, by fairlearn's metrics."""
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score, precision_score

    named = {
        "accuracy": accuracy_score,
        "selection_rate": metrics.selection_rate,
        "tpr": metrics.true_positive_rate,
        "fpr": metrics.false_positive_rate,
        "tnr": metrics.true_negative_rate,
        "fnr": metrics.false_negative_rate,
        "precision": precision_score,
    }
    frame = metrics.MetricFrame(metrics=named, y_true=y_true, y_pred=y_pred, sensitive_features=groups)
    ratio, difference = frame.ratio(), frame.difference()
    return {f"{rate}_ratio": ratio[rate] for rate in RATES} | {f"{rate}_diff": difference[rate] for rate in RATES}


def by_four_counts(y_true: Any, y_pred: Any, groups: Any) -> Any:
    """The four counts of each group, by `MetricFrame`."""
    from fairlearn.metrics import MetricFrame

    counts: dict[str, Callable[[Any, Any], int]] = {
        "true_positives": lambda true, pred: int(np.count_nonzero(true & pred)),
        "false_positives": lambda true, pred: int(np.count_nonzero(~true & pred)),
        "false_negatives": lambda true, pred: int(np.count_nonzero(true & ~pred)),
        "true_negatives": lambda true, pred: int(np.count_nonzero(~true & ~pred)),
    }
    return MetricFrame(metrics=counts, y_true=y_true, y_pred=y_pred, sensitive_features=groups).by_group


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """A result and the seconds it took."""
    began = time.perf_counter()
    found = compute()
    return found, time.perf_counter() - began


def measure(kind: str, rows: int, rounds: int) -> Measured:
    """All three on the same rows, by turns, after one round that is not counted."""
    arguments = made_up(rows, kind)
    seconds: dict[str, list[float]] = {"ours": [], "fairlearn": [], "four counts": []}
    largest = 0.0
    for number in range(rounds + 1):
        found, our_seconds = timed(lambda: ours(*arguments))
        expected, fairlearn_seconds = timed(lambda: by_fairlearn(*arguments))
        _, count_seconds = timed(lambda: by_four_counts(*arguments))
        largest = max(largest, *(abs(found[name] - expected[name]) for name in expected))
        if number:
            for name, took in zip(seconds, (our_seconds, fairlearn_seconds, count_seconds), strict=True):
                seconds[name].append(took)
    median = {name: statistics.median(took) for name, took in seconds.items()}
    return Measured(
        groups=kind,
        rows=rows,
        ours_seconds=median["ours"],
        fairlearn_seconds=median["fairlearn"],
        four_counts_seconds=median["four counts"],
        fairlearn_ratio=median["fairlearn"] / median["ours"],
        four_counts_ratio=median["four counts"] / median["ours"],
        largest_difference=float(largest),
    )


def main(
    rows: Annotated[int, typer.Option(help="Rows.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="Rounds, of which the median counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure text and whole numbers as groups."""
    measured = [asdict(measure(kind, rows, rounds)) for kind in ("text", "whole numbers")]
    if as_json:
        print(json.dumps({"groups": GROUPS, "measured": measured}, indent=2))
        return
    columns = {"groups": "", "rows": ",d"}
    columns |= dict.fromkeys(("ours_seconds", "fairlearn_seconds", "four_counts_seconds"), ".3f")
    columns |= {"fairlearn_ratio": ".1f", "four_counts_ratio": ".1f", "largest_difference": ".0e"}
    print(f"{GROUPS} groups")
    print_table(measured, columns)


if __name__ == "__main__":
    typer.run(main)
