"""The part of a model's file that checks the raw input before a training set is frozen."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle.spec.base import Sentence, Share, SpecModel

CalendarDay = Annotated[str, Field(pattern=r"^(\d{4}-)?(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
"""``2026-05-01``, or ``12-25`` for every year."""


class CalendarSpec(SpecModel):
    """Days on which fewer transactions are normal; none of them is a reference for other days."""

    holidays: tuple[CalendarDay, ...] = ()
    """Days with any number of transactions but none."""
    closed: tuple[CalendarDay, ...] = ()
    """Days that may be without transactions."""
    closed_weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    """Days of the week that may be without transactions."""


class InputSpec(SpecModel):
    """Checks of the raw input before a training set is frozen."""

    maximum_age_hours: Annotated[int, Field(ge=1)] = 30
    """Maximum age of the newest example at `as_of`; closed and acknowledged days before it do not count. By default 30
    hours, with a weekly or monthly cadence after the end of the period."""
    minimum_volume_share: Share = 0.5
    """Minimum share of the transactions that a day of the training set usually has: the median of the same weekday in
    the weeks before, so that weekends and growth raise no alarm."""
    calendar: CalendarSpec = CalendarSpec()
    switched_off: dict[Literal["input_freshness", "input_volume", "mart_complete"], Sentence] = Field(default={})
    """Checks that do not stop a training, each with the reason, which the verdict repeats."""
