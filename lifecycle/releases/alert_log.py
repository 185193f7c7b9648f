"""The file of alerts: one JSON line for each."""

import contextlib
import logging
import os
from pathlib import Path

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.monitoring.alerts import Alert
from lifecycle.releases.ledger.events import alert_raised
from lifecycle.releases.ledger.log import Ledger
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import ensure_keys
from serving.storage.durable import flush_content

ALERTS_FILE = "alerts.jsonl"
_log = logging.getLogger(__name__)


def raise_alert(settings: Settings, alert: Alert) -> None:
    """Append an alert durably to ``alerts.jsonl`` in the installation's folder, log it, and record it in the ledger.

    The line also links the run in the Dagster UI and the runbook. A line that a killed process left unfinished is ended
    first, so that it costs no other alert. A ledger that cannot be used holds up no alert; the log has an error.
    """
    linked = with_links(settings, alert)
    line = msgspec.json.encode(linked) + b"\n"
    descriptor = os.open(settings.root / ALERTS_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" + line if is_torn else line)
        flush_content(descriptor)
    finally:
        os.close(descriptor)
    run = f" Run: {linked.run_url}" if linked.run_url else ""
    _log.warning("%s. %s %s%s Runbook: %s", alert.title, alert.message, alert.remedy, run, linked.runbook_url)
    _record(settings, alert, line)


def _record(settings: Settings, alert: Alert, line: bytes) -> None:
    try:
        Ledger(settings.release_store, ensure_keys(settings)).append(alert_raised(alert, line))
    except LifecycleError as error:
        _log.error("Not recorded in the ledger: an alert of the kind %s. %s", alert.kind, error)


def with_links(settings: Settings, alert: Alert) -> Alert:
    """The alert with the addresses of its run, if it has one, and of its runbook."""
    return msgspec.structs.replace(
        alert,
        run_url=settings.run_url(alert.run_id) if alert.run_id else None,
        runbook_url=settings.runbook_url_of(alert.kind),
    )


def raise_once(settings: Settings, alert: Alert) -> None:
    """Raise an alert, unless one of its keys is in ``alerts.jsonl`` already."""
    if not raised_keys(settings.root).intersection(alert.keys):
        raise_alert(settings, alert)


def raised_keys(root: Path) -> set[str]:
    """Keys of every alert in ``alerts.jsonl``; lines of another form, such as an unfinished one, have none."""
    path = root / ALERTS_FILE
    keys: set[str] = set()
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(msgspec.DecodeError):
            keys.update(msgspec.json.decode(line, type=_Keys).keys)
    return keys


class _Keys(msgspec.Struct, frozen=True):
    keys: tuple[str, ...] = ()
