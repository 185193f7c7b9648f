"""Cards that the live decisions stop a day, against the capacity that the decision bands were cut for.

Needs no outcomes: it shows within days that a release declines more customers, or makes more work, than promised.
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.spec.cadence import RECENT_DAYS
from lifecycle.spec.decision import DecisionSpec

DEVIATIONS = 3.0
"""Tolerated standard deviations above the capacity. Counts of rare, independent events are Poisson distributed, with a
variance equal to the mean, so that a day's check raises about one false alarm in 700."""


@dataclass(frozen=True)
class DayLoad:
    """Cards of one day by what the server answered; the reviewed ones include the declined ones.

    `champion` is the digest of the only bundle that answered as champion that day, ``None`` if there were several.
    """

    cards: int
    reviewed_cards: int
    declined_cards: int
    champion: str | None


@dataclass(frozen=True)
class LoadVerdict:
    """Verdict on the days that the champion alone decided, of the last days; dates in ISO form.

    The counts are sums over these `days`. With cut-offs there is no capacity. `exceeded` names the bands above their
    capacity by more than chance.
    """

    as_of: str
    champion: str
    days: int
    cards: int
    reviewed_cards: int
    declined_cards: int
    review_capacity: int | None
    decline_capacity: int | None
    exceeded: tuple[str, ...]
    reason: str

    @property
    def is_alarm(self) -> bool:
        """Whether a band exceeds its capacity."""
        return bool(self.exceeded)


def judge_load(
    loads: Mapping[dt.date, DayLoad],
    champion: str,
    as_of: dt.date,
    decision: DecisionSpec,
    recent_days: int = RECENT_DAYS["event"],
) -> LoadVerdict:
    """Compare the entities stopped a day with the capacity.

    A day that an earlier champion answered in part is no evidence about this one.

    Parameters
    ----------
    loads
        By day of `occurred_at`; days outside the last `recent_days` before `as_of` are ignored.
    champion
        Digest of the champion's bundle.

    Examples
    --------
    >>> week = {dt.date(2024, 1, day): DayLoad(1000, 90, 43, "b") for day in range(1, 8)}
    >>> from lifecycle.spec.decision import CapacitySpec
    >>> decision = DecisionSpec(capacity=CapacitySpec(review=100, decline=20))
    >>> judge_load(week, "b", dt.date(2024, 1, 8), decision).reason
    '43.0 entities a day declined, above 20 (at most 25.1 by chance over 7 days)'
    """
    dates = [as_of - dt.timedelta(days=offset) for offset in range(1, recent_days + 1)]
    own = [loads[date] for date in dates if date in loads and loads[date].champion == champion]
    reviewed, declined = sum(load.reviewed_cards for load in own), sum(load.declined_cards for load in own)
    bands: dict[str, tuple[int, int]] = {}
    if decision.capacity is not None:
        bands["declined"] = (declined, decision.capacity.decline or 0)
        bands["reviewed or declined"] = (reviewed, decision.capacity.review)
    exceeded = {word: _excess(word, *band, len(own)) for word, band in bands.items()}
    faults = {word: text for word, text in exceeded.items() if text is not None}
    return LoadVerdict(
        as_of=as_of.isoformat(),
        champion=champion,
        days=len(own),
        cards=sum(load.cards for load in own),
        reviewed_cards=reviewed,
        declined_cards=declined,
        review_capacity=decision.review_capacity,
        decline_capacity=decision.decline_capacity,
        exceeded=tuple(faults),
        reason="; ".join(faults.values()) or _quiet_reason(declined, reviewed, len(own), recent_days),
    )


def _excess(word: str, cards: int, capacity: int, days: int) -> str | None:
    """The sentence on a band above its capacity by more than chance; ``None`` otherwise."""
    expected = capacity * days
    most = expected + DEVIATIONS * math.sqrt(expected)
    if not days or cards <= most:
        return None
    chance = f"at most {most / days:.1f} by chance over {days} days"
    return f"{cards / days:.1f} entities a day {word}, above {capacity} ({chance})"


def _quiet_reason(declined: int, reviewed: int, days: int, recent_days: int) -> str:
    if not days:
        return f"the champion has decided none of the last {recent_days} days alone: no verdict"
    return (
        f"{declined / days:.1f} entities a day declined, {reviewed / days:.1f} reviewed or declined, over {days} days"
    )
