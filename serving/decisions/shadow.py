"""Shadow mode: a challenger scores a copy of each decision after its answer is sent, and records the result.

One thread scores the copies of all models from a bounded queue, so that a shadow delays no request except by using the
CPU. A full queue drops the copy and counts it; a failure gets its own record.
"""

import datetime as dt
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from serving.contract.documents import DecisionRecord, record_version
from serving.contract.features import Value
from serving.errors import LogUnavailableError, RequestError
from serving.log.writer import DecisionLog
from serving.scoring.lightgbm_library import ScoringError
from serving.slots.slots import Servable
from serving.telemetry.metrics import Metrics
from serving.wire.score_request import ScoreRequest

_CLOSE_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class ShadowRequest(NamedTuple):
    """Copy of an answered decision, for a shadow to score.

    `read` decodes the request for another model; it is called only if the shadow's features differ from `answered`'s.
    """

    shadow: Servable
    answered: Servable
    request: ScoreRequest
    read: Callable[[Servable], ScoreRequest]
    record: DecisionRecord


class Shadows:
    """Queue and thread of all shadows.

    Parameters
    ----------
    limit
        Maximum number of waiting copies.
    """

    def __init__(self, log: DecisionLog, metrics: Metrics, *, limit: int) -> None:
        self._log = log
        self._metrics = metrics
        self._copies: queue.Queue[ShadowRequest | None] = queue.Queue(limit)
        self._thread = threading.Thread(target=self._score_copies, name="shadows", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, copy: ShadowRequest) -> None:
        """Queue a copy, or drop it if the queue is full."""
        try:
            self._copies.put_nowait(copy)
        except queue.Full:
            self._metrics.shadow_dropped(copy.record.model)

    def close(self) -> None:
        """Score the waiting copies for at most five seconds, and stop."""
        if not self._thread.is_alive():
            return
        deadline = time.monotonic() + _CLOSE_SECONDS
        try:
            self._copies.put(None, timeout=_CLOSE_SECONDS)
        except queue.Full:
            logger.warning("copies that waited for a shadow were dropped at shutdown")
            return
        self._thread.join(max(deadline - time.monotonic(), 0))

    def _score_copies(self) -> None:
        while (copy := self._copies.get()) is not None:
            try:
                self._score(copy)
            except LogUnavailableError:
                self._metrics.shadow_dropped(copy.record.model)
            except Exception:
                # An unexpected error drops this copy; the thread goes on.
                logger.exception("%s: a copy was dropped", copy.record.model)
                self._metrics.shadow_dropped(copy.record.model)

    def _score(self, copy: ShadowRequest) -> None:
        """Score, record and count a copy."""
        record = shadow_record(copy)
        self._log.record((record,))
        if record.decision is None or record.score is None:
            self._metrics.shadow_failed(record.model)
            return
        # Missing features were counted for the original decision.
        counts = self._metrics.slot(record.model, "shadow", copy.shadow.bundle_digest, ())
        counts.decided(record.decision, record.score, record.elapsed_us / 1e6, ())


def shadow_record(copy: ShadowRequest) -> DecisionRecord:
    """The shadow's record under the same decision id; after a failure it holds the error's name."""
    began_at = time.perf_counter()
    shadow = copy.shadow
    values = margin = score = decision = error = None
    facts: tuple[Value, ...] = ()
    try:
        is_same = shadow.reader is copy.answered.reader
        request = copy.request if is_same else copy.read(shadow)
        values, facts = request.values, request.facts
        margin, score, decision = msgspec.structs.astuple(shadow.model.score(values))
    except (ScoringError, RequestError) as failure:
        error = type(failure).__name__
    return msgspec.structs.replace(
        copy.record,
        schema_version=record_version(facts),
        slot="shadow",
        bundle_digest=shadow.bundle_digest,
        release_number=shadow.release_number,
        decided_at=dt.datetime.now(dt.UTC),
        features=values,
        facts=facts or msgspec.UNSET,
        margin=margin,
        score=score,
        decision=decision,
        reasons=None,
        elapsed_us=int((time.perf_counter() - began_at) * 1e6),
        error=error,
    )
