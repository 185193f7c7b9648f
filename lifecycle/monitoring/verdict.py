"""The verdict of one day's monitoring: traffic and live performance together."""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lifecycle.modelling.splits import judged_end
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.standing import News, StandingAlarm, Step
from lifecycle.spec.risk_model import RiskModelSpec

if TYPE_CHECKING:
    # It imports LightGBM, which readers of verdicts do not need.
    from lifecycle.monitoring.traffic import ChampionInForce


@dataclass(frozen=True)
class MonitoringVerdict:
    """Conclusion of one day's monitoring; dates in ISO form, as the evidence stores it.

    `is_alarm` is whether an alarm stands after this day, `onset` the first day of its change, and `news` what the day
    added to it. `new_positives` counts the positives since the onset that are new to the champion and that the judged
    model of a training now would be fitted on. `champion` is the digest of its bundle.
    """

    as_of: str
    is_alarm: bool
    reason: str
    onset: str | None
    new_positives: int
    champion: str
    champion_trained_until: str
    traffic: DriftVerdict
    performance: PerformanceVerdict | None
    standing: StandingAlarm | None = None
    news: tuple[News, ...] = ()


def first_new_positive_day(onset: dt.date, champion_trained_until: dt.date) -> dt.date:
    """First day whose positives are new: from the onset on, and after the days that the champion was fitted on."""
    return max(onset, champion_trained_until)


def new_positive_days(
    spec: RiskModelSpec, onset: dt.date | None, champion_trained_until: dt.date, as_of: dt.date
) -> tuple[dt.date, dt.date] | None:
    """Days ``[start, end)`` with positives that are new to the champion and precede the holdout of a training now."""
    if onset is None:
        return None
    start = first_new_positive_day(onset, champion_trained_until)
    end = judged_end(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)
    return (start, end) if start < end else None


def monitoring_verdict(
    champion: "ChampionInForce",
    as_of: dt.date,
    traffic: DriftVerdict,
    performance: PerformanceVerdict | None,
    step: Step,
    new_positives: int,
) -> MonitoringVerdict:
    """Combine the verdicts of one `as_of` with the alarm after it; `new_positives` are those of `new_positive_days`."""
    return MonitoringVerdict(
        as_of=as_of.isoformat(),
        is_alarm=step.standing is not None,
        reason=_reason(as_of, traffic, performance, step.standing),
        onset=step.standing.onset if step.standing else None,
        new_positives=new_positives,
        champion=champion.bundle_digest,
        champion_trained_until=champion.trained_until.isoformat(),
        traffic=traffic,
        performance=performance,
        standing=step.standing,
        news=step.news,
    )


def _reason(
    as_of: dt.date, traffic: DriftVerdict, performance: PerformanceVerdict | None, standing: StandingAlarm | None
) -> str:
    """The day's findings, and those of earlier days that no verdict of today confirms or ends."""
    alarms = [verdict for verdict in (traffic, performance) if verdict is not None and verdict.is_alarm]
    reasons = [alarm.reason for alarm in alarms] or [traffic.reason]
    kept = [finding.text for finding in standing.findings if finding.as_of != as_of.isoformat()] if standing else []
    if standing is not None and kept:
        reasons.append(f"the alarm since {standing.since} stands: {', '.join(kept)}")
    return "; ".join(reasons)
