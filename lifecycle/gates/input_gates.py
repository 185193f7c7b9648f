"""The gates of the raw input, run before a training set is frozen: fresh, and complete."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import msgspec

from lifecycle.gates.outcomes import outcome_of
from lifecycle.gates.usual_volume import JudgedDay, empty_days_before, judged_days, judged_periods
from lifecycle.spec.cadence import EVERY_DAY, PERIOD_WORDS, whole_periods
from lifecycle.spec.examples import Cadence
from lifecycle.spec.input_checks import InputSpec
from serving.contract.documents import Verdict

FRESHNESS = "input_freshness"
VOLUME = "input_volume"
MART_COMPLETE = "mart_complete"
NAMED_DAYS = 5


def freshness(
    newest_at: dt.datetime | None, as_of: dt.date, spec: InputSpec, acknowledged: Collection[dt.date] = ()
) -> Verdict:
    """The newest transaction before `as_of` is no older than the specification allows; INCONCLUSIVE without one.

    Parameters
    ----------
    newest_at
        `occurred_at` of the newest raw transaction before `as_of`, UTC without a time zone; ``None`` without one.
    acknowledged
        Days that may be empty although the calendar expects transactions. Each such or closed day directly before
        `as_of` allows 24 hours more.
    """
    empty_days = empty_days_before(as_of, spec.calendar, acknowledged)
    maximum_hours = spec.maximum_age_hours + 24 * empty_days
    required = {"maximum_age_hours": maximum_hours}
    if newest_at is None:
        return Verdict.of(FRESHNESS, "INCONCLUSIVE", f"no transaction before {as_of}", {}, required)
    hours = (dt.datetime.combine(as_of, dt.time()) - newest_at).total_seconds() / 3600
    is_passed = hours <= maximum_hours
    return Verdict.of(
        FRESHNESS,
        "PASS" if is_passed else "FAIL",
        summary=f"the newest transaction is {hours:.1f} h older than {as_of}"
        + ("" if is_passed else f", more than {maximum_hours} h"),
        observed={"newest_at": newest_at.isoformat(), "age_hours": hours},
        required=required,
    )


def volume(
    daily_counts: Mapping[dt.date, int],
    start: dt.date,
    end: dt.date,
    spec: InputSpec,
    *,
    model: str,
    acknowledged: Collection[dt.date] = (),
    cadence: Cadence = "event",
) -> Verdict:
    """Every day of ``[start, end)`` has its share of the examples that such a day usually has.

    With a weekly or monthly cadence, every whole period, compared with the other periods.

    Parameters
    ----------
    daily_counts
        Raw transactions by day of `occurred_at`, if possible from `REFERENCE_WEEKS` before `start`; an absent day of
        ``[start, end)`` counts as 0.
    acknowledged
        Days that a person has accepted as they are.
    """
    known = {date: count for date, count in daily_counts.items() if date < end}
    if cadence in EVERY_DAY:
        dates = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
        days = judged_days(known, dates, spec, acknowledged)
    else:
        dates = whole_periods(start, end, cadence)
        days = judged_periods(known, dates, spec, acknowledged, cadence)
    short, word = [day for day in days if day.is_short], PERIOD_WORDS[cadence]
    return Verdict.of(
        VOLUME,
        outcome_of(short, [] if dates else ["no day"]),
        summary=_short_days(short, len(dates), model, word)
        if short or not dates
        else f"{len(dates)} {word}, each with at least {spec.minimum_volume_share:.0%} of its usual transactions",
        observed={
            "days": len(dates),
            "short_days": [day.date.isoformat() for day in short],
            "days_not_judged": len(dates) - len(days),
        },
        required={
            "minimum_volume_share": spec.minimum_volume_share,
            "start": start.isoformat(),
            "end": end.isoformat(),
        },
    )


def _short_days(short: Sequence[JudgedDay], days: int, model: str, word: str) -> str:
    if not short:
        return f"no {word} to judge"
    listed = ", ".join(
        f"{day.date:%a} {day.date}: {day.count:,} of about {day.usual:,.0f}" for day in short[:NAMED_DAYS]
    )
    command = f"`lifecycle acknowledge {model} {short[0].date} --reason ...`"
    return (
        f"{len(short)} of {days} {word} have too few transactions ({listed}). Load what is missing and build the "
        f"features of these days; or accept a day as it is: {command}; or put days "
        "that are always like this into `input.calendar` of the model's file"
    )


def mart_complete(daily_rows: Mapping[dt.date, tuple[int, int]], mart: str) -> Verdict:
    """The mart has as many rows as the raw data on every day; `daily_rows` are raw and mart rows by day.

    INCONCLUSIVE without a day.
    """
    behind = [day for day, (raw_rows, mart_rows) in daily_rows.items() if raw_rows != mart_rows]
    if not daily_rows:
        return Verdict.of(MART_COMPLETE, "INCONCLUSIVE", f"no day of {mart} to judge", {}, {"days_behind": 0})
    return Verdict.of(
        MART_COMPLETE,
        outcome_of(behind, []),
        summary=f"{len(behind)} of {len(daily_rows)} days of {mart} differ from the raw data in rows, from "
        f"{min(behind)} to {max(behind)}; materialise the features of these days"
        if behind
        else f"all {len(daily_rows)} days of {mart} have the rows of the raw data",
        observed={"days_behind": len(behind)},
        required={"days_behind": 0},
    )


def switched_off(verdict: Verdict, spec: InputSpec) -> Verdict:
    """The verdict, passed with the reason of the model's file if the check is switched off there."""
    reason = {str(name): text for name, text in spec.switched_off.items()}.get(verdict.gate)
    if reason is None or verdict.is_passed:
        return verdict
    return msgspec.structs.replace(
        verdict,
        is_passed=True,
        is_inconclusive=msgspec.UNSET,
        summary=f"switched off ({reason}); it would say: {verdict.summary}",
    )
