"""Accounts of one day: what became of every request for a decision, and what monitoring could not use."""

import datetime as dt
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lifecycle.monitoring.alerts import Alert
from lifecycle.monitoring.live_performance import PerformanceVerdict

HIGH_SHARE = 0.01
"""A kind of refusal with this share of a day's requests is an alert on every such day: 1 % of a payment stream is more
than any noise of single callers."""
RISE = 2.0
"""A smaller share is an alert if it is more than this many times that of the days before, ..."""
SMALLEST_RISE = 0.001
"""... and higher by at least this much, ..."""
FEWEST_REQUESTS = 5
"""... and a day with fewer refusals of a kind raises no alert."""


class RefusalKind(NamedTuple):
    """Kind of the error, and the feature and fault if one feature is the cause (`serving.errors.Fault`)."""

    kind: str
    feature: str | None = None
    fault: str | None = None

    def __str__(self) -> str:
        cause = ", ".join(part for part in (self.feature, self.fault) if part is not None)
        return f"{self.kind} ({cause})" if cause else self.kind


@dataclass(frozen=True)
class DayOfDecisions:
    """Decisions of one day of `occurred_at`, a canary's included, a shadow's excluded.

    `unmatched` have no transaction of the mart: no row with their identifier, or none within a day of their time.
    `repeated` share their transaction with another decision. `failed` requests got no score and no later decision.
    `transactions` are the mart's rows of the day, and `undecided` those without a decision.
    """

    day: dt.date
    decisions: int = 0
    unmatched: int = 0
    repeated: int = 0
    failed: int = 0
    transactions: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class DayOfRequests:
    """Requests of one day of `occurred_at`: decisions, a shadow's excluded, and those `refused`, by kind of error."""

    day: dt.date
    decisions: int
    refused: dict[str, int]


@dataclass(frozen=True)
class LogLosses:
    """What a load of the decision log could not read, or had to drop.

    `segments` are gone, or shorter than sealed, before they were loaded; `restarted` ones are shorter than what was
    loaded, and were loaded again from their start. `conflicting` counts the decision_ids with two transactions.
    """

    segments: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    conflicting: int = 0


def day_of_requests(day: dt.date, decisions: int, refused: Mapping[RefusalKind, int]) -> DayOfRequests:
    """The requests of a day, the refused ones summed by kind of error."""
    by_error: Counter[str] = Counter()
    for kind, count in refused.items():
        by_error[kind.kind] += count
    return DayOfRequests(day, decisions, dict(sorted(by_error.items())))


def matching_findings(day: DayOfDecisions) -> list[str]:
    """What of a day's decisions monitoring cannot use, as sentences; empty if all are matched."""
    findings = []
    if day.unmatched:
        findings.append(f"{day.unmatched} of {day.decisions} decisions have no transaction in the mart")
    if day.repeated:
        findings.append(f"{day.repeated} decisions repeat a transaction that another decision_id decided")
    if day.failed:
        findings.append(f"{day.failed} requests got no score")
    if day.decisions and day.undecided > day.transactions / 2:
        findings.append(f"{day.undecided} of {day.transactions} transactions have no decision")
    return findings


def loss_findings(losses: LogLosses) -> list[str]:
    """What a load of the log lost, as sentences; empty if nothing."""
    findings = []
    if losses.segments:
        findings.append(f"segments of the decision log are gone before they were loaded: {', '.join(losses.segments)}")
    if losses.restarted:
        findings.append(f"segments are shorter than what was loaded of them: {', '.join(losses.restarted)}")
    if losses.conflicting:
        findings.append(f"{losses.conflicting} decision_ids came again with another transaction, which was dropped")
    return findings


def refusal_findings(
    refused: Mapping[RefusalKind, int],
    decisions: int,
    earlier_refused: Mapping[RefusalKind, int],
    earlier_decisions: int,
) -> list[str]:
    """Kinds of refusals whose share of the requests is high or has risen, as sentences.

    Parameters
    ----------
    refused, decisions
        Refused requests by kind, and decisions, of one day.
    earlier_refused, earlier_decisions
        Those of the days before, together.

    Examples
    --------
    >>> refusal_findings({RefusalKind("InvalidRequest", "kind", "category"): 6}, 994, {}, 7000)
    ['InvalidRequest (kind, category) refused 6 of 1000 requests (0.60 %), 0.00 % in the days before']
    """
    requests = decisions + sum(refused.values())
    earlier_requests = earlier_decisions + sum(earlier_refused.values())
    findings = []
    for kind, count in sorted(refused.items(), key=lambda item: (-item[1], str(item[0]))):
        share = count / requests
        earlier = earlier_refused.get(kind, 0) / max(earlier_requests, 1)
        has_risen = share > RISE * earlier and share >= earlier + SMALLEST_RISE
        if count >= FEWEST_REQUESTS and (share >= HIGH_SHARE or has_risen):
            shares = f"({100 * share:.2f} %), {100 * earlier:.2f} % in the days before"
            findings.append(f"{kind} refused {count} of {requests} requests {shares}")
    return findings


def unaccounted_alert(
    model: str, day: dt.date, findings: Sequence[str], raised: Container[str], run_id: str, raised_at: dt.datetime
) -> Alert | None:
    """The alert of a day with requests or decisions that monitoring does not see; ``None`` without new findings.

    `raised` holds the keys of the alerts raised so far: a repeated day raises only what differs.
    """
    findings = [finding for finding in findings if _key(model, day, finding) not in raised]
    if not findings:
        return None
    return Alert(
        kind="unaccounted",
        model=model,
        as_of=(day + dt.timedelta(days=1)).isoformat(),
        run_id=run_id,
        message=f"On {day.isoformat()} {'; '.join(findings)}.",
        remedy="Build the features of the day if its transactions came late, else compare what the caller sends with "
        "the model's schema; docs/architecture.md, chapter Accounts, explains each count.",
        raised_at=raised_at,
        keys=tuple(_key(model, day, finding) for finding in findings),
    )


def _key(model: str, day: dt.date, finding: str) -> str:
    return f"{model}:{day.isoformat()}:unaccounted:{finding}"


def silence_alert(
    model: str,
    as_of: dt.date,
    verdict: PerformanceVerdict,
    previous: PerformanceVerdict | None,
    raised: Container[str],
    run_id: str,
    raised_at: dt.datetime,
) -> Alert | None:
    """The alert on the first day without a verdict on live performance; ``None`` with one, and while that lasts.

    `previous` is the verdict as of the day before; without one, this is the first day.
    """
    key = f"{model}:{as_of.isoformat()}:no_verdict"
    if verdict.has_verdict or (previous is not None and not previous.has_verdict) or key in raised:
        return None
    return Alert(
        kind="no_verdict",
        model=model,
        as_of=as_of.isoformat(),
        run_id=run_id,
        message=f"Live performance is not measured: {verdict.reason}, in the window from {verdict.window_start} "
        f"to {verdict.window_end} (exclusive).",
        remedy="After a release this lasts until enough outcomes of its own decisions have matured. Otherwise check "
        "that decisions and reports are loaded.",
        raised_at=raised_at,
        keys=(key,),
    )
