"""Alerts and the texts that they carry."""

import datetime as dt
import hashlib
from collections.abc import Container, Sequence
from typing import Literal

import msgspec

from lifecycle.monitoring.decision_load import LoadVerdict
from lifecycle.monitoring.standing import News
from lifecycle.monitoring.verdict import MonitoringVerdict

AlertKind = Literal[
    "candidate_refused",
    "run_broken",
    "drift",
    "no_decisions",
    "unaccounted",
    "no_verdict",
    "registry_failed",
    "champion_differs",
    "over_capacity",
    "promotion_held",
    "waiver_expired",
    "days_missed",
    "faulty_model",
]
_TITLES: dict[AlertKind, str] = {
    "candidate_refused": "Candidate refused",
    "run_broken": "Run broken",
    "drift": "Drift",
    "no_decisions": "No decisions",
    "unaccounted": "Not accounted for",
    "no_verdict": "No verdict",
    "registry_failed": "MLflow failed",
    "champion_differs": "Champion differs",
    "over_capacity": "Over capacity",
    "promotion_held": "Automatic promotion on hold",
    "waiver_expired": "Waiver expired",
    "days_missed": "Days missed",
    "faulty_model": "Model left out",
}
_REMEDIES: dict[AlertKind, str] = {
    "drift": "The retrain sensor starts a training once enough positives since the onset have matured.",
    "no_decisions": "See whether the server answered that day and whether its decision log reached the warehouse, then "
    "materialise the day again.",
    "over_capacity": "Train again: the bands are then cut on the last week. Or roll back with `lifecycle rollback`.",
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a person should know of; `remedy` says what to do next.

    `keys` name what it tells, so that a repeated run does not tell it again. `run_url` and `runbook_url` are filled in
    when it is raised.
    """

    kind: AlertKind
    model: str | None
    as_of: str | None
    run_id: str | None
    message: str
    remedy: str
    raised_at: dt.datetime
    keys: tuple[str, ...] = ()
    run_url: str | None = None
    runbook_url: str | None = None

    @property
    def title(self) -> str:
        """First line of the alert; it tells a refused candidate from a broken run."""
        return f"{_TITLES[self.kind]}: {self.model or 'platform'}{f' as of {self.as_of}' if self.as_of else ''}"


def monitoring_alerts(
    model: str, verdict: MonitoringVerdict, raised: Container[str], run_id: str, raised_at: dt.datetime
) -> list[Alert]:
    """The alerts of a day's news: one of the alarm's, one of a day without decisions; none that was raised before.

    Parameters
    ----------
    raised
        Keys of the alerts raised so far: a repeated day raises only what it adds.
    """
    fresh = [(key, news) for news in verdict.news if (key := _key(model, verdict.as_of, news)) not in raised]
    groups: dict[AlertKind, list[tuple[str, News]]] = {"drift": [], "no_decisions": []}
    for key, news in fresh:
        groups["no_decisions" if news.kind == "no_decisions" else "drift"].append((key, news))
    return [
        Alert(
            kind=kind,
            model=model,
            as_of=verdict.as_of,
            run_id=run_id,
            message=_message(kind, [news for _, news in group], verdict),
            remedy=_REMEDIES[kind],
            raised_at=raised_at,
            keys=tuple(key for key, _ in group),
        )
        for kind, group in groups.items()
        if group
    ]


def _key(model: str, as_of: str, news: News) -> str:
    """Names what an alert tells: the same for a repeated run of the same day."""
    return ":".join([model, as_of, news.kind, news.subject, news.severity or ""])


def _message(kind: AlertKind, news: Sequence[News], verdict: MonitoringVerdict) -> str:
    texts = "; ".join(item.text for item in news)
    if verdict.standing is None:
        return f"{texts}."
    if kind == "no_decisions":
        return f"{texts}. The alarm since {verdict.standing.since} stands."
    if all(item.kind == "began" for item in news):
        return f"An alarm begins: {texts}. Onset {verdict.standing.onset}."
    return f"The alarm since {verdict.standing.since} grows: {texts}. Onset {verdict.standing.onset}."


def capacity_alert(
    model: str,
    verdict: LoadVerdict,
    previous: LoadVerdict | None,
    raised: Container[str],
    run_id: str,
    raised_at: dt.datetime,
) -> Alert | None:
    """The alert of the bands that exceed their capacity since this day; ``None`` without one, or if it was raised.

    Parameters
    ----------
    previous
        The verdict of the latest earlier day.
    raised
        Keys of the alerts raised so far.
    """
    known = previous.exceeded if previous is not None and previous.champion == verdict.champion else ()
    keys = [f"{model}:{verdict.as_of}:over_capacity:{band}" for band in verdict.exceeded if band not in known]
    fresh = tuple(key for key in keys if key not in raised)
    if not fresh:
        return None
    return Alert(
        kind="over_capacity",
        model=model,
        as_of=verdict.as_of,
        run_id=run_id,
        message=f"{verdict.reason}.",
        remedy=_REMEDIES["over_capacity"],
        raised_at=raised_at,
        keys=fresh,
    )


def failure_alert(
    job: str, as_of: str | None, run_id: str, refused: Sequence[str], error: str | None, raised_at: dt.datetime
) -> Alert:
    """The alert of a failed run: a refused candidate if gates refused it, else a broken run."""
    is_retraining = job.endswith("_retrain")
    if refused:
        message = f"The gates {', '.join(refused)} did not pass. The champion still serves; nothing is broken."
        remedy = "Read the verdicts on the candidate's page in the Dagster UI."
    else:
        message = f"Job {job} failed: {error or 'no message'}"
        remedy = "Open the run in the Dagster UI, fix the cause and re-execute it; it reuses what is already stored."
    return Alert(
        kind="candidate_refused" if refused else "run_broken",
        model=job.removesuffix("_retrain") if is_retraining else None,
        as_of=as_of,
        run_id=run_id,
        message=message,
        remedy=remedy,
        raised_at=raised_at,
    )


def faulty_model_alert(model: str, message: str, raised_at: dt.datetime) -> Alert:
    """The alert of a model whose file cannot be used; another fault of the same file is another alert."""
    return Alert(
        kind="faulty_model",
        model=model,
        as_of=None,
        run_id=None,
        message=f"{message}. Its schedules and its sensor do not run; the other models do.",
        remedy="Correct the file, check it with `lifecycle check`, and reload the code location.",
        raised_at=raised_at,
        keys=(f"{model}:faulty_model:{hashlib.sha256(message.encode()).hexdigest()}",),
    )
