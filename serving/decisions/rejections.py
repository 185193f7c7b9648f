"""Requests that got no decision, in the decision log: an auditor sees what was turned away, and when."""

import asyncio
import datetime as dt
import logging
from typing import Final

import msgspec

from serving.contract.documents import SCHEMA_VERSION, RejectionRecord
from serving.errors import ForbiddenError, LogUnavailableError, OverloadedError, RequestError, UnauthorizedError
from serving.log.writer import DecisionLog
from serving.wire.request_context import RequestContext

logger = logging.getLogger(__name__)

GATHER_SECONDS: Final = 1.0
"""Requests that were turned away unread are written together after this time."""

_ANY_TIME: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNREAD: Final = (OverloadedError, UnauthorizedError, ForbiddenError)


class Rejections:
    """Writes rejections: one line for each request that was read, one a second for each kind of the others.

    So nobody fills the disk who has no key, and turning requests away stays cheap when there are too many. While the
    log cannot be written they are gathered, too, and written once it can.
    """

    def __init__(self, log: DecisionLog) -> None:
        self._log = log
        self._gathered: dict[RejectionRecord, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, error: RequestError, status: int, model: str | None, context: RequestContext | None) -> None:
        """Record that a request was turned away; `model` is ``None`` where no release names it."""
        rejection = RejectionRecord(
            schema_version=SCHEMA_VERSION,
            rejected_at=dt.datetime.now(dt.UTC),
            kind=error.kind,
            status=status,
            path=error.path,
            model=model,
            decision_id=error.decision_id,
            caller=None if context is None else context.caller,
            trace_id=None if context is None else context.trace_id,
        )
        if isinstance(error, (*_UNREAD, LogUnavailableError)) or not self._is_written(rejection):
            self._gather(rejection)

    def close(self) -> None:
        """Write what was gathered, for the last time."""
        self._flush()
        if self._gathered:
            logger.warning("%d rejections could not be recorded before the end", sum(self._gathered.values()))
        if self._timer is not None:
            self._timer.cancel()

    def _flush(self) -> None:
        """Write what was gathered; what cannot be written stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = dt.datetime.now(dt.UTC)
        for alike, count in list(self._gathered.items()):
            if self._is_written(msgspec.structs.replace(alike, rejected_at=now, count=count)):
                del self._gathered[alike]
        if self._gathered:
            self._flush_later()

    def _gather(self, rejection: RejectionRecord) -> None:
        # Without what differs from request to request there are only so many.
        alike = msgspec.structs.replace(rejection, rejected_at=_ANY_TIME, trace_id=None, decision_id=None)
        self._gathered[alike] = self._gathered.get(alike, 0) + 1
        if self._timer is None:
            self._flush_later()

    def _flush_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    def _is_written(self, rejection: RejectionRecord) -> bool:
        try:
            pending = self._log.record((rejection,))
        except LogUnavailableError:
            return False
        if pending is not None:
            # Nobody waits for it; if the disk fails, the log says so itself.
            pending.add_done_callback(lambda written: written.exception())
        return True
