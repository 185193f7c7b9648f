"""Out-of-time windows of a training set, counted back from ``as_of``, with a gap for the labels' delay between them.

A training set also holds the days between its windows and ``as_of``. Their labels are not mature and never used; the
decision bands are cut on the scores of the last of them.
"""

import datetime as dt
from dataclasses import dataclass
from functools import partial

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.spec.cadence import LONGEST_PERIOD_DAYS, RECENT_DAYS, period_start, periods_before
from lifecycle.spec.examples import Cadence
from lifecycle.spec.training import TrainingSpec
from lifecycle.tables.arrays import IntArray, TimeArray, date_of, day_numbers, instant


@dataclass(frozen=True)
class Window:
    """The examples of ``[start, end)`` with their labels as known before `known_at`.

    `rows` are positions in the training set, ascending; `unknown` examples are left out, since their outcome is not
    known.
    """

    start: dt.date
    end: dt.date
    known_at: dt.date
    rows: IntArray
    unknown: int = 0

    def dates(self) -> dict[str, str]:
        """The window's dates, for evidence."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat(), "known_at": self.known_at.isoformat()}


@dataclass(frozen=True)
class Fold:
    """A training window and the validation window that follows after the gap."""

    train: Window
    validation: Window


@dataclass(frozen=True)
class Split:
    """Every window of one training: `folds` select, `judged` is fitted and judged on `holdout`, `refit` is released.

    `recent` are the last days before ``as_of``, for the decision bands; their labels are not mature.

    Labels are point-in-time for each window: a training window knows what was reported before the window it is
    validated on starts; the validation windows and `judged` know what was reported before the holdout starts, as the
    whole procedure would have on that day; only `holdout` and `refit` use what is known at ``as_of``.
    """

    folds: tuple[Fold, ...]
    judged: Window
    holdout: Window
    refit: Window
    recent: Window


def snapshot_days(
    as_of: dt.date, training: TrainingSpec, maturity_days: int, cadence: Cadence = "event"
) -> tuple[dt.date, dt.date]:
    """First day and end (exclusive) of a training set: its windows, and the days from them to `as_of`."""
    return training_window(as_of, training, maturity_days, cadence)[0], as_of


def training_window(
    as_of: dt.date, training: TrainingSpec, maturity_days: int, cadence: Cadence = "event"
) -> tuple[dt.date, dt.date]:
    """First day and end (exclusive) of the examples that a training at `as_of` needs.

    Examples
    --------
    >>> from lifecycle.spec.training import SearchSpec
    >>> training = TrainingSpec(train=7, validation=7, holdout=7, search=SearchSpec(trials=1))
    >>> [str(date) for date in training_window(dt.date(2018, 8, 29), training, maturity_days=7)]
    ['2018-07-18', '2018-08-22']
    """
    dates = _Dates(as_of, training, maturity_days, cadence)
    return dates.train_start(dates.validation(training.validation_folds - 1)[0]), dates.end


def judged_end(as_of: dt.date, training: TrainingSpec, maturity_days: int, cadence: Cadence = "event") -> dt.date:
    """End (exclusive) of the days the judged model of a training at `as_of` is fitted on: a gap before the holdout.

    Examples
    --------
    >>> from lifecycle.spec.training import SearchSpec
    >>> training = TrainingSpec(train=7, validation=7, holdout=7, search=SearchSpec(trials=1))
    >>> str(judged_end(dt.date(2018, 8, 29), training, maturity_days=7))
    '2018-08-08'
    """
    dates = _Dates(as_of, training, maturity_days, cadence)
    return dates.known_before(dates.holdout_start)


def holdout_days(
    as_of: dt.date, training: TrainingSpec, maturity_days: int, cadence: Cadence = "event"
) -> tuple[dt.date, dt.date]:
    """First day and end (exclusive) of the holdout of a training at `as_of`."""
    dates = _Dates(as_of, training, maturity_days, cadence)
    return dates.holdout_start, dates.end


def longest_span_days(training: TrainingSpec, maturity_days: int, cadence: Cadence = "event") -> int:
    """Days from the first training example to ``as_of``, or more: months differ in length."""
    folds = (training.validation_folds - 1) * training.fold_step
    periods = training.train + training.validation + folds + training.holdout
    longest = LONGEST_PERIOD_DAYS[cadence]
    return periods * longest + 3 * (maturity_days + longest - 1)


@dataclass(frozen=True)
class _Dates:
    """Where the windows of a training begin and end; every window consists of whole periods."""

    as_of: dt.date
    training: TrainingSpec
    maturity_days: int
    cadence: Cadence

    def known_before(self, day: dt.date) -> dt.date:
        """End of the last period whose outcomes are mature on a day."""
        return period_start(day - dt.timedelta(days=self.maturity_days), self.cadence)

    def before(self, day: dt.date, periods: int) -> dt.date:
        """The day so many periods earlier."""
        return periods_before(day, periods, self.cadence)

    @property
    def end(self) -> dt.date:
        """End of the holdout."""
        return self.known_before(self.as_of)

    @property
    def holdout_start(self) -> dt.date:
        """Start of the holdout."""
        return self.before(self.end, self.training.holdout)

    def validation(self, fold: int) -> tuple[dt.date, dt.date]:
        """Start and end of the validation window of a fold, counted back from the holdout."""
        end = self.before(self.known_before(self.holdout_start), fold * self.training.fold_step)
        return self.before(end, self.training.validation), end

    def train_start(self, validation_start: dt.date) -> dt.date:
        """Start of the training window before a validation window."""
        return self.before(self.known_before(validation_start), self.training.train)


def out_of_time_split(
    occurred_at: TimeArray,
    as_of: dt.date,
    training: TrainingSpec,
    maturity_days: int,
    outcome_known_at: TimeArray | None = None,
    cadence: Cadence = "event",
) -> Split:
    """Cut a training set into its windows.

    Parameters
    ----------
    occurred_at
        Shape ``(n,)``, in any order.
    as_of
        The knowledge cut-off.
    training, maturity_days
        Lengths of the windows in periods of the `cadence`; the gap between two windows is `maturity_days`, and what is
        missing to a whole period.
    outcome_known_at
        When each example's outcome became known, ``NaT`` if it did not, shape ``(n,)``. ``None`` if waiting is enough,
        as with labels by report.

    Raises
    ------
    LifecycleError
        If a window lies before the first example's day (the message says from which `as_of` it is possible), or holds
        no example.
    """
    dates = _Dates(as_of, training, maturity_days, cadence)
    _require_history(occurred_at, training_window(as_of, training, maturity_days, cadence)[0], as_of)
    window = partial(_window, occurred_at, outcome_known_at)
    holdout_start, end = dates.holdout_start, dates.end
    folds = []
    for number in range(training.validation_folds):
        validation_start, validation_end = dates.validation(number)
        learned = window(dates.train_start(validation_start), dates.known_before(validation_start), validation_start)
        folds.append(Fold(learned, window(validation_start, validation_end, holdout_start)))
    judged_end = dates.known_before(holdout_start)
    return Split(
        folds=tuple(folds),
        judged=window(dates.before(judged_end, training.train), judged_end, holdout_start),
        holdout=window(holdout_start, end, as_of),
        refit=window(dates.before(end, training.train), end, as_of),
        recent=_window(occurred_at, None, as_of - dt.timedelta(days=RECENT_DAYS[cadence]), as_of, as_of),
    )


def _window(
    occurred_at: TimeArray, outcome_known_at: TimeArray | None, start: dt.date, end: dt.date, known_at: dt.date
) -> Window:
    inside = (occurred_at >= instant(start)) & (occurred_at < instant(end))
    is_known = np.ones(len(inside), dtype=np.bool_)
    if outcome_known_at is not None:
        is_known = ~np.isnat(outcome_known_at) & (outcome_known_at < instant(known_at))
    rows, unknown = np.flatnonzero(inside & is_known), int((inside & ~is_known).sum())
    if not rows.size:
        left_out = f" ({unknown} have no known outcome)" if unknown else ""
        raise LifecycleError(
            f"Expected examples in the window [{start}, {end}), got none{left_out}; materialise the training set again "
            "- at the training set"
        )
    return Window(start, end, known_at, rows.astype(np.int64), unknown)


def _require_history(occurred_at: TimeArray, start: dt.date, as_of: dt.date) -> None:
    if not len(occurred_at):
        raise LifecycleError(f"Expected examples from {start} on for as_of {as_of}, got none - at the training set")
    first_day = date_of(occurred_at.min())
    if first_day > start:
        possible = as_of + (first_day - start)
        raise LifecycleError(
            f"Expected examples from {start} on for as_of {as_of}, the first is of {first_day}; "
            f"the windows are possible from as_of {possible} on - at `training`"
        )


def whole_weeks(window: Window, occurred_at: TimeArray) -> Window:
    """The last whole weeks of a window, or the window itself if it is shorter than one."""
    weeks = (window.end - window.start).days // 7
    if not weeks:
        return window
    start = window.end - dt.timedelta(days=7 * weeks)
    rows = window.rows[occurred_at[window.rows] >= instant(start)]
    return Window(start, window.end, window.known_at, rows, window.unknown)


def weeks_or_days(window: Window, occurred_at: TimeArray) -> IntArray:
    """Number of the week of each of a window's rows; of the day, if the window is shorter than two weeks."""
    length = 7 if (window.end - window.start).days >= 14 else 1
    numbers: IntArray = (day_numbers(occurred_at[window.rows]) - day_numbers(np.array(instant(window.start)))) // length
    return numbers
