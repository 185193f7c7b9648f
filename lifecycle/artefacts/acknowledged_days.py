"""Days whose number of transactions a person has accepted: one file each, written once, never changed."""

import datetime as dt
from pathlib import Path

import msgspec

from lifecycle.errors import LifecycleError
from serving.storage.durable import create_once


class AcknowledgedDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who accepted a day, when and why."""

    model: str
    day: dt.date
    by: str
    at: dt.datetime
    reason: str


class AcknowledgedDays:
    """The acknowledged days of one model, below its evidence."""

    def __init__(self, evidence: Path, model: str) -> None:
        self._folder = evidence / model / "acknowledged_days"
        self._model = model

    def acknowledge(self, day: dt.date, by: str, reason: str) -> AcknowledgedDay:
        """Record that a day's transactions are accepted as they are.

        Raises
        ------
        LifecycleError
            If the reason is blank, or the day was acknowledged before.
        """
        if not reason.strip():
            raise LifecycleError("Expected a reason, got a blank one - at --reason")
        acknowledged = AcknowledgedDay(self._model, day, by, dt.datetime.now(dt.UTC), reason)
        path = self._folder / f"{day.isoformat()}.json"
        if not create_once(path, msgspec.json.encode(acknowledged), "acknowledged_day"):
            existing = self.read()[day]
            raise LifecycleError(
                f"Expected a day that is not acknowledged, got {day}: {existing.by} acknowledged it at "
                f"{existing.at:%Y-%m-%d %H:%M} UTC: {existing.reason}"
            )
        return acknowledged

    def read(self) -> dict[dt.date, AcknowledgedDay]:
        """The acknowledged days, in order.

        Raises
        ------
        LifecycleError
            If a file is unreadable: an acknowledgement is never guessed.
        """
        days = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                acknowledged = msgspec.json.decode(path.read_bytes(), type=AcknowledgedDay)
            except (msgspec.MsgspecError, OSError) as error:
                raise LifecycleError(
                    f"Expected an acknowledged day, got {type(error).__name__} - at {path}. Restore or remove the file."
                ) from None
            days[acknowledged.day] = acknowledged
        return days
