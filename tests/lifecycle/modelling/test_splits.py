import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import LifecycleError
from lifecycle.modelling.splits import Window, out_of_time_split, training_window, whole_weeks
from lifecycle.spec.training import SearchSpec, TrainingSpec
from lifecycle.tables.arrays import TimeArray, day_numbers, instant

AS_OF = dt.date(2018, 8, 29)


def training(**overrides: Any) -> TrainingSpec:
    return TrainingSpec.model_validate(
        {"train": 7, "validation": 7, "holdout": 7, "search": SearchSpec(trials=1), **overrides}
    )


def daily(first: dt.date, last: dt.date) -> TimeArray:
    """One example at the start of each day, and one in its last microsecond."""
    days = np.arange(instant(first), instant(last), np.timedelta64(1, "D"))
    return np.sort(np.concatenate([days, days + np.timedelta64(86_400_000_000 - 1, "us")]))


def test_the_windows_lie_as_the_specification_says() -> None:
    split = out_of_time_split(daily(dt.date(2018, 6, 1), AS_OF), AS_OF, training(validation_folds=2), 7)
    assert [window.dates() for window in (split.judged, split.holdout, split.refit)] == [
        {"start": "2018-08-01", "end": "2018-08-08", "known_at": "2018-08-15"},
        {"start": "2018-08-15", "end": "2018-08-22", "known_at": "2018-08-29"},
        {"start": "2018-08-15", "end": "2018-08-22", "known_at": "2018-08-29"},
    ]
    assert (split.recent.start, split.recent.end) == (dt.date(2018, 8, 22), AS_OF)
    assert len(split.recent.rows) == 14
    assert [(fold.train.dates(), fold.validation.dates()) for fold in split.folds] == [
        (
            {"start": "2018-07-18", "end": "2018-07-25", "known_at": "2018-08-01"},
            {"start": "2018-08-01", "end": "2018-08-08", "known_at": "2018-08-15"},
        ),
        (
            {"start": "2018-07-11", "end": "2018-07-18", "known_at": "2018-07-25"},
            {"start": "2018-07-25", "end": "2018-08-01", "known_at": "2018-08-15"},
        ),
    ]


@given(
    train=st.integers(7, 30),
    validation=st.integers(1, 9),
    folds=st.integers(1, 4),
    step=st.integers(1, 9),
    holdout=st.integers(1, 7),
    maturity=st.integers(1, 10),
)
def test_no_window_reaches_into_what_it_is_judged_on(
    train: int, validation: int, folds: int, step: int, holdout: int, maturity: int
) -> None:
    recipe = training(train=train, validation=validation, validation_folds=folds, fold_step=step, holdout=holdout)
    start, end = training_window(AS_OF, recipe, maturity)
    occurred = daily(start, AS_OF)
    split = out_of_time_split(occurred, AS_OF, recipe, maturity)
    gap = dt.timedelta(days=maturity)
    assert min(fold.train.start for fold in split.folds) == start
    assert split.holdout.end == split.refit.end == end == AS_OF - gap
    assert split.judged.end + gap == split.holdout.start == split.judged.known_at
    for fold in split.folds:
        assert fold.train.end + gap == fold.validation.start == fold.train.known_at
        assert fold.validation.end + gap <= split.holdout.start
        assert fold.validation.known_at == split.holdout.start
    for window in (
        split.judged,
        split.holdout,
        split.refit,
        *(w for f in split.folds for w in (f.train, f.validation)),
    ):
        assert occurred[window.rows].min() == instant(window.start)
        assert len(window.rows) == 2 * (window.end - window.start).days
        assert window.end + gap <= window.known_at


def test_an_impossible_window_says_from_when_it_is_possible() -> None:
    recipe = training()
    first = training_window(AS_OF, recipe, 7)[0]
    occurred = daily(first + dt.timedelta(days=3), AS_OF + dt.timedelta(days=30))
    with pytest.raises(LifecycleError, match=r"the windows are possible from as_of 2018-09-01 on - at `training`"):
        out_of_time_split(occurred, AS_OF, recipe, 7)
    assert out_of_time_split(occurred, dt.date(2018, 9, 1), recipe, 7).holdout.end == dt.date(2018, 8, 25)


def test_a_window_without_examples_is_named() -> None:
    occurred = daily(dt.date(2018, 6, 1), dt.date(2018, 8, 14))
    with pytest.raises(LifecycleError, match=r"in the window \[2018-08-15, 2018-08-22\), got none"):
        out_of_time_split(occurred, AS_OF, training(), 7)
    with pytest.raises(LifecycleError, match="Expected examples from 2018-07-18 on"):
        out_of_time_split(occurred[:0], AS_OF, training(), 7)


def test_whole_weeks_are_the_last_ones_of_a_window() -> None:
    occurred = daily(dt.date(2018, 8, 1), dt.date(2018, 8, 18))
    window = Window(dt.date(2018, 8, 1), dt.date(2018, 8, 18), AS_OF, np.arange(len(occurred)))
    weeks = whole_weeks(window, occurred)
    assert (weeks.start, weeks.end) == (dt.date(2018, 8, 4), dt.date(2018, 8, 18))
    assert len(np.unique(day_numbers(occurred[weeks.rows]))) == 14
    short = Window(dt.date(2018, 8, 13), dt.date(2018, 8, 18), AS_OF, np.arange(3))
    assert whole_weeks(short, occurred) is short
