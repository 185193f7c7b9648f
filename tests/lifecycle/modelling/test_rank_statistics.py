"""Rank statistics of live scores, against scikit-learn, from any cut of the rows into parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from lifecycle.modelling.rank_statistics import RankStatistics, rank_statistics


@given(st.integers(0, 2**32 - 1), st.integers(4, 300), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_ranking_is_that_of_scikit_learn(seed: int, rows: int, distinct: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, distinct, rows) / distinct
    is_positive = generator.random(rows) < 0.3
    is_positive[:2] = [True, False]
    parts = list(zip(np.array_split(scores, 3), np.array_split(is_positive, 3), strict=True))
    found = rank_statistics(parts)
    false_rate, true_rate, _ = roc_curve(is_positive, scores)
    assert found.roc_auc == pytest.approx(roc_auc_score(is_positive, scores), abs=1e-12)
    assert found.ks == pytest.approx((true_rate - false_rate).max(), abs=1e-12)
    assert (found.rows, found.positives) == (rows, is_positive.sum())
    assert found.mean_score == pytest.approx(scores.mean())


def test_one_class_alone_has_no_ranking() -> None:
    assert rank_statistics([]) == RankStatistics(0, 0)
    assert rank_statistics([(np.array([0.25, 0.75]), np.zeros(2, dtype=np.bool_))]) == RankStatistics(
        2, 0, mean_score=0.5
    )
