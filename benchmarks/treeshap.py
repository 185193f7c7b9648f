"""Time of one row's contributions: `serving.scoring.shap.tree_shap` against LightGBM's `pred_contrib`, by model shape.

python -m benchmarks.treeshap

Both explain the same rows, one at a time, by turns, on one thread, so that a slow moment of the machine meets both. The
models are trained here on made-up rows; the chain's target counts how many of the first features lie above a threshold,
which makes each tree one long path that asks a feature after the other.
"""

import functools
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
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
# As a script, this file's folder is first on the path, and another file there hides the package that is measured.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "benchmarks")]

from benchmarks.serving_claims import print_table  # noqa: E402
from serving.scoring.forest import Forest, read_forest  # noqa: E402
from serving.scoring.shap.kernel import kernel  # noqa: E402
from serving.scoring.shap.tree_shap import TreeShap  # noqa: E402

FEATURES = 30
TRAINING_ROWS = 8000


@dataclass(frozen=True)
class Shape:
    """What a model is trained to look like."""

    trees: int
    leaves: int
    is_chain: bool = False


SHAPES = (
    Shape(50, 15),
    Shape(100, 31),
    Shape(500, 15),
    Shape(500, 31),
    Shape(500, 31, is_chain=True),
    Shape(500, 63),
    Shape(500, 127),
    Shape(2000, 31),
    Shape(2000, 127),
)


@dataclass(frozen=True)
class Measured:
    """One shape's figures; the medians of `rows` rows, and the ratio of the medians."""

    trees: int
    leaves: int
    is_chain: bool
    deepest: int
    most_distinct: int
    rows: int
    ours_ms: float
    ours_p99_ms: float
    lightgbm_ms: float
    ratio: float
    largest_difference: float
    load_seconds: float


@functools.cache
def training_rows() -> NDArray[np.float64]:
    """Made-up features, shape ``(TRAINING_ROWS, FEATURES)``."""
    return np.random.default_rng(1).normal(size=(TRAINING_ROWS, FEATURES))


def trained(shape: Shape) -> Any:
    """A booster of this shape, read from its text as a server's would be."""
    import lightgbm

    matrix = training_rows()
    signal = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + np.sin(3 * matrix[:, 3]) + 0.3 * matrix[:, 4:].sum(axis=1)
    noisy = signal + np.random.default_rng(2).normal(size=TRAINING_ROWS)
    parameters: dict[str, Any] = {
        "num_leaves": shape.leaves,
        "learning_rate": 0.05,
        "num_threads": 1,
        "verbosity": -1,
        "seed": 1,
    }
    if shape.is_chain:
        parameters |= {"objective": "regression", "min_data_in_leaf": 1}
        target = (matrix > -1.3).cumprod(axis=1).sum(axis=1) + 0.01 * noisy
    else:
        parameters |= {"objective": "binary"}
        target = (noisy > 1).astype(float)
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, target), shape.trees)
    return lightgbm.Booster(model_str=booster.model_to_string())


def longest_path(forest: Forest) -> tuple[int, int]:
    """Splits on the longest path, and distinct features on the path that has most."""
    size = len(forest.tree)
    depth = np.ones(size, dtype=np.int64)
    above: list[frozenset[int]] = [frozenset()] * size
    for split in range(size):
        above[split] |= {int(forest.feature[split])}
        for child in (int(forest.left[split]), int(forest.right[split])):
            if child >= 0:
                depth[child], above[child] = depth[split] + 1, above[split]
    return int(depth.max()), max(map(len, above))


def measure(shape: Shape, seconds: float) -> Measured:
    """Train a model of the shape and explain rows with both for `seconds`, at least ten."""
    booster = trained(shape)
    text = booster.model_to_string()
    began = time.perf_counter()
    shap = TreeShap.from_model_text(text)
    load_seconds = time.perf_counter() - began
    rows = np.random.default_rng(3).normal(size=(5000, FEATURES))
    ours, theirs, difference = [], [], 0.0
    until = time.perf_counter() + seconds
    for count, row in enumerate(rows):
        if count >= 10 and time.perf_counter() > until:
            break
        found, ours_seconds = timed(functools.partial(shap.contributions, row))
        predict = functools.partial(booster.predict, pred_contrib=True, num_threads=1)
        predicted, their_seconds = timed(functools.partial(predict, row[np.newaxis]))
        expected = predicted[0]
        difference = max(difference, float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max())))
        ours.append(ours_seconds)
        theirs.append(their_seconds)
    deepest, most_distinct = longest_path(read_forest(text))
    return Measured(
        trees=shape.trees,
        leaves=shape.leaves,
        is_chain=shape.is_chain,
        deepest=deepest,
        most_distinct=most_distinct,
        rows=len(ours),
        ours_ms=statistics.median(ours) * 1000,
        ours_p99_ms=float(np.quantile(ours, 0.99)) * 1000,
        lightgbm_ms=statistics.median(theirs) * 1000,
        ratio=statistics.median(theirs) / statistics.median(ours),
        largest_difference=difference,
        load_seconds=load_seconds,
    )


def timed(explain: Callable[[], NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    """An explanation and the seconds it took."""
    began = time.perf_counter()
    found = explain()
    return found, time.perf_counter() - began


def start_seconds() -> dict[str, float]:
    """What the first model of a process waits for."""
    began = time.perf_counter()
    import numba  # noqa: F401

    imported = time.perf_counter()
    kernel()
    return {"import": imported - began, "compile": time.perf_counter() - imported}


def main(
    seconds: Annotated[float, typer.Option(help="How long each shape is measured.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure every shape."""
    start = start_seconds()
    measured = [measure(shape, seconds) for shape in SHAPES]
    if as_json:
        print(json.dumps({"start_seconds": start, "shapes": [asdict(each) for each in measured]}, indent=2))
        return
    columns = {"kind": "", "trees": "d", "leaves": "d", "deepest": "d", "most_distinct": "d"}
    columns |= dict.fromkeys(("ours_ms", "ours_p99_ms", "lightgbm_ms"), ".3f")
    columns |= {"ratio": ".1f", "largest_difference": ".0e", "load_seconds": ".2f"}
    print(f"{FEATURES} features, one row at a time")
    print_table([{"kind": "chain" if each.is_chain else "common", **asdict(each)} for each in measured], columns)
    print(f"the first model of a process waits {start['import']:.1f} s for numba and {start['compile']:.1f} s for code")


if __name__ == "__main__":
    typer.run(main)
