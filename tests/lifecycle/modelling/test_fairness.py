"""Rates by group agree with fairlearn and with cases counted by hand."""

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_score

from lifecycle.modelling.fairness import RATES, disparities, group_metrics

FAIRLEARN = {
    "rows": fairlearn.count,
    "accuracy": accuracy_score,
    "selection_rate": fairlearn.selection_rate,
    "tpr": fairlearn.true_positive_rate,
    "fpr": fairlearn.false_positive_rate,
    "tnr": fairlearn.true_negative_rate,
    "fnr": fairlearn.false_negative_rate,
    "precision": precision_score,
}
CALLERS_GROUPS = {
    "text": np.array(["north", "south", "élan"]),
    "objects": np.array(["north", "south", "élan"], dtype=object),
    "whole numbers": np.array([-3, 0, 2**40]),
    "small numbers": np.array([1, 2, 200], dtype=np.uint8),
    "booleans": np.array([False, True]),
}


def made_up(rows: int, groups: Any, seed: int = 7) -> tuple[Any, Any, Any]:
    """Outcomes, predictions and groups whose rates differ."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(len(groups), size=rows)
    y_true = rng.random(rows) < 0.2 + 0.1 * codes
    y_pred = rng.random(rows) < np.where(y_true, 0.6 - 0.1 * codes, 0.1 + 0.05 * codes)
    return y_true, y_pred, groups[codes]


@pytest.mark.parametrize("groups", CALLERS_GROUPS.values(), ids=CALLERS_GROUPS)
def test_rates_and_disparities_are_those_of_fairlearn(groups: Any) -> None:
    y_true, y_pred, of_rows = made_up(5000, groups)
    frame = fairlearn.MetricFrame(metrics=FAIRLEARN, y_true=y_true, y_pred=y_pred, sensitive_features=of_rows)
    found = group_metrics(y_true, y_pred, of_rows)
    assert list(found) == sorted(groups.tolist())
    for name, row in frame.by_group.iterrows():
        assert found[name] == pytest.approx(row.to_dict() | {"events": y_true[of_rows == name].sum()}, abs=1e-12)
    unequal = disparities(found)
    for rate in RATES:
        assert unequal[f"{rate}_ratio"] == pytest.approx(frame.ratio()[rate], abs=1e-12)
        assert unequal[f"{rate}_diff"] == pytest.approx(frame.difference()[rate], abs=1e-12)
    assert not unequal.undefined
    assert set(unequal) == {f"{rate}_{kind}" for rate in RATES for kind in ("ratio", "diff")}


@pytest.mark.parametrize("seed", range(20))
def test_disparities_are_fairlearns_own_summaries(seed: int) -> None:
    y_true, y_pred, groups = made_up(400, np.arange(4), seed)
    unequal = disparities(group_metrics(y_true, y_pred, groups))
    arguments = {"y_true": y_true, "y_pred": y_pred, "sensitive_features": groups}
    assert unequal["selection_rate_ratio"] == pytest.approx(fairlearn.demographic_parity_ratio(**arguments), abs=1e-12)
    assert unequal["selection_rate_diff"] == pytest.approx(
        fairlearn.demographic_parity_difference(**arguments), abs=1e-12
    )
    assert unequal["tpr_diff"] == pytest.approx(fairlearn.equal_opportunity_difference(**arguments), abs=1e-12)
    assert max(unequal["tpr_diff"], unequal["fpr_diff"]) == pytest.approx(
        fairlearn.equalized_odds_difference(**arguments), abs=1e-12
    )


def test_a_confusion_matrix_counted_by_hand() -> None:
    #          a: TP TP TP FN | FP TN TN TN TN TN      b: TP FN FN FN | FP FP TN TN
    of_a = ([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    of_b = ([1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 1, 1, 0, 0])
    found = group_metrics([*of_a[0], *of_b[0]], [*of_a[1], *of_b[1]], ["a"] * 10 + ["b"] * 8)
    assert found == {
        "a": {
            "rows": 10,
            "events": 4,
            "accuracy": pytest.approx(8 / 10, abs=1e-12),
            "selection_rate": pytest.approx(4 / 10, abs=1e-12),
            "tpr": pytest.approx(3 / 4, abs=1e-12),
            "fpr": pytest.approx(1 / 6, abs=1e-12),
            "tnr": pytest.approx(5 / 6, abs=1e-12),
            "fnr": pytest.approx(1 / 4, abs=1e-12),
            "precision": pytest.approx(3 / 4, abs=1e-12),
        },
        "b": {
            "rows": 8,
            "events": 4,
            "accuracy": pytest.approx(3 / 8, abs=1e-12),
            "selection_rate": pytest.approx(3 / 8, abs=1e-12),
            "tpr": pytest.approx(1 / 4, abs=1e-12),
            "fpr": pytest.approx(2 / 4, abs=1e-12),
            "tnr": pytest.approx(2 / 4, abs=1e-12),
            "fnr": pytest.approx(3 / 4, abs=1e-12),
            "precision": pytest.approx(1 / 3, abs=1e-12),
        },
    }
    assert dict(disparities(found)) == {
        "accuracy_ratio": pytest.approx((3 / 8) / (8 / 10), abs=1e-12),
        "accuracy_diff": pytest.approx(8 / 10 - 3 / 8, abs=1e-12),
        "selection_rate_ratio": pytest.approx((3 / 8) / (4 / 10), abs=1e-12),
        "selection_rate_diff": pytest.approx(4 / 10 - 3 / 8, abs=1e-12),
        "tpr_ratio": pytest.approx(1 / 3, abs=1e-12),
        "tpr_diff": pytest.approx(1 / 2, abs=1e-12),
        "fpr_ratio": pytest.approx(1 / 3, abs=1e-12),
        "fpr_diff": pytest.approx(1 / 3, abs=1e-12),
        "tnr_ratio": pytest.approx((2 / 4) / (5 / 6), abs=1e-12),
        "tnr_diff": pytest.approx(1 / 3, abs=1e-12),
        "fnr_ratio": pytest.approx(1 / 3, abs=1e-12),
        "fnr_diff": pytest.approx(1 / 2, abs=1e-12),
        "precision_ratio": pytest.approx((1 / 3) / (3 / 4), abs=1e-12),
        "precision_diff": pytest.approx(3 / 4 - 1 / 3, abs=1e-12),
    }


def test_a_rate_without_a_denominator_is_undefined_and_names_its_group() -> None:
    y_true, y_pred = [1, 0, 1, 0, 0, 0], [1, 0, 0, 1, 1, 0]
    groups = ["both", "both", "both", "both", "no events", "no events"]
    found = group_metrics(y_true, y_pred, groups)
    assert math.isnan(found["no events"]["tpr"])
    assert math.isnan(found["no events"]["fnr"])
    unequal = disparities(found)
    assert unequal.undefined == {"tpr": ("no events",), "fnr": ("no events",)}
    assert (unequal["tpr_ratio"], unequal["tpr_diff"]) == (1, 0)
    # fairlearn: neither found nor missed, and treated worst.
    frame = fairlearn.MetricFrame(
        metrics={rate: FAIRLEARN[rate] for rate in ("tpr", "fnr")},
        y_true=y_true,
        y_pred=y_pred,
        sensitive_features=groups,
    )
    assert frame.by_group.loc["no events"].tolist() == [0, 0]
    assert frame.ratio()["tpr"] == 0


def test_a_rate_undefined_for_all_groups_has_no_disparity() -> None:
    unequal = disparities(group_metrics([0, 0, 0], [0, 0, 0], ["a", "b", "b"]))
    assert math.isnan(unequal["tpr_ratio"])
    assert math.isnan(unequal["tpr_diff"])
    assert unequal.undefined["precision"] == ("a", "b")
    # Selected in no group: the ratio of zeros is undefined, the difference is not.
    assert math.isnan(unequal["selection_rate_ratio"])
    assert unequal["selection_rate_diff"] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(fairlearn.demographic_parity_ratio([0, 0, 0], [0, 0, 0], sensitive_features=["a", "b", "b"]))


@pytest.mark.parametrize(
    "groups",
    [
        ["a", None, "b", None],
        np.array(["a", None, "b", None], dtype=object),
        pd.Series(["a", None, "b", np.nan]),
        pd.Series(["a", pd.NA, "b", pd.NA], dtype="string"),
        pd.Series(["a", None, "b", None], dtype="category"),
        pa.array(["a", None, "b", None]),
        pa.array(["a", None, "b", None]).dictionary_encode(),
        pa.chunked_array([["a", None], ["b", None]]),
    ],
    ids=lambda groups: f"{type(groups).__name__} {getattr(groups, 'dtype', getattr(groups, 'type', ''))}",
)
def test_rows_without_a_group_are_a_group_of_their_own(groups: Any) -> None:
    found = group_metrics([1, 0, 1, 0], [True, False, False, True], groups)
    assert list(found) == ["a", "b", None]
    assert found[None]["rows"] == 2
    assert found[None]["fpr"] == 0.5


def test_whole_numbers_with_gaps_keep_their_names() -> None:
    assert list(group_metrics([1, 0, 1], [1, 0, 1], pd.Series([2, None, 1]))) == [1, 2, None]
    assert list(group_metrics([1, 0, 1], [1, 0, 1], pd.Series([2, None, 1], dtype="Int64"))) == [1, 2, None]
    assert list(group_metrics([1, 0], [1, 0], [None, None])) == [None]
    assert list(group_metrics([1, 0, 1], [1, 0, 1], [True, None, False])) == [False, True, None]
    assert list(group_metrics([1, 0], [1, 0], ["", "a"])) == ["", "a"]


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 1],
        [False, True, True],
        [0.0, 1.0, 1.0],
        np.array([0, 1, 1], dtype=np.int8),
        np.array([False, True, True]),
        np.array([0, 1, 1], dtype=object),
        pd.Series([0, 1, 1], index=[9, 8, 7]),
        pd.Series([False, True, True], dtype="boolean"),
        pa.array([0, 1, 1]),
        pa.array([False, True, True]),
        pa.chunked_array([[False], [True, True]]),
        (0, 1, 1),
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', getattr(values, 'type', ''))}",
)
def test_outcomes_and_predictions_of_every_kind_are_read_alike(values: Any) -> None:
    (of_group,) = group_metrics(values, values, ["a"] * 3).values()
    assert (of_group["rows"], of_group["events"], of_group["tpr"], of_group["tnr"]) == (3, 2, 1, 1)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "groups", "expected"),
    [
        ([1, 0], [1], ["a", "b"], "got 2, 1 and 2"),
        ([1, 0], [1, 0], ["a"], "got 2, 2 and 1"),
        ([], [], [], "at least one row"),
        ([1, None], [1, 0], ["a", "b"], "got none in 1 rows - at `y_true`"),
        ([1, 0], [1, math.nan], ["a", "b"], "got none in 1 rows - at `y_pred`"),
        ([1, 0, 0], [0, 0.3, 0.75], ["a", "b", "b"], "in 2 rows, the first at row 1"),
        ([1, 2], [1, 0], ["a", "b"], "in 1 rows, the first at row 1"),
        (["default", "paid"], [1, 0], ["a", "b"], "got string - at `y_true`"),
        ([1, 0], [1, 0], [0.5, 1.0], "got fractions - at `groups`"),
        ([1, 0], [1, 0], [("a", 1), ("b", 2)], "at `groups`"),
        ([1, 0], [1, 0], ["secret", 1], "at `groups`"),
        ([1, 0], [1, 0], np.array([["a"], ["b"]]), "at `groups`"),
        ([1, 0], [1, 0], np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), "at `groups`"),
        (1, 0, "a", "at `y_true`"),
    ],
)
def test_what_cannot_be_counted_is_refused(y_true: Any, y_pred: Any, groups: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as refused:
        group_metrics(y_true, y_pred, groups)
    assert not any(value in str(refused.value) for value in ("0.75", "default'", "secret"))


def test_no_groups_have_no_disparities() -> None:
    with pytest.raises(ValueError, match="at least one group"):
        disparities({})


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))), min_size=1
    )
)
def test_no_row_is_lost_and_shares_complement_each_other(rows: list[tuple[bool, bool, str | None]]) -> None:
    y_true, y_pred, groups = zip(*rows, strict=True)
    found = group_metrics(y_true, y_pred, groups)
    assert sum(of_group["rows"] for of_group in found.values()) == len(rows)
    assert sum(of_group["events"] for of_group in found.values()) == sum(y_true)
    for of_group in map(dict[str, Any], found.values()):
        for one, other in (("tpr", "fnr"), ("fpr", "tnr")):
            assert math.isnan(of_group[one]) == math.isnan(of_group[other])
            assert math.isnan(of_group[one]) or of_group[one] + of_group[other] == pytest.approx(1, abs=1e-12)
    unequal = disparities(found)
    assert all(math.isnan(value) or 0 <= value <= 1 for value in unequal.values())
    # Order of the rows does not matter.
    assert disparities(group_metrics(y_true[::-1], y_pred[::-1], groups[::-1])) == pytest.approx(unequal, nan_ok=True)
