"""The file of alerts: one JSON line for each."""

import logging
import os
from pathlib import Path

import msgspec

from lifecycle.monitoring.alerts import Alert

ALERTS_FILE = "alerts.jsonl"
_log = logging.getLogger(__name__)


def raise_alert(root: Path, alert: Alert) -> None:
    """Append an alert to ``alerts.jsonl`` in the installation's folder `root`, and log it."""
    line = msgspec.json.encode(alert) + b"\n"
    descriptor = os.open(root / ALERTS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    _log.warning("%s. %s %s", alert.title, alert.message, alert.remedy)
