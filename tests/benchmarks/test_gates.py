"""The simulation of the gates' errors, at a size of seconds."""

import numpy as np
import pytest

from benchmarks.gates import METRICS, intervals, main, outcome_of_run, population
from tests.harness.paths import ROOT


@pytest.mark.parametrize("experiment", ["coverage", "cost"])
def test_the_experiments_of_the_manual_run(experiment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"python -m benchmarks.gates {experiment}" in (ROOT / "docs" / "gates.md").read_text()
    main([experiment, "--runs", "2", "--events", "60"])
    printed = capsys.readouterr().out
    assert ("card and terminal" if experiment == "coverage" else "rows, four ways of clustering") in printed


def test_a_population_and_an_outcome_repeat() -> None:
    first, second = (population(np.random.default_rng(3), 100) for _ in range(2))
    assert np.array_equal(first.ours.margins, second.ours.margins)
    assert 50 < first.outcomes.is_positive.sum() < 200
    assert outcome_of_run(1, 200, 2, 0.0) == outcome_of_run(1, 200, 2, 0.0)


def test_a_model_that_is_far_weaker_fails() -> None:
    assert {outcome_of_run(seed, 400, 2, 1.5)[0] for seed in range(3)} == {"FAIL"}


def test_both_ways_together_are_at_least_as_wide_as_each() -> None:
    found = intervals(population(np.random.default_rng(4), 100), 0.95)
    for name in METRICS:
        width = {way: each[name].high - each[name].low for way, each in found.items()}
        assert width["card and terminal"] >= max(width["card"], width["terminal"])
