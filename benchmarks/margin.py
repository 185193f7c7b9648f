"""Cost of a compiled margin, as a share of the time of LightGBM's single-row fast path in the same run.

Run as ``python -m benchmarks.margin [--json]``. Both evaluators take turns on the same rows, Python's call included;
each figure is the least of many short rounds. *Varying* are 1,000 different rows one after the other, as a server has
them; *one row* is the same row again and again, which a processor's branch predictor learns by heart.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import lightgbm
import numpy as np
from numpy.typing import NDArray

from serving.scoring.forest import read_forest
from serving.scoring.scorer import Scorer, lightgbm_margins

SHAPES: Final = [(50, 15), (100, 31), (200, 31), (500, 15), (500, 31), (500, 127), (1000, 31), (2000, 31), (2000, 127)]
_FEATURES: Final = 30
_CATEGORIES: Final = 12
_TRAINING_ROWS: Final = 10_000
_ROWS: Final = 1_000
_ROUNDS: Final = 20


class Figures(NamedTuple):
    """Microseconds a row, milliseconds to load a model, and whether all margins had the same bits."""

    kind: str
    trees: int
    leaves: int
    lightgbm_us: float
    compiled_us: float
    ratio: float
    lightgbm_one_row_us: float
    compiled_one_row_us: float
    load_ms: float
    load_with_forest_ms: float
    lightgbm_load_ms: float
    is_equal: bool


def training_rows(categorical: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows like a card model's: amounts, counts, missing values, and `categorical` categories in front."""
    generator = np.random.default_rng(11)
    rows = generator.normal(size=(_TRAINING_ROWS, _FEATURES))
    rows[:, ::3] = np.exp(rows[:, ::3]).round(2)
    rows[generator.random(rows.shape) < 0.05] = np.nan
    rows[:, :categorical] = generator.integers(0, _CATEGORIES, (_TRAINING_ROWS, categorical))
    known = np.nan_to_num(rows)
    signal = known[:, 10] + known[:, 11] * known[:, 12] + known[:, 13:].sum(axis=1) * 0.2 + np.sin(known[:, 0] * 3)
    noise = generator.normal(size=_TRAINING_ROWS)
    return rows, (signal + noise > np.median(signal)).astype(float)


def trained(trees: int, leaves: int, categorical: int) -> tuple[bytes, list[list[float]]]:
    """A model's text and rows to score."""
    rows, labels = training_rows(categorical)
    parameters: dict[str, Any] = {
        "objective": "binary", "num_leaves": leaves, "learning_rate": 0.02, "verbosity": -1, "min_data_in_leaf": 5,
    }  # fmt: skip
    dataset = lightgbm.Dataset(rows, labels, categorical_feature=list(range(categorical)), params=parameters)
    text = lightgbm.train(parameters, dataset, trees).model_to_string()
    return text.encode(), rows[:_ROWS].tolist()


def least_us(margins: Sequence[Callable[[Sequence[float]], float]], rows: Sequence[Sequence[float]]) -> list[float]:
    """The least time a row of each evaluator, taking turns."""
    least = [float("inf")] * len(margins)
    for _ in range(_ROUNDS):
        for number, margin in enumerate(margins):
            began = time.perf_counter()
            for row in rows:
                margin(row)
            least[number] = min(least[number], (time.perf_counter() - began) / len(rows) * 1e6)
    return least


def measure(trees: int, leaves: int, categorical: int = 0) -> Figures:
    """One model's figures."""
    text, rows = trained(trees, leaves, categorical)
    names = [f"Column_{index}" for index in range(_FEATURES)]
    Scorer(text, names)  # the first in a process waits for the compiler
    forest = read_forest(text.decode())
    load_ms = min(_milliseconds(lambda: Scorer(text, names)) for _ in range(3))
    with_forest_ms = min(_milliseconds(lambda: Scorer(text, names, forest)) for _ in range(3))
    lightgbm_load_ms = min(_milliseconds(lambda: lightgbm_margins(text, _FEATURES)) for _ in range(3))
    scorer, reference = Scorer(text, names), lightgbm_margins(text, _FEATURES)
    assert scorer.is_compiled, "the compiled margins were refused"
    is_equal = all(scorer.margin(row).hex() == reference(row).hex() for row in rows)
    slow, fast = least_us([reference, scorer.margin], rows)
    slow_one, fast_one = least_us([reference, scorer.margin], rows[:1] * 300)
    return Figures(
        "categories" if categorical else "numbers", trees, leaves, slow, fast, slow / fast, slow_one, fast_one,
        load_ms, with_forest_ms, lightgbm_load_ms, is_equal,
    )  # fmt: skip


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Measure every shape and print a table, or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    arguments = parser.parse_args()
    if not arguments.json:
        print(
            "| inputs | trees | leaves | LightGBM us | compiled us | times faster | one row: LightGBM us | compiled us "
            "| load ms | with a forest ms | LightGBM alone ms | same bits |\n|" + "---|" * 12
        )
    for shape in [*((*pair, 0) for pair in SHAPES), (500, 31, 4)]:
        figures = measure(*shape)
        if arguments.json:
            print(json.dumps(figures._asdict()), flush=True)
            continue
        cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in figures]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
