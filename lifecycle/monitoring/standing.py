"""The standing alarm: a pure state machine from the previous alarm and a day's verdicts to the next alarm and the news.

========================  ===========================  ==================================================
alarm so far              the day's verdict            next alarm
========================  ===========================  ==================================================
none                      within its limits, or none   none
none                      findings                     begins: news of each finding
standing                  the same findings            stands, no news
standing                  another subject              stands: news, it *joined*
standing                  a higher severity            stands: news, it *rose*
standing                  within all limits            ends
standing                  none (traffic or recall)     that part stands as it was, with its onset
of another bundle         any                          as if there had been none
========================  ===========================  ==================================================

A subject that leaves and returns at no higher severity than before is no news while the alarm stands, so that a value
close to its limit does not alert every day. A day without decisions is news of its own and neither begins nor ends an
alarm.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lifecycle.monitoring.drift import DriftVerdict, shown
from lifecycle.monitoring.live_performance import PerformanceVerdict

Severity = Literal["moderate", "major", "extreme"]
NewsKind = Literal["began", "joined", "rose", "no_decisions"]

OUTSIDE = " outside the reference"
"""Follows a column's name where the finding is the share of its rows outside the reference's values."""
SEVERITIES: tuple[Severity, ...] = ("moderate", "major", "extreme")
RECALL = "recall_at_capacity"
"""Subject of a finding on live recall, whatever metric the model's decisions make it."""
PSI_BANDS = (0.25, 1.0)
"""Upper limits of moderate and major. 0.25: Siddiqi, Credit Risk Scorecards (2006), a shift; 1 nat: this project's."""
OUTSIDE_BANDS = (0.02, 0.1)
"""Upper limits of moderate and major of the share of rows outside the reference's values; this project's."""
RECALL_BANDS = (0.5, 0.25)
"""Lower limits of moderate and major, as shares of the promised recall; this project's."""


@dataclass(frozen=True)
class Finding:
    """A value outside its limit. `subject` is a column, the score, either with `OUTSIDE`, or the recall.

    A recall's limit is its lower one. `as_of` is that of the verdict which found it.
    """

    subject: str
    value: float
    limit: float
    severity: Severity
    text: str
    as_of: str


@dataclass(frozen=True)
class StandingAlarm:
    """An alarm in force; dates in ISO form, as the evidence stores it.

    `bundle` is the champion that it concerns, `since` the `as_of` at which it began, `onset` the first day of the
    change. `peaks` has the highest severity so far of every subject, also of those that have left.
    """

    bundle: str
    since: str
    onset: str
    findings: tuple[Finding, ...]
    peaks: dict[str, Severity]


@dataclass(frozen=True)
class News:
    """A change that a person is alerted of. The `subject` of ``no_decisions`` is the day."""

    kind: NewsKind
    subject: str
    severity: Severity | None
    text: str


@dataclass(frozen=True)
class Step:
    """Result of one day: the alarm in force after it, and the news."""

    standing: StandingAlarm | None
    news: tuple[News, ...]


def advance(
    previous: StandingAlarm | None,
    champion: str,
    as_of: dt.date,
    traffic: DriftVerdict,
    performance: PerformanceVerdict | None,
) -> Step:
    """The alarm after a day's verdicts, and the news; the table of this module is its specification.

    The same arguments give the same step, so a repeated day repeats its news, and nothing else.

    Parameters
    ----------
    previous
        The alarm after the newest earlier day that was judged.
    champion
        Digest of the bundle that the verdicts concern.
    """
    if previous is not None and previous.bundle != champion:
        previous = None
    today = [*_traffic_findings(traffic, as_of.isoformat()), *_performance_findings(performance, as_of.isoformat())]
    findings = (*today, *_kept(previous, traffic, performance))
    missing = tuple(_missing_day(traffic, as_of))
    if not findings:
        return Step(None, missing)
    peaks = dict(previous.peaks) if previous else {}
    news: list[News] = []
    for finding in today:
        peak = peaks.get(finding.subject)
        if peak is None or SEVERITIES.index(finding.severity) > SEVERITIES.index(peak):
            kind: NewsKind = "began" if previous is None else "joined" if peak is None else "rose"
            news.append(News(kind, finding.subject, finding.severity, finding.text))
            peaks[finding.subject] = finding.severity
    since = previous.since if previous else as_of.isoformat()
    onset = min(_onsets(previous, traffic, performance), default=since)
    return Step(StandingAlarm(champion, since, onset, findings, peaks), (*news, *missing))


def severity_above(value: float, bands: tuple[float, float]) -> Severity:
    """Severity of a value above its limit, by `PSI_BANDS` or `OUTSIDE_BANDS`."""
    moderate, major = bands
    return "moderate" if value <= moderate else "major" if value <= major else "extreme"


def recall_severity(recall: float, promised: float) -> Severity:
    """Severity of a recall below its limit, by `RECALL_BANDS`."""
    moderate, major = RECALL_BANDS
    return "moderate" if recall >= moderate * promised else "major" if recall >= major * promised else "extreme"


def _traffic_findings(traffic: DriftVerdict, as_of: str) -> Iterator[Finding]:
    for name in traffic.alarmed:
        value, severity = traffic.psi[name], severity_above(traffic.psi[name], PSI_BANDS)
        text = f"PSI of {shown(name)} {value:.3f}, limit {traffic.threshold:g} ({severity})"
        yield Finding(name, value, traffic.threshold, severity, text, as_of)
    for name in traffic.outside_alarmed:
        share, limit = traffic.outside[name], traffic.outside_limit
        severity = severity_above(share, OUTSIDE_BANDS)
        text = f"{share:.2%} of {shown(name)} outside the reference's values, limit {limit:.2%} ({severity})"
        yield Finding(name + OUTSIDE, share, limit, severity, text, as_of)


def _performance_findings(performance: PerformanceVerdict | None, as_of: str) -> Iterator[Finding]:
    if performance is None or not performance.is_alarm or performance.recall is None:
        return
    severity = recall_severity(performance.recall, performance.promised)
    text = (
        f"{performance.metric.replace('_', ' ')} {performance.recall:.3f} against {performance.promised:.3f} on the "
        f"holdout, limit {performance.required:.3f} ({severity})"
    )
    yield Finding(RECALL, performance.recall, performance.required, severity, text, as_of)


def _kept(
    previous: StandingAlarm | None, traffic: DriftVerdict, performance: PerformanceVerdict | None
) -> Iterator[Finding]:
    """Findings of earlier days whose part has no verdict today."""
    for finding in previous.findings if previous else ():
        is_recall = finding.subject == RECALL
        has_verdict = performance is not None and performance.has_verdict if is_recall else traffic.has_verdict
        if not has_verdict:
            yield finding


def _onsets(
    previous: StandingAlarm | None, traffic: DriftVerdict, performance: PerformanceVerdict | None
) -> Iterator[str]:
    if previous is not None:
        yield previous.onset
    if traffic.is_alarm and traffic.onset is not None:
        yield traffic.onset
    if performance is not None and performance.is_alarm:
        yield performance.window_start


def _missing_day(traffic: DriftVerdict, as_of: dt.date) -> Iterator[News]:
    day = (as_of - dt.timedelta(days=1)).isoformat()
    if day in traffic.missing_days:
        yield News("no_decisions", day, None, f"{day} has no decisions")
