"""Robustness and explanations of small LightGBM models that are sound, or unsound in one way."""

from typing import Any

import lightgbm
import numpy as np
import pytest

from lifecycle.modelling.explanations import EXPLAINED_ROWS, measure_explanations
from lifecycle.modelling.robustness import SAMPLED_ROWS, ProbedModel, measure_robustness
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Bands, Calibration, Feature

IDENTITY = Calibration(slope=1.0, intercept=0.0)
SCHEMA = (
    Feature(name="amount", dtype="float", minimum=0, reason_group="amount"),
    Feature(name="days", dtype="int", is_nullable=True, minimum=0, maximum=30, reason_group="time"),
    Feature(name="kind", dtype="category", categories=("a", "b", "c"), reason_group="kind"),
)


def rows(count: int = 3000) -> FloatArray:
    random = np.random.default_rng(1)
    table = np.column_stack(
        [random.exponential(100, count), random.integers(0, 31, count), random.integers(0, 3, count)]
    ).astype(np.float64)
    table[::7, 1] = np.nan
    return table


def grown(seed: int = 1, *, is_rising: bool = True, **parameters: Any) -> bytes:
    """Trees whose target rises with the amount, or falls and rises."""
    table, random = rows(), np.random.default_rng(2)
    signal = table[:, 0] / 100 - 1 if is_rising else np.abs(table[:, 0] / 100 - 1)
    target = (signal + table[:, 2] / 2 + random.normal(0, 0.3, len(table)) > 1).astype(np.float64)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed, "deterministic": True}
    data = lightgbm.Dataset(table, target, categorical_feature=[2])
    text: str = lightgbm.train(settings | parameters, data, 30).model_to_string()
    return text.encode()


def probed(text: bytes, **changes: Any) -> ProbedModel:
    given: dict[str, Any] = {"features": SCHEMA, "bands": Bands(review_from=0.5, decline_from=0.9)} | changes
    return ProbedModel(text, calibration=IDENTITY, **given)


def test_a_sound_model_is_finite_on_every_kind_of_input() -> None:
    found = measure_robustness(probed(grown()), rows(), 0.01)
    assert found.rows == SAMPLED_ROWS
    assert found.unbounded == dict.fromkeys(("missing", "lowest", "highest", "permuted", "unseen category"), 0)
    assert found.falling == {}
    assert 0 < found.flips < 0.05
    assert found.seed_change is None


def test_larger_perturbations_flip_more_and_none_flips_nothing() -> None:
    model = probed(grown())
    flips = [measure_robustness(model, rows(), share).flips for share in (0.0, 0.01, 0.2)]
    assert flips[0] == 0 < flips[1] < flips[2]


def test_steps_against_a_declared_constraint_are_counted() -> None:
    rising = (
        Feature(name="amount", dtype="float", minimum=0, monotone=1, reason_group="amount"), *SCHEMA[1:],
    )  # fmt: skip
    wrong = measure_robustness(probed(grown(is_rising=False), features=rising), rows(), 0.01)
    assert wrong.falling["amount"] > 100
    right = measure_robustness(
        probed(grown(is_rising=False, monotone_constraints="1,0,0"), features=rising), rows(), 0.01
    )
    assert right.falling == {"amount": 0}


def test_a_recipe_of_few_rows_a_tree_depends_on_its_seed() -> None:
    steady = probed(grown(), refit=grown)
    unsteady = probed(grown(), refit=lambda seed: grown(seed, bagging_fraction=0.02, bagging_freq=1))
    assert measure_robustness(steady, rows(), 0.01).seed_change == 0
    change = measure_robustness(unsteady, rows(), 0.01).seed_change
    assert change is not None
    assert change > 0.1


def test_contributions_add_up_and_first_reasons_are_those_of_another_seed() -> None:
    found = measure_explanations(probed(grown(), refit=grown), rows())
    assert found.rows == EXPLAINED_ROWS
    assert found.largest_gap < 1e-9
    assert found.stopped > 20
    assert found.agreement == 1.0


def test_a_recipe_that_learns_something_else_gives_other_reasons() -> None:
    other = grown(is_rising=False)
    found = measure_explanations(probed(grown(), refit=lambda _: other), rows())
    assert found.agreement is not None
    assert found.agreement < 1.0


@pytest.mark.parametrize("review_from", [None, 1.1])
def test_without_a_stopped_row_no_reasons_are_compared(review_from: float | None) -> None:
    model = probed(grown(), bands=Bands(review_from=review_from), refit=grown)
    found = measure_explanations(model, rows())
    assert (found.stopped, found.agreement) == (0, None)
