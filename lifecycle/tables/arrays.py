"""Array types of the pure packages, and conversions of days."""

import datetime as dt
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TimeArray = npt.NDArray[np.datetime64]

MICROSECOND = "datetime64[us]"


def instant(date: dt.date) -> np.datetime64:
    """Midnight UTC at the start of `date`: what ``as_of`` means.

    Examples
    --------
    >>> str(instant(dt.date(2018, 8, 1)))
    '2018-08-01T00:00:00.000000'
    """
    return np.datetime64(date.isoformat(), "us")


def days(count: int) -> np.timedelta64:
    """`count` days as a duration."""
    return np.timedelta64(count, "D")


def day_numbers(occurred_at: TimeArray) -> IntArray:
    """Days since 1970-01-01 (UTC) of each instant, shape ``(n,)``."""
    return occurred_at.astype("datetime64[D]").astype(np.int64)


def date_of(moment: np.datetime64) -> dt.date:
    """The UTC day of `moment`."""
    return dt.date.fromisoformat(str(moment.astype("datetime64[D]")))
