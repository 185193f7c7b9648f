import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from lifecycle.errors import LifecycleError
from lifecycle.modelling.calibration import MINIMUM_SLOPE, fit_calibration, scores
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.scoring.probability import probability


def margins_of(seed: int, rows: int, slope: float, intercept: float) -> tuple[FloatArray, BoolArray]:
    generator = np.random.default_rng(seed)
    margins = generator.normal(scale=2.0, size=rows)
    is_positive = generator.random(rows) < 1 / (1 + np.exp(-(slope * margins + intercept)))
    is_positive[:2] = [True, False]
    return margins, is_positive


def platt_loss(parameters: FloatArray, margins: FloatArray, is_positive: BoolArray) -> float:
    positives = is_positive.sum()
    targets = np.where(is_positive, (positives + 1) / (positives + 2), 1 / (len(margins) - positives + 2))
    log_odds = parameters[0] * margins + parameters[1]
    return float(np.sum(np.logaddexp(0, log_odds) - targets * log_odds))


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(20, 2000),
    slope=st.floats(0.2, 3),
    intercept=st.floats(-5, 2),
)
@settings(max_examples=25, deadline=None)
def test_the_curve_is_the_best_one_a_general_optimiser_finds(
    seed: int, rows: int, slope: float, intercept: float
) -> None:
    margins, is_positive = margins_of(seed, rows, slope, intercept)
    fitted = fit_calibration(margins, is_positive)
    found = minimize(
        platt_loss,
        np.array([1.0, 0.0]),
        args=(margins, is_positive),
        bounds=[(MINIMUM_SLOPE, None), (None, None)],
        method="L-BFGS-B",
    )
    assert platt_loss(np.array([fitted.slope, fitted.intercept]), margins, is_positive) <= found.fun * (1 + 1e-6) + 1e-9
    assert fitted.slope >= MINIMUM_SLOPE * (1 - 1e-12)


def test_the_curve_recovers_the_one_that_made_the_outcomes() -> None:
    margins, is_positive = margins_of(1, 200_000, 0.7, -3.0)
    fitted = fit_calibration(margins, is_positive)
    assert fitted.slope == pytest.approx(0.7, abs=0.02)
    assert fitted.intercept == pytest.approx(-3.0, abs=0.03)


def test_margins_that_rank_frauds_lower_get_a_flat_but_rising_curve() -> None:
    margins, is_positive = margins_of(2, 5000, 1.0, -1.0)
    fitted = fit_calibration(-margins, is_positive)
    assert fitted.slope == pytest.approx(MINIMUM_SLOPE)
    assert scores(np.zeros(1), fitted)[0] == pytest.approx(is_positive.mean(), abs=0.005)


@pytest.mark.parametrize("gap", [0.01, 1.0, 1e3])
def test_perfect_separation_stays_finite(gap: float) -> None:
    margins = np.concatenate([np.full(50, gap), np.full(500, -gap)])
    fitted = fit_calibration(margins, margins > 0)
    assert 0 < fitted.slope * gap < 20
    low, high = scores(np.array([-gap, gap]), fitted)
    assert low == pytest.approx(1 / 502, rel=1e-3)
    assert high == pytest.approx(51 / 52, rel=1e-3)


def test_constant_margins_score_the_smoothed_share_of_frauds() -> None:
    is_positive = np.arange(100) < 10
    assert scores(np.full(1, 3.0), fit_calibration(np.full(100, 3.0), is_positive))[0] == pytest.approx(0.1, abs=0.02)


def test_scores_are_the_servers_to_the_bit() -> None:
    margins, is_positive = margins_of(3, 1000, 1.3, -2.0)
    calibration = fit_calibration(margins, is_positive)
    assert scores(margins, calibration).tolist() == [probability(float(m), calibration) for m in margins]


def test_one_class_cannot_be_calibrated() -> None:
    with pytest.raises(LifecycleError, match="Expected positive and negative examples, got 0 and 3"):
        fit_calibration(np.zeros(3), np.zeros(3, dtype=np.bool_))
