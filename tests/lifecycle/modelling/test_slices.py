"""Two models on each slice of a window."""

import numpy as np
import pytest

from lifecycle.modelling.evaluation import Predictions
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.slices import BRIER, chosen_slices, compare_by_slice, slices
from lifecycle.spec.fields import FieldSpec
from lifecycle.spec.slices import SliceLimits, SliceSpec

CHANNEL = FieldSpec(name="channel", dtype="category", categories=("shop", "web", "never"), is_nullable=True)
NIGHT = FieldSpec(name="is_night", dtype="int", minimum=0, maximum=1)
AMOUNT = FieldSpec(name="amount", dtype="float", minimum=0)
COUNT = FieldSpec(name="payments", dtype="int", minimum=0)
FEATURES = (CHANNEL, NIGHT, AMOUNT, COUNT)
ROWS = np.array([[0, 1, 10.0, 1], [1, 0, 50.0, 2], [np.nan, 0, 200.0, 3], [1, 1, 199.0, 4]])


def masks(*chosen: SliceSpec) -> dict[str, list[bool]]:
    return {part.name: part.mask.tolist() for part in slices(FEATURES, ROWS, chosen)}


def test_slices_are_categories_flags_and_intervals_between_cuts() -> None:
    assert masks(SliceSpec(feature="channel")) == {
        "channel = shop": [True, False, False, False],
        "channel = web": [False, True, False, True],
        "channel is missing": [False, False, True, False],
    }
    assert masks(SliceSpec(feature="is_night")) == {
        "is_night = 0": [False, True, True, False],
        "is_night = 1": [True, False, False, True],
    }
    assert masks(SliceSpec(feature="amount", cuts=(50, 200))) == {
        "amount < 50": [True, False, False, False],
        "amount >= 50, < 200": [False, True, False, True],
        "amount >= 200": [False, False, True, False],
    }


def test_each_row_is_in_one_slice_of_a_feature() -> None:
    generator = np.random.default_rng(1)
    values = np.where(generator.random((500, 4)) < 0.1, np.nan, generator.integers(0, 2, (500, 4)))
    for chosen in (
        SliceSpec(feature="channel"),
        SliceSpec(feature="is_night"),
        SliceSpec(feature="amount", cuts=(0.5,)),
    ):
        covered = np.sum([part.mask for part in slices(FEATURES, values, [chosen])], axis=0)
        assert (covered == 1).all()


def test_by_default_categories_and_flags_are_sliced() -> None:
    assert [each.feature for each in chosen_slices(FEATURES, SliceLimits())] == ["channel", "is_night"]
    assert chosen_slices(FEATURES, SliceLimits(by=())) == ()


def window(rows: int, seed: int) -> tuple[Outcomes, np.ndarray, np.ndarray]:
    """Outcomes of single payments of many cards, the odds behind them, and the channel of each."""
    generator = np.random.default_rng(seed)
    channel = generator.integers(0, 2, rows).astype(np.float64)
    odds = generator.normal(-2.5, 1.5, rows)
    occurred = np.datetime64("2024-01-01", "us") + np.arange(rows).astype("timedelta64[s]")
    is_positive = generator.random(rows) < 1 / (1 + np.exp(-odds))
    return Outcomes(occurred, generator.integers(0, rows // 5, rows), None, is_positive), odds, channel


def predicted(odds: np.ndarray) -> Predictions:
    return Predictions(odds, 1 / (1 + np.exp(-odds)))


def compared(spoiled: np.ndarray, seed: int = 2, confidence: float = 0.95) -> dict[str, dict[str, tuple[float, float]]]:
    """Gain and p-value by slice and metric, where our odds are those of the truth plus what spoils them."""
    outcomes, odds, channel = window(len(spoiled), seed)
    rows = np.column_stack([channel, channel, channel, channel])
    found = compare_by_slice(
        outcomes,
        predicted(odds + spoiled * (channel == 1)),
        predicted(odds),
        slices(FEATURES, rows, [SliceSpec(feature="channel")]),
        "roc_auc",
        30,
        confidence,
    )
    return {each.name: {gain.metric: (gain.gain.value, gain.p_value) for gain in each.gains} for each in found}


def test_a_model_that_is_worse_on_one_slice_is_worse_there_only() -> None:
    found = compared(np.random.default_rng(5).normal(0, 3, 4000))
    assert found["channel = shop"]["roc_auc"] == (0.0, 1.0)
    gain, p_value = found["channel = web"]["roc_auc"]
    assert gain < -0.05
    assert p_value < 1e-6


def test_the_brier_score_sees_scores_of_a_slice_that_moved_as_a_whole() -> None:
    found = compared(np.full(4000, 2.0))
    assert found["channel = web"]["roc_auc"][0] == pytest.approx(0.0, abs=1e-12)
    gain, p_value = found["channel = web"][BRIER]
    assert gain < 0
    assert p_value < 1e-6


def test_between_equal_models_losses_are_as_rare_as_the_level() -> None:
    """Each model has noise of its own; 5 % of two-sided tests at 5 % are significant."""
    p_values = []
    for seed in range(300):
        outcomes, odds, _ = window(600, seed)
        noise = np.random.default_rng(1000 + seed).normal(0, 0.5, (2, 600))
        parts = slices(FEATURES, np.zeros((600, 4)), [SliceSpec(feature="is_night")])
        ours, theirs = predicted(odds + noise[0]), predicted(odds + noise[1])
        found = compare_by_slice(outcomes, ours, theirs, parts, "average_precision", 30, 0.95)
        p_values.append(found[0].gains[0].p_value)
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_a_slice_of_few_positives_is_not_judged() -> None:
    outcomes, odds, channel = window(400, 3)
    outcomes = Outcomes(outcomes.occurred_at, outcomes.entity, None, outcomes.is_positive & (channel == 0))
    rows = np.column_stack([channel] * 4)
    parts = slices(FEATURES, rows, [SliceSpec(feature="channel")])
    shop, web = compare_by_slice(outcomes, predicted(odds), predicted(odds), parts, "card_precision", 10, 0.95)
    assert [gain.metric for gain in shop.gains] == ["average_precision", BRIER]
    assert web.gains == ()
    assert (web.positives, web.rows) == (0, int((channel == 1).sum()))
