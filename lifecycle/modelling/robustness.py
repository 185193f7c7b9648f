"""What a model does on inputs that a training set rarely holds: missing, extreme, permuted, unseen and moved ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.calibration import scores
from lifecycle.modelling.fitting import margins
from lifecycle.modelling.group_evidence import bands_of
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Bands, Calibration, Feature

SAMPLED_ROWS = 2_000
GRID = 9
SEED = 20180401
OTHER_SEEDS = (1, 2)
LARGEST = 1e30
"""Where a feature's schema has no range; beyond any amount, and within single precision."""


@dataclass(frozen=True)
class Robustness:
    """What happened on each kind of input.

    `unbounded` counts rows whose margin is not finite by kind of input, `falling` the steps against its constraint of
    each monotone feature. `flips` is the share of rows whose band changes under the perturbation. `seed_change` is the
    mean absolute change of the score between seeds in units of the mean score, ``None`` for a model that cannot be
    fitted again.
    """

    rows: int
    unbounded: dict[str, int]
    falling: dict[str, int]
    flips: float
    seed_change: float | None


@dataclass(frozen=True)
class ProbedModel:
    """A model as it would be released. `refit` fits its recipe with another seed; ``None`` if it cannot be fitted."""

    text: bytes
    features: tuple[Feature, ...]
    calibration: Calibration
    bands: Bands
    refit: Callable[[int], bytes] | None = None


def measure_robustness(model: ProbedModel, rows: FloatArray, perturbation: float) -> Robustness:
    """Score spoiled copies of some rows.

    Parameters
    ----------
    rows
        Shape ``(n, n_features)``; at most `SAMPLED_ROWS` of them are used.
    perturbation
        Each number is multiplied by ``1 + perturbation`` or ``1 - perturbation``, drawn for each value.
    """
    random = np.random.default_rng(SEED)
    if len(rows) > SAMPLED_ROWS:
        rows = rows[np.sort(random.choice(len(rows), SAMPLED_ROWS, replace=False))]
    inputs = {
        "missing": _missing(model.features, rows),
        "lowest": _extreme(model.features, rows, is_highest=False),
        "highest": _extreme(model.features, rows, is_highest=True),
        "permuted": np.column_stack([random.permutation(column) for column in rows.T]),
        "unseen category": _unseen(model.features, rows),
    }
    unbounded = {
        name: int((~np.isfinite(margins(model.text, np.ascontiguousarray(spoiled)))).sum())
        for name, spoiled in inputs.items()
        if spoiled is not None
    }
    moved = _perturbed(model.features, rows, perturbation, random)
    before = bands_of(scores(margins(model.text, np.ascontiguousarray(rows)), model.calibration), model.bands)
    after = bands_of(scores(margins(model.text, moved), model.calibration), model.bands)
    return Robustness(
        rows=len(rows),
        unbounded=unbounded,
        falling=dict(_falling(model, rows)),
        flips=float((before != after).mean()),
        seed_change=None if model.refit is None else _seed_change(model, rows, model.refit),
    )


def _missing(features: Sequence[Feature], rows: FloatArray) -> FloatArray | None:
    """Every nullable feature missing."""
    nullable = np.array([feature.is_nullable for feature in features])
    return np.where(nullable, np.nan, rows) if nullable.any() else None


def _extreme(features: Sequence[Feature], rows: FloatArray, *, is_highest: bool) -> FloatArray:
    """Every number at an end of its schema's range."""
    spoiled = rows.copy()
    for position, feature in enumerate(features):
        if feature.dtype != "category":
            end = feature.maximum if is_highest else feature.minimum
            spoiled[:, position] = (LARGEST if is_highest else -LARGEST) if end is None else end
    return spoiled


def _unseen(features: Sequence[Feature], rows: FloatArray) -> FloatArray | None:
    """Every category one that training never saw."""
    spoiled, found = rows.copy(), False
    for position, feature in enumerate(features):
        if feature.dtype == "category":
            spoiled[:, position], found = len(feature.categories or ()) + 1, True
    return spoiled if found else None


def _perturbed(features: Sequence[Feature], rows: FloatArray, share: float, random: np.random.Generator) -> FloatArray:
    """Each floating number moved by a share of itself; whole numbers and categories stay what they are."""
    moved = rows.copy()
    for position, feature in enumerate(features):
        if feature.dtype == "float":
            column = moved[:, position] * (1 + share * random.choice([-1.0, 1.0], len(rows)))
            low = -np.inf if feature.minimum is None else feature.minimum
            high = np.inf if feature.maximum is None else feature.maximum
            moved[:, position] = np.clip(column, low, high)
    return np.ascontiguousarray(moved)


def _falling(model: ProbedModel, rows: FloatArray) -> list[tuple[str, int]]:
    """Steps of a monotone feature over its own quantiles at which the margin moves the wrong way."""
    found = []
    for position, feature in enumerate(model.features):
        direction = feature.monotone or 0
        known = rows[:, position][~np.isnan(rows[:, position])]
        if not direction or not len(known):
            continue
        table, earlier, wrong = rows.copy(), None, 0
        for value in np.unique(np.quantile(known, np.linspace(0, 1, GRID), method="nearest")):
            table[:, position] = value
            current = margins(model.text, np.ascontiguousarray(table))
            if earlier is not None:
                wrong += int(((current - earlier) * direction < 0).sum())
            earlier = current
        found.append((feature.name, wrong))
    return found


def _seed_change(model: ProbedModel, rows: FloatArray, refit: Callable[[int], bytes]) -> float:
    """Mean distance between the scores of models that differ by the seed only, through their mean score."""
    table = np.ascontiguousarray(rows)
    found = [scores(margins(refit(seed), table), model.calibration) for seed in OTHER_SEEDS]
    first, second = found
    mean = float((first + second).mean() / 2)
    return float(np.abs(first - second).mean()) / mean if mean else 0.0
