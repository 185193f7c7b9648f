"""Alerts for people: one JSON line each in ``alerts.jsonl``, and the log."""

import datetime as dt
import logging
import os
from pathlib import Path
from typing import Literal

import msgspec

AlertKind = Literal["candidate_refused", "run_broken", "drift"]
ALERTS_FILE = "alerts.jsonl"
_TITLES: dict[AlertKind, str] = {
    "candidate_refused": "Candidate refused",
    "run_broken": "Run broken",
    "drift": "Drift",
}
_log = logging.getLogger(__name__)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person should know; `remedy` says what to do next."""

    kind: AlertKind
    model: str | None
    as_of: str | None
    run_id: str | None
    message: str
    remedy: str
    raised_at: dt.datetime

    @property
    def title(self) -> str:
        """The alert's first line: a refused candidate and a broken run read differently."""
        return f"{_TITLES[self.kind]}: {self.model or 'platform'}{f' as of {self.as_of}' if self.as_of else ''}"


def raise_alert(root: Path, alert: Alert) -> None:
    """Append an alert to the installation's ``alerts.jsonl`` and log it."""
    line = msgspec.json.encode(alert) + b"\n"
    descriptor = os.open(root / ALERTS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    _log.warning("%s. %s %s", alert.title, alert.message, alert.remedy)
