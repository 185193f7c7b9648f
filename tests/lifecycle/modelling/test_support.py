"""The support of a column: its intervals, and the rows that leave it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from lifecycle.modelling.reference import freeze
from lifecycle.modelling.support import is_inside, outside_probability, outside_rows, outside_rows_of_blocks, support_of

NO_EDGES = np.array([])


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float), min_size=1, max_size=300),
    bins=st.integers(2, 20),
)
@settings(max_examples=200, deadline=None)
def test_every_value_is_inside_and_the_intervals_are_disjoint(values: list[float], bins: int) -> None:
    column = np.array(values)
    support = freeze(column, bins).support
    assert support is not None
    assert is_inside(support, column).all()
    assert outside_rows(support, False, column) == 0
    flat = [bound for interval in support for bound in interval]
    assert flat == sorted(flat)
    assert len({low for low, _ in support}) == len(support)
    low, high = column.min(), column.max()
    beyond = np.array([np.nextafter(low, -np.inf), np.nextafter(high, np.inf)], dtype=np.float64)
    assert not is_inside(support, beyond).any()


def test_few_values_are_the_support_by_themselves() -> None:
    column = np.repeat(np.arange(50.0), 4)
    support = freeze(column, 10).support or ()
    assert len(support) == 50
    assert not is_inside(support, np.arange(0.5, 49.0)).any()


def test_the_gaps_around_a_value_that_fills_a_bin_are_outside() -> None:
    column = np.concatenate([np.zeros(900), np.linspace(5, 6, 100)])
    support = freeze(column, 10).support or ()
    assert is_inside(support, np.array([-1.0, 0.0, 0.1, 4.9, 5.0, 5.5, 6.1])).tolist() == [
        False, True, False, False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("share", [0.5, 0.45, 0.31])
def test_a_hole_between_two_groups_is_outside_wherever_the_bins_are(share: float) -> None:
    generator = np.random.default_rng(3)
    low = generator.random(round(share * 10_000))
    column = np.concatenate([low, 10 + generator.random(10_000 - len(low))])
    support = freeze(column, 10).support or ()
    assert not is_inside(support, np.array([1.1, 5.0, 9.9])).any()


def test_missing_is_outside_if_the_reference_has_none() -> None:
    column = np.array([1.0, np.nan, np.nan])
    assert outside_rows(((1.0, 1.0),), True, column) == 0
    assert outside_rows(((1.0, 1.0),), False, column) == 2
    assert outside_rows((), True, column) == 1


def test_the_rows_of_a_block_are_outside_if_no_other_block_has_their_values() -> None:
    column = np.array([1.0, 2.0, 9.0, 9.0, 1.0, np.nan])
    assert outside_rows_of_blocks(column, NO_EDGES, np.array([0, 0, 0, 0, 1, 1])) == 4
    assert outside_rows_of_blocks(column, NO_EDGES, np.array([0, 1, 0, 1, 1, 1])) == 2
    assert support_of(column[:4], NO_EDGES) == ((1.0, 1.0), (2.0, 2.0), (9.0, 9.0))


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 20), st.integers(30, 5000))
@settings(deadline=None)
def test_the_probability_is_the_tail_of_the_beta_binomial(
    outside: int, rows: int, reference_outside: int, reference_rows: int
) -> None:
    # The sum of its masses: SciPy's `sf` is 1 minus a sum, which is off by 1e-11.
    tail = np.arange(outside, rows + 1)
    twin = betabinom.pmf(tail, rows, reference_outside + 1, reference_rows - reference_outside).sum()
    ours = outside_probability(outside, rows, reference_outside, reference_rows)
    assert ours == pytest.approx(twin, rel=1e-6, abs=1e-300)


def test_a_long_sum_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = outside_probability(3, 2000, 1, 5000)
    monkeypatch.setattr("lifecycle.modelling.support.CHUNK", 7)
    assert outside_probability(3, 2000, 1, 5000) == pytest.approx(whole, rel=1e-12)


def test_a_column_that_is_always_outside_is_never_improbable() -> None:
    assert outside_probability(500, 500, 1000, 1000) == 1.0
