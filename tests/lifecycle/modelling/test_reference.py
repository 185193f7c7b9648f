import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LifecycleError
from lifecycle.modelling.reference import BinnedColumn, ColumnCounts, Reference, bin_counts, count, freeze


def test_a_smooth_column_gets_equally_full_bins_and_one_for_missing() -> None:
    column = np.random.default_rng(1).normal(size=10_000)
    column[:500] = np.nan
    binned = freeze(column, 10)
    assert len(binned.edges) == 9
    assert binned.counts[-1] == 500
    assert set(binned.counts[:-1]) == {950}


def test_few_distinct_values_are_bins_of_their_own() -> None:
    binned = freeze(np.array([0.0, 1.0, 1.0, 5.0, 5.0, 5.0]), 10)
    assert binned.counts == (1, 2, 3, 0)


def test_a_value_that_fills_a_bin_stands_alone_and_the_tail_keeps_its_bins() -> None:
    column = np.concatenate([np.zeros(9000), np.linspace(0.01, 1.0, 1000)])
    binned = freeze(column, 10)
    assert binned.counts[0] == 9000
    assert len(binned.counts) >= 5
    assert max(binned.counts[1:-1]) < 200
    middle = np.concatenate([np.linspace(-1, -0.01, 500), np.zeros(9000), np.linspace(0.01, 1.0, 500)])
    assert 9000 in freeze(middle, 10).counts


def test_every_category_has_a_bin_also_one_that_the_window_lacks() -> None:
    binned = freeze(np.array([0.0, 0.0, 2.0, np.nan]), 10, categories=4)
    assert binned.counts == (2, 0, 1, 0, 0, 1)
    assert bin_counts(np.array(binned.edges), np.array([3.0, 1.0, np.inf])).tolist() == [0, 1, 0, 1, 1, 0]
    assert binned.support == ((0.0, 0.0), (2.0, 2.0))


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(0.0) | st.just(float("nan")), min_size=1, max_size=300),
    bins=st.integers(2, 20),
)
@settings(max_examples=200, deadline=None)
def test_every_row_is_in_exactly_one_bin_and_counting_again_gives_the_same(values: list[float], bins: int) -> None:
    column = np.array(values)
    binned = freeze(column, bins)
    assert sum(binned.counts) == len(values)
    assert list(binned.edges) == sorted(set(binned.edges))
    assert bin_counts(np.array(binned.edges), column).tolist() == list(binned.counts)
    assert len(binned.edges) <= 3 * bins


def test_a_constant_or_wholly_missing_column_has_one_bin_of_values() -> None:
    assert freeze(np.full(5, 2.0), 10) == BinnedColumn((), (5, 0), ((2.0, 2.0),))
    assert freeze(np.full(5, np.nan), 10) == BinnedColumn((), (0, 5), ())


def test_a_reference_survives_json_and_counts_by_column() -> None:
    columns = {"amount": np.arange(100.0), "score": np.linspace(0, 1, 100)}
    reference = Reference({name: freeze(v, 10) for name, v in columns.items()}, "a", "b")
    again = msgspec.json.decode(msgspec.json.encode(reference), type=Reference)
    assert again == reference
    assert count(again, columns) == {name: ColumnCounts(binned.counts) for name, binned in reference.columns.items()}
    with pytest.raises(LifecycleError, match=r"Expected 2 columns, missing \['score'\]"):
        count(reference, {"amount": columns["amount"]})
