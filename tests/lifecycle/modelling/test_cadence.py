"""Windows in weeks and months: whole periods, with at least the waiting time between them."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.modelling.splits import judged_end, longest_span_days, out_of_time_split, training_window
from lifecycle.spec.cadence import period_start
from lifecycle.spec.examples import Cadence
from lifecycle.spec.training import SearchSpec, TrainingSpec

DAY = dt.timedelta(days=1)


def training(train: int, validation: int, holdout: int, folds: int = 1, step: int = 1) -> TrainingSpec:
    return TrainingSpec(
        train=train, validation=validation, holdout=holdout, validation_folds=folds, fold_step=step,
        search=SearchSpec(trials=1),
    )  # fmt: skip


def test_windows_of_a_monthly_model_are_calendar_months() -> None:
    spec = training(train=12, validation=2, holdout=3)
    months = [np.datetime64(f"{year}-{month:02d}-01", "us") for year in (2023, 2024, 2025) for month in range(1, 13)]
    split = out_of_time_split(np.array(months), dt.date(2025, 12, 15), spec, 40, cadence="monthly")
    windows = {
        "train": split.folds[0].train, "validation": split.folds[0].validation, "judged": split.judged,
        "holdout": split.holdout, "refit": split.refit,
    }  # fmt: skip
    assert {name: (str(window.start), str(window.end)) for name, window in windows.items()} == {
        # Known by 15 December, 40 days after it happened: up to the end of October.
        "holdout": ("2025-08-01", "2025-11-01"),
        "refit": ("2024-11-01", "2025-11-01"),
        "judged": ("2024-06-01", "2025-06-01"),
        "validation": ("2025-04-01", "2025-06-01"),
        "train": ("2024-02-01", "2025-02-01"),
    }
    assert [len(window.rows) for window in windows.values()] == [12, 2, 12, 3, 12]
    assert len(split.recent.rows) == 1


@given(
    st.sampled_from(["event", "daily", "weekly", "monthly"]),
    st.dates(dt.date(2010, 1, 1), dt.date(2040, 1, 1)),
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 90),
)
def test_every_window_is_of_whole_periods_and_mature_when_it_is_read(
    cadence: Cadence, as_of: dt.date, train: int, validation: int, folds: int, maturity_days: int
) -> None:
    spec = training(train, validation, 2, folds, 2)
    start, _ = training_window(as_of, spec, maturity_days, cadence)
    days = np.arange(np.datetime64(start - 40 * DAY), np.datetime64(as_of)).astype("datetime64[us]")
    split = out_of_time_split(days, as_of, spec, maturity_days, cadence=cadence)
    windows = [split.judged, split.holdout, split.refit]
    windows += [window for fold in split.folds for window in (fold.train, fold.validation)]
    for window in windows:
        assert period_start(window.start, cadence) == window.start < window.end == period_start(window.end, cadence)
        assert window.end + maturity_days * DAY <= window.known_at <= as_of
    assert min(window.start for window in windows) == start
    assert split.judged.end == judged_end(as_of, spec, maturity_days, cadence)
    assert (as_of - start).days <= longest_span_days(spec, maturity_days, cadence)


@pytest.mark.parametrize("cadence", ["event", "daily"])
def test_days_are_counted_as_before(cadence: Cadence) -> None:
    spec = training(28, 7, 7, folds=4, step=7)
    assert training_window(dt.date(2018, 8, 29), spec, 7, cadence) == (dt.date(2018, 6, 6), dt.date(2018, 8, 22))
    assert longest_span_days(spec, 7, cadence) == (dt.date(2018, 8, 29) - dt.date(2018, 6, 6)).days
