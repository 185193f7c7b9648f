"""Records refused requests in the decision log, for audits."""

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
"""Requests refused unread are written together after this time."""

_ANY_TIME: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNREAD: Final = (OverloadedError, UnauthorizedError, ForbiddenError)


class Rejections:
    """Writes one line for each refused request that was read, and one line a second for each kind of the others.

    A caller without a key therefore cannot fill the disk, and shedding load stays cheap. While the log cannot be
    written, all rejections are gathered and written later.
    """

    def __init__(self, log: DecisionLog) -> None:
        self._log = log
        self._gathered: dict[RejectionRecord, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, error: RequestError, status: int, model: str | None, context: RequestContext | None) -> None:
        """Record a refused request; `model` is ``None`` unless a release contains it."""
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
        """Flush the gathered rejections and stop."""
        self._flush()
        if self._gathered:
            logger.warning("%d rejections could not be recorded before shutdown", sum(self._gathered.values()))
        if self._timer is not None:
            self._timer.cancel()

    def _flush(self) -> None:
        """Write the gathered rejections; those that cannot be written stay gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = dt.datetime.now(dt.UTC)
        for group, count in list(self._gathered.items()):
            if self._is_written(msgspec.structs.replace(group, rejected_at=now, count=count)):
                del self._gathered[group]
        if self._gathered:
            self._flush_later()

    def _gather(self, rejection: RejectionRecord) -> None:
        # Without the fields that differ for each request, the number of distinct rejections is bounded.
        group = msgspec.structs.replace(rejection, rejected_at=_ANY_TIME, trace_id=None, decision_id=None)
        self._gathered[group] = self._gathered.get(group, 0) + 1
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
            # Not awaited; reading the exception silences asyncio, since the log reports a failed disk itself.
            pending.add_done_callback(lambda written: written.exception())
        return True
