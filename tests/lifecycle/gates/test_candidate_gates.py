import datetime as dt
from typing import Any

import numpy as np
import pytest

from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.candidate_gates.above_floor import above_floor
from lifecycle.gates.candidate_gates.beats_baseline import beats_baseline
from lifecycle.gates.candidate_gates.enough_evidence import Evidence, enough_evidence
from lifecycle.gates.candidate_gates.no_leaking_feature import no_leaking_feature
from lifecycle.gates.candidate_gates.not_worse_than_champion import not_worse_than_champion
from lifecycle.gates.candidate_gates.point_in_time import point_in_time
from lifecycle.gates.comparison import ChampionComparison, unseen_days
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import WindowCount
from lifecycle.spec.gates import GatesSpec
from lifecycle.spec.training import SearchSpec, TrainingSpec

GATES_SPEC = GatesSpec(minimum_rows=1000, minimum_positives=50)
TRAINING = TrainingSpec(train=7, validation=7, holdout=7, search=SearchSpec(trials=1))
AS_OF = dt.date(2018, 8, 29)
WINDOWS = (
    WindowCount("judged", "2018-08-01", "2018-08-08", "2018-08-15", 168, 16),
    WindowCount("holdout", "2018-08-15", "2018-08-22", "2018-08-29", 168, 16),
)


@pytest.mark.parametrize(
    ("rows", "positives", "holdout_positives", "is_passed", "summary"),
    [
        (1000, 50, 50, True, "50 positive examples to fit on, 50 in the holdout"),
        (999, 50, 50, False, "999 rows to fit on, below 1000"),
        (1000, 49, 50, False, "49 positive examples to fit on, below 50"),
        (1000, 50, 49, False, "49 positive examples in the holdout, below 50"),
        (
            0,
            0,
            0,
            False,
            "0 rows to fit on, below 1000; 0 positive examples to fit on, below 50; 0 positive examples in the holdout",
        ),
    ],
)
def test_enough_evidence(rows: int, positives: int, holdout_positives: int, is_passed: bool, summary: str) -> None:
    verdict = enough_evidence(Evidence(rows, positives), Evidence(500, holdout_positives), GATES_SPEC)
    assert (verdict.gate, verdict.is_passed) == (GATES[0], is_passed)
    assert verdict.summary.startswith(summary)


def examples(**changes: dict[int, Any]) -> Examples:
    """One example an hour over [2018-07-18, 2018-08-29), every tenth of the windows reported a week later."""
    occurred = np.arange(
        np.datetime64("2018-07-18T00", "us"), np.datetime64("2018-08-29T00", "us"), np.timedelta64(1, "h")
    )
    reported = np.full(len(occurred), np.datetime64("NaT", "us"))
    reported[:840:10] = occurred[:840:10] + np.timedelta64(7, "D")
    ids = np.arange(len(occurred))
    columns: dict[str, Any] = {"occurred_at": occurred, "known_at": reported, "id": ids}
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    ones = np.ones(len(ids))
    return Examples(entity=ids, amount=ones, features=ones[:, None], feature_names=("amount",), **columns)


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "us")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"known_at": {5: moment("2018-08-28T23:59:59")}}, None),
        ({"known_at": {5: moment("2018-08-29")}}, "1 rows known at or after as of"),
        ({"known_at": {5: moment("2018-07-01"), 6: moment("2018-07-01")}}, "2 rows known before it happened"),
        ({"occurred_at": {0: moment("2018-07-17T23:59:59")}}, "1 rows outside the windows"),
        ({"occurred_at": {1: moment("2018-08-29")}}, "1 rows outside the windows"),
        ({"id": {3: 4}}, "1 rows repeated"),
    ],
)
def test_point_in_time(changes: dict[str, dict[int, Any]], fault: str | None) -> None:
    verdict = point_in_time(examples(**changes), WINDOWS, AS_OF, TRAINING, 7)
    assert verdict.is_passed == (fault is None)
    assert verdict.summary == (fault or "1008 examples, all known before 2018-08-29")


@pytest.mark.parametrize(
    ("end", "known_at", "is_passed"),
    [
        ("2018-08-22", "2018-08-29", True),
        ("2018-08-23", "2018-08-29", False),
        ("2018-08-22", "2018-08-30", False),
        ("2018-08-22", "2018-08-28", False),
    ],
)
def test_a_window_whose_labels_were_not_mature_is_not_point_in_time(end: str, known_at: str, is_passed: bool) -> None:
    windows = [*WINDOWS, WindowCount("refit", "2018-08-15", end, known_at, 168, 16)]
    verdict = point_in_time(examples(), windows, AS_OF, TRAINING, 7)
    assert verdict.is_passed == is_passed
    assert ("1 windows not mature" in verdict.summary) != is_passed


def test_an_empty_training_set_is_not_point_in_time() -> None:
    nothing = examples().rows(np.zeros(1008, dtype=np.bool_))
    assert not point_in_time(nothing, WINDOWS, AS_OF, TRAINING, 7).is_passed


