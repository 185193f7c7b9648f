import numpy as np
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.calibration_fit import CalibrationFit, fit_of_calibration
from lifecycle.modelling.ranking import Outcomes

ROWS = 40_000
MOMENT = np.datetime64("2026-01-01", "us")


def measured(seed: int = 0, *, stretch: float = 1.0, shift: float = 0.0, repeats: int = 1) -> CalibrationFit:
    """Outcomes drawn from log-odds, and scores whose log-odds are stretched and shifted; entities repeat rows."""
    random = np.random.default_rng(seed)
    drawn = random.normal(-3, 1.5, ROWS // repeats)
    happened = random.random(len(drawn)) < 1 / (1 + np.exp(-drawn))
    log_odds, happened = np.repeat(drawn, repeats), np.repeat(happened, repeats)
    entity = np.repeat(np.arange(len(drawn)), repeats)
    said = stretch * log_odds + shift
    outcomes = Outcomes(np.full(len(said), MOMENT), entity, None, happened)
    return fit_of_calibration(outcomes, said, 1 / (1 + np.exp(-said)), 0.95)


def test_scores_that_are_the_probabilities_have_slope_1_intercept_0_and_ratio_1() -> None:
    found = measured()
    assert found.rows == ROWS
    for interval, ideal in ((found.slope, 1), (found.intercept, 0), (found.ratio, 1)):
        assert interval.low < ideal < interval.high
        assert interval.high - interval.low < 0.25
    assert found.error < 0.1


def test_scores_of_twice_the_log_odds_have_half_the_slope() -> None:
    assert measured(stretch=2.0).slope.value == pytest.approx(measured().slope.value / 2, rel=1e-6)


def test_a_shift_of_the_log_odds_is_the_intercept_and_shows_in_the_ratio() -> None:
    shifted, ideal = measured(shift=0.7), measured()
    assert shifted.slope.value == pytest.approx(ideal.slope.value, rel=1e-6)
    assert shifted.intercept.value == pytest.approx(ideal.intercept.value - 0.7 * ideal.slope.value, abs=1e-6)
    assert shifted.ratio.high < 1
    assert shifted.error == pytest.approx(1 / shifted.ratio.value - 1, rel=0.1)


def test_rows_of_one_entity_count_once_in_the_intervals() -> None:
    alone, repeated = measured(repeats=1), measured(repeats=4)
    width = alone.slope.high - alone.slope.low
    assert repeated.slope.high - repeated.slope.low == pytest.approx(2 * width, rel=0.2)


def test_intervals_cover_the_truth() -> None:
    found = [measured(seed, repeats=20) for seed in range(200)]
    for name, ideal in (("slope", 1.0), ("ratio", 1.0)):
        covered = np.mean([getattr(fit, name).low <= ideal <= getattr(fit, name).high for fit in found])
        assert 0.9 <= covered <= 0.99, name


def test_equal_scores_have_no_slope() -> None:
    happened = np.arange(10) < 3
    outcomes = Outcomes(np.full(10, MOMENT), np.arange(10), None, happened)
    found = fit_of_calibration(outcomes, np.full(10, np.log(3 / 7)), np.full(10, 0.3), 0.95)
    assert np.isnan(found.slope.value)
    assert found.ratio.value == pytest.approx(1)


def test_a_window_of_one_class_is_refused() -> None:
    outcomes = Outcomes(np.full(3, MOMENT), np.arange(3), None, np.zeros(3, np.bool_))
    with pytest.raises(LifecycleError, match="the window whose calibration is measured"):
        fit_of_calibration(outcomes, np.zeros(3), np.full(3, 0.5), 0.95)
