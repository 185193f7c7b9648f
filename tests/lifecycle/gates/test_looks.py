import numpy as np
import pytest
from scipy.stats import norm

from lifecycle.errors import LifecycleError
from lifecycle.gates.looks import Look, decide, look_levels
from lifecycle.modelling.evaluation import Interval
from serving.contract.documents import Outcome

NAN = float("nan")


@pytest.mark.parametrize(
    ("low", "high", "margin", "is_last", "outcome"),
    [
        (-0.019, 0.03, 0.02, False, "PASS"),
        (-0.019, 0.03, 0.02, True, "PASS"),
        (0.01, 0.03, 0.02, False, "PASS"),
        (-0.019, -0.001, 0.02, True, "PASS"),  # surely worse, and surely by less than the margin
        (-0.02, 0.03, 0.02, False, None),
        (-0.02, 0.03, 0.02, True, "INCONCLUSIVE"),
        (-0.06, 0.0, 0.02, True, "INCONCLUSIVE"),
        (-0.06, -0.001, 0.02, False, "FAIL"),
        (-0.06, -0.03, 0.02, True, "FAIL"),
        (1e-9, 0.03, 0.0, False, "PASS"),
        (0.0, 0.03, 0.0, True, "INCONCLUSIVE"),
        (-0.02, 0.03, 0.0, False, None),
        (-0.02, -0.01, 0.0, False, "FAIL"),
        (NAN, NAN, 0.02, False, None),
        (NAN, NAN, 0.02, True, "INCONCLUSIVE"),
    ],
)
def test_a_look_decides_or_asks_for_another_fold(
    low: float, high: float, margin: float, is_last: bool, outcome: Outcome | None
) -> None:
    looks = [Look(Interval((low + high) / 2, low, high), 0.05)]
    assert decide(looks, margin, is_last=is_last).outcome == outcome


@pytest.mark.parametrize("error", [0.025, 0.05, 0.2])
@pytest.mark.parametrize("information", [(1.0,), (0.5, 1.0), (0.2, 0.3, 1.0), (0.25, 0.5, 0.75, 1.0)])
def test_all_looks_together_err_as_often_as_declared(information: tuple[float, ...], error: float) -> None:
    boundaries = norm.isf(look_levels(information, error))
    generator = np.random.default_rng(1)
    gains = np.diff(information, prepend=0.0)
    walks = np.cumsum(generator.normal(size=(400_000, len(gains))) * np.sqrt(gains), axis=1) / np.sqrt(information)
    share = float((walks > boundaries).any(axis=1).mean())
    assert share == pytest.approx(error, abs=4 * (error / 400_000) ** 0.5)


@pytest.mark.parametrize("information", [(), (0.5,), (0.5, 0.4, 1.0), (0.0, 1.0), (0.5, 0.5, 1.0)])
def test_shares_of_the_evidence_ascend_to_all_of_it(information: tuple[float, ...]) -> None:
    with pytest.raises(LifecycleError, match="Expected shares that ascend to 1"):
        look_levels(information, 0.05)