def difference(value: float, low: float, high: float) -> dict[str, Interval]:
    return {"average_precision": Interval(value, low, high), "roc_auc": Interval(-1, -1, -1)}


@pytest.mark.parametrize(
    ("low", "is_passed"), [(0.01, True), (1e-9, True), (0.0, False), (-0.01, False), (float("nan"), False)]
)
def test_a_candidate_beats_the_baseline_when_the_whole_interval_is_above_zero(low: float, is_passed: bool) -> None:
    verdict = beats_baseline(difference(0.02, low, 0.05), GATES_SPEC)
    assert verdict.is_passed == is_passed
    assert ("not clearly above" in verdict.summary) != is_passed
    assert verdict.required["metric"] == "average_precision"


def test_the_gates_metric_is_the_specifications() -> None:
    assert not beats_baseline(
        difference(0.02, 0.01, 0.05), GatesSpec(minimum_rows=1, minimum_positives=1, metric="roc_auc")
    ).is_passed


def comparison(positives: int, interval: dict[str, Interval] | None) -> ChampionComparison:
    return ChampionComparison(
        champion_digest="champion",
        champion_trained_until=dt.date(2018, 8, 17),
        unseen_start=dt.date(2018, 8, 17),
        unseen_end=dt.date(2018, 8, 22),
        rows=40_000,
        positives=positives,
        difference=interval,
    )


@pytest.mark.parametrize(
    ("champion", "compared", "is_passed", "summary"),
    [
        (None, None, True, "there is no champion to compare with"),
        ("candidate", None, True, "the candidate is the champion, byte for byte"),
        ("champion", None, False, "not enough evidence: the champion was fitted on all days of the holdout"),
        ("champion", comparison(49, difference(0.1, 0.05, 0.2)), False, "from as_of 2018-08-31 on"),
        ("champion", comparison(50, None), False, "not enough evidence"),
        ("champion", comparison(50, difference(0.1, 0.05, 0.2)), True, "not below the champion's: +0.1000"),
        ("champion", comparison(50, difference(-0.01, -0.03, 0.01)), True, "[-0.0300, +0.0100]"),
        ("champion", comparison(50, difference(-0.01, -0.03, 0.0)), True, "not below"),
        ("champion", comparison(50, difference(-0.02, -0.03, -0.001)), False, "average_precision below the champion's"),
        ("champion", comparison(50, difference(0.1, float("nan"), float("nan"))), False, "not comparable with the"),
    ],
)
def test_not_worse_than_champion(
    champion: str | None, compared: ChampionComparison | None, is_passed: bool, summary: str
) -> None:
    verdict = not_worse_than_champion("candidate", champion, compared, GATES_SPEC, TRAINING, 7)
    assert verdict.is_passed == is_passed
    assert summary in verdict.summary


@pytest.mark.parametrize(
    ("trained_until", "unseen"),
    [
        (dt.date(2018, 8, 1), (dt.date(2018, 8, 15), dt.date(2018, 8, 22))),
        (dt.date(2018, 8, 15), (dt.date(2018, 8, 15), dt.date(2018, 8, 22))),
        (dt.date(2018, 8, 17), (dt.date(2018, 8, 17), dt.date(2018, 8, 22))),
        (dt.date(2018, 8, 22), None),
        (dt.date(2018, 9, 1), None),
    ],
)
def test_only_days_that_the_champion_was_not_fitted_on_are_compared(
    trained_until: dt.date, unseen: tuple[dt.date, dt.date] | None
) -> None:
    assert unseen_days(dt.date(2018, 8, 15), dt.date(2018, 8, 22), trained_until) == unseen


@pytest.mark.parametrize(("floor", "value", "is_passed"), [(None, 0.1, True), (0.7, 0.7, True), (0.7, 0.6999, False)])
def test_a_floor_is_the_least_that_is_accepted(floor: float | None, value: float, is_passed: bool) -> None:
    gates = GatesSpec(minimum_rows=1, minimum_positives=1, metric="roc_auc", floor=floor)
    verdict = above_floor({"roc_auc": Interval(value, value - 0.1, value + 0.1)}, gates)
    assert verdict.is_passed is is_passed
    assert verdict.required == {"metric": "roc_auc", "floor": floor}


@pytest.mark.parametrize(
    ("auc", "is_passed", "summary"),
    [
        ({"age": 0.62, "bill": 0.94}, True, "the best single feature is bill with an ROC AUC of 0.940"),
        ({"age": 0.62, "bill": 0.951, "paid": 0.97}, False, "above 0.95: paid 0.970, bill 0.951; see whether"),
    ],
)
def test_a_feature_that_is_too_good_is_a_leak(auc: dict[str, float], is_passed: bool, summary: str) -> None:
    verdict = no_leaking_feature(auc, GATES_SPEC)
    assert verdict.is_passed is is_passed
    assert summary in verdict.summary
