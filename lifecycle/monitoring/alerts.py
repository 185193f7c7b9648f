"""Alerts and the texts that they carry."""

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import msgspec

from lifecycle.monitoring.verdict import MonitoringVerdict

AlertKind = Literal["candidate_refused", "run_broken", "drift"]
_TITLES: dict[AlertKind, str] = {
    "candidate_refused": "Candidate refused",
    "run_broken": "Run broken",
    "drift": "Drift",
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a person should know of; `remedy` says what to do next."""

    kind: AlertKind
    model: str | None
    as_of: str | None
    run_id: str | None
    message: str
    remedy: str
    raised_at: dt.datetime

    @property
    def title(self) -> str:
        """First line of the alert; it tells a refused candidate from a broken run."""
        return f"{_TITLES[self.kind]}: {self.model or 'platform'}{f' as of {self.as_of}' if self.as_of else ''}"


def drift_alert(
    model: str, verdict: MonitoringVerdict, previous: MonitoringVerdict | None, run_id: str, raised_at: dt.datetime
) -> Alert | None:
    """The alert on the day an alarm begins; ``None`` without an alarm and while it lasts.

    `previous` is the newest verdict of an earlier `as_of`.
    """
    if not verdict.is_alarm or (previous is not None and previous.is_alarm):
        return None
    return Alert(
        kind="drift",
        model=model,
        as_of=verdict.as_of,
        run_id=run_id,
        message=f"{verdict.reason}.",
        remedy="The retrain sensor starts a training once enough frauds since the onset have matured.",
        raised_at=raised_at,
    )


def failure_alert(
    job: str, as_of: str | None, run_id: str, refused: Sequence[str], error: str | None, raised_at: dt.datetime
) -> Alert:
    """The alert of a failed run: a refused candidate if gates refused it, else a broken run."""
    is_retraining = job.endswith("_retrain")
    if refused:
        message = f"The gates {', '.join(refused)} failed. The champion still serves; nothing is broken."
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
