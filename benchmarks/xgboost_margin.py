"""Cost of the margin of an XGBoost model, as a share of the time of XGBoost's own in-place prediction in the same run.

Run as ``python -m benchmarks.xgboost_margin [--json]``. XGBoost and our code take turns on the same rows. *One row* is
a call for each row, as a server scores; *batch* is 1,000 rows in one call of XGBoost with one thread, and as many calls
of ours, which has no batch. Each figure is the least of many short rounds.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import xgboost

from benchmarks.margin import training_rows
from serving.scoring.xgboost.scorer import XGBoostScorer
from serving.scoring.xgboost.trees import read_trees

SHAPES: Final = [(100, 6), (500, 4), (500, 6), (500, 8), (1000, 6)]
"""Trees and their depth."""
_ROWS: Final = 1_000
_ROUNDS: Final = 7
_ROWS_OF_XGBOOST: Final = 100
"""Rows that XGBoost scores one by one in a round."""


class Figures(NamedTuple):
    """Microseconds a row, margins a second, milliseconds to load, megabytes, and whether all margins are XGBoost's."""

    trees: int
    depth: int
    categories: int
    xgboost_row_us: float
    ours_row_us: float
    ratio: float
    xgboost_batch_per_s: float
    ours_per_s: float
    load_ms: float
    megabytes: float
    is_equal: bool


def trained(trees: int, depth: int, categorical: int) -> tuple[Any, Any]:
    """A booster, and rows to score."""
    rows, labels = training_rows(categorical)
    width = rows.shape[1]
    data = xgboost.DMatrix(
        rows,
        labels,
        feature_names=[f"f{index}" for index in range(width)],
        feature_types=["c"] * categorical + ["float"] * (width - categorical),
        enable_categorical=True,
    )
    parameters = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.05, "nthread": 1, "seed": 1}
    return xgboost.train(parameters, data, trees), np.ascontiguousarray(rows[:_ROWS])


def seconds(work: Callable[[], object]) -> float:
    """Least time of several rounds."""
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def measured(trees: int, depth: int, categorical: int) -> Figures:
    """One shape."""
    model, matrix = trained(trees, depth, categorical)
    content = bytes(model.save_raw("json"))
    began = time.perf_counter()
    scorer = XGBoostScorer(read_trees(content))
    load = time.perf_counter() - began
    rows, single = matrix.tolist(), [row[np.newaxis] for row in matrix[:_ROWS_OF_XGBOOST]]
    own = model.inplace_predict(matrix, predict_type="margin", validate_features=False)

    def xgboost_rows() -> None:
        for row in single:
            model.inplace_predict(row, predict_type="margin", validate_features=False)

    def our_rows() -> None:
        for row in rows:
            scorer.margin(row)

    theirs, ours = seconds(xgboost_rows) / _ROWS_OF_XGBOOST, seconds(our_rows) / _ROWS
    batch = seconds(lambda: model.inplace_predict(matrix, predict_type="margin", validate_features=False)) / _ROWS
    return Figures(
        trees,
        depth,
        categorical,
        theirs * 1e6,
        ours * 1e6,
        theirs / ours,
        1 / batch,
        1 / ours,
        load * 1e3,
        len(content) / 1e6,
        [scorer.margin(row) for row in rows] == own.astype(np.float64).tolist(),
    )


def main() -> None:
    """Print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json: bool = parser.parse_args().json
    measured(10, 3, 4)  # compiles
    found = [measured(trees, depth, categorical) for categorical in (0, 4) for trees, depth in SHAPES]
    if as_json:
        print(json.dumps([figures._asdict() for figures in found], indent=2))
        return
    print("trees depth cat.  XGBoost us  ours us  ratio  XGBoost batch/s  ours/s  load ms    MB  equal")
    for f in found:
        print(
            f"{f.trees:5d} {f.depth:5d} {f.categories:4d} {f.xgboost_row_us:11.0f} {f.ours_row_us:8.1f} {f.ratio:6.0f} "
            f"{f.xgboost_batch_per_s:16,.0f} {f.ours_per_s:7,.0f} {f.load_ms:8.0f} {f.megabytes:5.1f}  {f.is_equal}"
        )


if __name__ == "__main__":
    main()
