"""The gates of the raw input, run before a training set is frozen: fresh, and complete."""

import datetime as dt
import statistics
from collections.abc import Mapping

from lifecycle.spec.risk_model import InputSpec
from serving.contract.documents import Verdict

FRESHNESS = "input_freshness"
VOLUME = "input_volume"
MART_COMPLETE = "mart_complete"
NAMED_DAYS = 5


def freshness(newest_at: dt.datetime | None, as_of: dt.date, spec: InputSpec) -> Verdict:
    """The newest transaction before `as_of` is no older than the specification allows.

    Parameters
    ----------
    newest_at
        `occurred_at` of the newest raw transaction before `as_of`, UTC without a time zone; ``None`` without one.
    """
    required = {"maximum_age_hours": spec.maximum_age_hours}
    if newest_at is None:
        return Verdict(
            gate=FRESHNESS, is_passed=False, summary=f"no transaction before {as_of}", observed={}, required=required
        )
    hours = (dt.datetime.combine(as_of, dt.time()) - newest_at).total_seconds() / 3600
    is_passed = hours <= spec.maximum_age_hours
    return Verdict(
        gate=FRESHNESS,
        is_passed=is_passed,
        summary=f"the newest transaction is {hours:.1f} h older than {as_of}"
        + ("" if is_passed else f", more than {spec.maximum_age_hours} h"),
        observed={"newest_at": newest_at.isoformat(), "age_hours": hours},
        required=required,
    )


def volume(daily_counts: Mapping[dt.date, int], start: dt.date, end: dt.date, spec: InputSpec) -> Verdict:
    """Every day of ``[start, end)`` has its share of the median day's transactions: no missing and no half days.

    `daily_counts` are raw transactions by day of `occurred_at`; an absent day counts as 0.
    """
    dates = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
    counts = [daily_counts.get(date, 0) for date in dates]
    median = statistics.median(counts) if counts else 0
    least = spec.minimum_volume_share * median
    short = [(date, count) for date, count in zip(dates, counts, strict=True) if count < max(least, 1)]
    listed = ", ".join(f"{date}: {count}" for date, count in short[:NAMED_DAYS])
    return Verdict(
        gate=VOLUME,
        is_passed=bool(dates) and not short,
        summary=f"{len(short)} of {len(dates)} days below {least:.0f} transactions ({listed})"
        if short or not dates
        else f"{len(dates)} days, each at least {least:.0f} transactions",
        observed={"days": len(dates), "median": median, "short_days": [date.isoformat() for date, _ in short]},
        required={
            "minimum_volume_share": spec.minimum_volume_share,
            "start": start.isoformat(),
            "end": end.isoformat(),
        },
    )


def mart_complete(daily_rows: Mapping[dt.date, tuple[int, int]], mart: str) -> Verdict:
    """The mart has as many rows as the raw data on every day; `daily_rows` are raw and mart rows by day."""
    behind = [day for day, (raw_rows, mart_rows) in daily_rows.items() if raw_rows != mart_rows]
    return Verdict(
        gate=MART_COMPLETE,
        is_passed=not behind,
        summary=f"{len(behind)} of {len(daily_rows)} days of {mart} differ from the raw data in rows, from "
        f"{min(behind)} to {max(behind)}; materialise the features of these days"
        if behind
        else f"all {len(daily_rows)} days of {mart} have the rows of the raw data",
        observed={"days_behind": len(behind)},
        required={"days_behind": 0},
    )
