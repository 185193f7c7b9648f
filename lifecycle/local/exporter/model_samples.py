"""Values of the metrics of one model, from its newest documents; no file, no clock."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence

from lifecycle.local.exporter import families
from lifecycle.local.exporter.families import Sample
from lifecycle.monitoring.accounts import DayOfDecisions, DayOfRequests
from lifecycle.monitoring.decision_load import LoadVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict, lower_limit, upper_limit
from lifecycle.monitoring.standing import SEVERITIES
from lifecycle.monitoring.verdict import MonitoringVerdict
from serving.contract.documents import Release

BANDS = {"declined": "declined", "reviewed or declined": "reviewed_or_declined"}
"""Label of each band that a `LoadVerdict` may name as exceeded."""


def midnight(date: dt.date | str) -> float:
    """Start of a date in UTC, in seconds since 1970.

    Examples
    --------
    >>> midnight("1970-01-02")
    86400.0
    """
    day = dt.date.fromisoformat(date) if isinstance(date, str) else date
    return dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()


def monitoring_samples(model: str, verdict: MonitoringVerdict, champion: str | None) -> Iterator[Sample]:
    """Drift and the standing alarm.

    Parameters
    ----------
    champion
        Digest of the champion's bundle in force; ``None`` if it is not known. An alarm on an earlier one is over.
    """
    traffic = verdict.traffic
    yield families.JUDGED_DAY, (model,), midnight(dt.date.fromisoformat(verdict.as_of) - dt.timedelta(days=1))
    yield families.HAS_VERDICT, (model, "traffic"), int(traffic.has_verdict)
    yield families.DRIFT_PSI_LIMIT, (model,), traffic.threshold
    yield families.OUTSIDE_LIMIT, (model,), traffic.outside_limit
    for column, psi in traffic.psi.items():
        yield families.DRIFT_PSI, (model, column), psi
        yield families.OUTSIDE_SHARE, (model, column), traffic.outside.get(column, 0.0)
    is_standing = verdict.is_alarm and champion in {None, verdict.champion}
    yield families.ALARM_STANDING, (model,), int(is_standing)
    standing = verdict.standing if is_standing else None
    severities = Counter(finding.severity for finding in standing.findings) if standing else Counter()
    for severity in SEVERITIES:
        yield families.ALARM_FINDINGS, (model, severity), severities[severity]
    if standing is not None:
        yield families.ALARM_ONSET, (model,), midnight(standing.onset)
        yield families.ALARM_SINCE, (model,), midnight(standing.since)


def performance_samples(model: str, verdict: PerformanceVerdict) -> Iterator[Sample]:
    """Live recall with its interval; without a verdict only what was promised."""
    yield families.HAS_VERDICT, (model, "performance"), int(verdict.has_verdict)
    yield families.RECALL_PROMISED, (model,), verdict.promised
    yield families.RECALL_REQUIRED, (model,), verdict.required
    yield families.RECALL_POSITIVES, (model,), verdict.positives
    if verdict.has_verdict and verdict.recall is not None:
        caught = round(verdict.recall * verdict.positives)
        yield families.RECALL, (model,), verdict.recall
        yield families.RECALL_LOWER, (model,), lower_limit(caught, verdict.positives)
        yield families.RECALL_UPPER, (model,), upper_limit(caught, verdict.positives)


def load_samples(model: str, verdict: LoadVerdict, champion: str | None) -> Iterator[Sample]:
    """Cards stopped a day against the capacity; `champion` as for `monitoring_samples`."""
    cards = {"declined": verdict.declined_cards, "reviewed or declined": verdict.reviewed_cards}
    capacities = {"declined": verdict.decline_capacity, "reviewed or declined": verdict.review_capacity}
    if verdict.review_capacity is not None:
        capacities["declined"] = verdict.decline_capacity or 0
    is_current = champion in {None, verdict.champion}
    for band, label in BANDS.items():
        if verdict.days:
            yield families.ENTITIES, (model, label), cards[band] / verdict.days
        capacity = capacities[band]
        if capacity is not None:
            yield families.ENTITY_CAPACITY, (model, label), capacity
        yield families.OVER_CAPACITY, (model, label), int(is_current and band in verdict.exceeded)


def request_samples(model: str, day: DayOfRequests) -> Iterator[Sample]:
    """Requests of a day: decided, and refused by kind of error."""
    yield families.COUNTED_DAY, (model,), midnight(day.day)
    yield families.DECISIONS, (model,), day.decisions
    for kind, count in day.refused.items():
        yield families.REFUSED, (model, kind), count


def matching_samples(model: str, day: DayOfDecisions) -> Iterator[Sample]:
    """Decisions and transactions of a day that do not find each other."""
    causes = {
        "unmatched_decisions": day.unmatched,
        "repeated_transactions": day.repeated,
        "failed_requests": day.failed,
        "undecided_transactions": day.undecided,
    }
    yield families.TRANSACTIONS, (model,), day.transactions
    for cause, count in causes.items():
        yield families.UNACCOUNTED, (model, cause), count


def release_samples(model: str, history: Sequence[Release]) -> Iterator[Sample]:
    """The release in force, and the retrainings that ended in a release.

    Each bundle comes from one retraining: a rollback brings an earlier one back.
    """
    bundles = {release.champion.bundle_digest for release in history}
    yield families.RETRAININGS, (model, "released"), len(bundles)
    if history:
        latest = history[-1]
        yield families.RELEASE_NUMBER, (model,), latest.number
        yield families.RELEASE_AS_OF, (model,), midnight(latest.champion.as_of)
        yield families.RELEASED, (model,), latest.released_at.timestamp()
