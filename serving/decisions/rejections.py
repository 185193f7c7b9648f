"""Records refused requests in the decision log, for audits and for monitoring."""

import asyncio
import datetime as dt
import logging
import re
import time
from typing import Final

import msgspec

from serving.contract.documents import REJECTION_RECORD_VERSION, RejectionRecord
from serving.errors import ForbiddenError, LogUnavailableError, OverloadedError, RequestError, UnauthorizedError
from serving.log.writer import DecisionLog
from serving.wire.request_context import RequestContext

logger = logging.getLogger(__name__)

GATHER_SECONDS: Final = 1.0
"""Gathered rejections are written together after this time."""
OWN_LINES: Final = 20
"""Lines for single requests within `GATHER_SECONDS`; further requests are gathered."""
MOST_GROUPS: Final = 20
"""Lines of gathered rejections within `GATHER_SECONDS`; further ones are gathered by kind alone."""

_ANY_TIME: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNREAD: Final = (OverloadedError, UnauthorizedError, ForbiddenError)
_ROW: Final = re.compile(r"(?<=\[)[0-9]+(?=\])|(?<=^line )[0-9]+")


class Rejections:
    """Writes one line for each refused request that was read, and one line a second for each kind of the others.

    A caller without a key therefore cannot fill the disk, and shedding load stays cheap. Nor can a flood of invalid
    requests: beyond `OWN_LINES` a second they are gathered by model, kind, feature, fault and day, without the fields
    that differ for each request. While the log cannot be written, all rejections are gathered and written later.
    """

    def __init__(self, log: DecisionLog) -> None:
        self._log = log
        self._gathered: dict[RejectionRecord, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._own_lines = 0
        self._counted_since = 0.0

    def add(self, error: RequestError, status: int, model: str | None, context: RequestContext | None) -> None:
        """Record a refused request; `model` is ``None`` unless a release contains it."""
        rejection = RejectionRecord(
            schema_version=REJECTION_RECORD_VERSION,
            rejected_at=dt.datetime.now(dt.UTC),
            kind=error.kind,
            status=status,
            path=error.path,
            model=model,
            decision_id=error.decision_id,
            caller=None if context is None else context.caller,
            trace_id=None if context is None else context.trace_id,
            count=error.requests,
            feature=error.feature,
            fault=error.fault,
            occurred_on=error.occurred_on,
        )
        is_gathered = isinstance(error, (*_UNREAD, LogUnavailableError)) or not self._has_own_line()
        if is_gathered or not self._is_written(rejection):
            self._gather(rejection)

    def close(self) -> None:
        """Flush the gathered rejections and stop."""
        self._flush()
        if self._gathered:
            logger.warning("%d rejections could not be recorded before shutdown", sum(self._gathered.values()))
        if self._timer is not None:
            self._timer.cancel()

    def _has_own_line(self) -> bool:
        now = time.monotonic()
        if now - self._counted_since >= GATHER_SECONDS:
            self._counted_since, self._own_lines = now, 0
        self._own_lines += 1
        return self._own_lines <= OWN_LINES

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
        group = _group_of(rejection)
        if group not in self._gathered and len(self._gathered) >= MOST_GROUPS:
            group = msgspec.structs.replace(group, path=None, feature=None, caller=None, occurred_on=None)
        self._gathered[group] = self._gathered.get(group, 0) + rejection.count
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


def _group_of(rejection: RejectionRecord) -> RejectionRecord:
    """A rejection without the fields that differ for each request; its path names no row of a batch."""
    path = None if rejection.path is None else _ROW.sub("", rejection.path)
    return msgspec.structs.replace(
        rejection, rejected_at=_ANY_TIME, trace_id=None, decision_id=None, count=1, path=path
    )
