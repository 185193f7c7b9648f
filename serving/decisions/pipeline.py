"""The decision pipeline: decode, route, score, explain, record, and only then answer."""

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal

import msgspec

from serving.contract.documents import DecisionName, DecisionRecord, Reason, SlotName, record_version
from serving.decisions.pending import PendingDecision, RoutedRequest
from serving.decisions.pseudonyms import Pseudonyms
from serving.decisions.repeats import Key, RecentDecisions, request_fingerprint
from serving.decisions.shadow import ShadowRequest, Shadows
from serving.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ReleaseNotInForceError,
    RequestError,
    ScoringFailedError,
)
from serving.log.writer import DecisionLog
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.model import Scored
from serving.slots.slots import Servable, ServedModel, Slots
from serving.telemetry.metrics import Metrics, SlotMetrics, nullable_features
from serving.telemetry.tracing import SpanAttributes, Tracer
from serving.wire.request_context import RequestContext
from serving.wire.score_request import RequestReader, ScoreRequest, check_batch_size, read_batch
from serving.wire.score_response import ScoreResponse, answer_of

_ReadRow = Callable[[RequestReader, Any, str], ScoreRequest]
Explained = Literal["decline", "adverse", "always"]

INLINE_SECONDS: Final = 0.001
"""An explanation that takes longer is computed on another thread, so that it delays no other request."""
ROWS_PER_TURN: Final = 32
"""Rows of a batch that are scored before other requests run: at about 40 us each, about a millisecond."""

_EXPLAINED: Final[dict[Explained, frozenset[DecisionName]]] = {
    "decline": frozenset({"decline"}),
    "adverse": frozenset({"decline", "review"}),
    "always": frozenset({"decline", "review", "approve"}),
}

_answer_decoder = msgspec.json.Decoder(ScoreResponse)
logger = logging.getLogger(__name__)


class Scoring:
    """Decides requests.

    Parameters
    ----------
    pseudonyms
        Replaces entity keys in records.
    explain
        Decisions that always get reasons.
    max_batch
        Maximum number of requests in a batch.
    """

    def __init__(
        self,
        slots: Slots,
        log: DecisionLog,
        recent: RecentDecisions,
        metrics: Metrics,
        shadows: Shadows,
        tracer: Tracer,
        *,
        pseudonyms: Pseudonyms,
        explain: Explained = "decline",
        max_batch: int = 256,
    ) -> None:
        self._slots = slots
        self._log = log
        self._recent = recent
        self._metrics = metrics
        self._shadows = shadows
        self._tracer = tracer
        self._slot_metrics: dict[tuple[str, SlotName, str], SlotMetrics] = {}
        self._pseudonyms = pseudonyms
        self._explained = _EXPLAINED[explain]
        self._max_batch = max_batch
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explaining")

    def __repr__(self) -> str:
        return "Scoring(...)"

    def close(self) -> None:
        """Stop the thread for explanations."""
        self._explaining.shutdown()

    async def answer(self, model: str, body: bytes, context: RequestContext) -> bytes:
        """The response's body to one request, once the decision is recorded.

        Raises
        ------
        RequestError
            If there is no decision; the subclass says why.
        """
        attempt = self.attempt(model, body, context)
        if isinstance(attempt, bytes):
            return attempt
        if attempt is None:
            return (await self._decided([self._only(model, body, context)]))[0]
        pending = self._log.record((attempt.record,))
        return self.finish(attempt) if pending is None else await self._finish_flushed(attempt, pending)

    def attempt(self, model: str, body: bytes, context: RequestContext) -> PendingDecision | bytes | None:
        """Decide without waiting: returns the decision to record, or an earlier answer of the same request.

        ``None`` if the decision has to wait: the same id is being decided, or explaining takes long. The caller must
        write the record and call `finish` before any other request is decided.

        Raises
        ------
        RequestError
            As `answer`.
        """
        item = self._only(model, body, context)
        if self._recent.is_deciding(item.key):
            return None
        earlier = self._recent.answer(item.key, item.fingerprint)
        if earlier is not None:
            self._metrics.repeated()
            return earlier
        scored, reasons = self._scored(item), None
        if self._needs_reasons(item, scored):
            if item.servable.model.explain_seconds > INLINE_SECONDS:
                return None
            reasons = self._reasons(item)
        return PendingDecision(item, self._record(item, scored, reasons))

    def record(self, attempts: Sequence[PendingDecision]) -> None:
        """Write the records of attempts in one write, without waiting for the disk (so not with ``fsync`` durability).

        Raises
        ------
        LogUnavailableError
            If they cannot be recorded.
        """
        self._log.record([attempt.record for attempt in attempts])

    def finish(self, attempt: PendingDecision) -> bytes:
        """The answer to an attempt whose record is written; kept for repeats.

        Raises
        ------
        ScoringFailedError
            If the model returned no score.
        """
        answer = self._finished(attempt.item, attempt.record)
        self._recent.remember(attempt.item.key, attempt.item.fingerprint, answer)
        return answer

    async def answer_batch(self, model: str, body: bytes, context: RequestContext) -> bytes:
        """The response's body ``{"responses": [...]}`` to a batch; one invalid request refuses the batch.

        Raises
        ------
        RequestError
            As `answer`; the path names the request.
        """
        serving = self._slots.serving(model)
        rows = _with_paths(read_batch(body, self._max_batch))
        items = self._items(serving, rows, RequestReader.read, context)
        return b'{"responses":[' + b",".join(await self._decided(items)) + b"]}"

    async def decide(
        self,
        model: str,
        requests: Sequence[Mapping[str, Any]],
        context: RequestContext,
        release_number: int | None = None,
    ) -> list[ScoreResponse]:
        """The answers to requests that another protocol has decoded; otherwise like `answer_batch`.

        Parameters
        ----------
        release_number
            The release that must be in force; ``None`` for any.
        """
        serving = self._slots.serving(model)
        if release_number not in {None, serving.release_number}:
            raise ReleaseNotInForceError(
                f"Expected release {serving.release_number}, the one in force, got another one"
            )
        check_batch_size(len(requests), self._max_batch)
        items = self._items(serving, _with_paths(requests), RequestReader.convert, context)
        return [_answer_decoder.decode(answer) for answer in await self._decided(items)]

    def _only(self, model: str, body: bytes, context: RequestContext) -> RoutedRequest:
        return self._item(self._slots.serving(model), lambda servable: servable.reader.read(body), context)

    def _items(
        self, serving: ServedModel, rows: list[tuple[str, Any]], read: _ReadRow, context: RequestContext
    ) -> list[RoutedRequest]:
        """The routed requests of a batch's rows; an error holds the number of decisions that are refused with it."""
        try:
            return [
                self._item(serving, lambda servable, row=row, at=at: read(servable.reader, row, at), context)  # type: ignore[misc]
                for at, row in rows
            ]
        except RequestError as error:
            error.requests = len(rows)
            raise

    def _item(
        self, serving: ServedModel, read: Callable[[Servable], ScoreRequest], context: RequestContext
    ) -> RoutedRequest:
        champion = serving.champion
        request = read(champion)
        servable = serving.route(request.entity_key)
        if servable.reader is not champion.reader:
            request = read(servable)
        entity = self._pseudonyms.of(request.entity_key)
        fingerprint = request_fingerprint(request.transaction_id, entity, request.occurred_at, request.values)
        key = (serving.held.release.model, request.decision_id)
        return RoutedRequest(serving, servable, request, read, entity, key, fingerprint, context)

    async def _decided(self, items: list[RoutedRequest]) -> list[bytes]:
        """The answers to any number of requests; yields to other requests on the way."""
        _check_distinct(items)
        while busy := [item for item in items if self._recent.is_deciding(item.key)]:
            # `begin` comes after all waiting, so that two batches that share ids cannot deadlock.
            await self._recent.awaited(busy[0].key, busy[0].fingerprint)
        answers: dict[Key, bytes] = {}
        for item in items:
            earlier = self._recent.answer(item.key, item.fingerprint)
            if earlier is not None:
                self._metrics.repeated()
                answers[item.key] = earlier
        fresh = [item for item in items if item.key not in answers]
        for item in fresh:
            self._recent.begin(item.key, item.fingerprint)
        try:
            await self._answer_fresh(fresh, answers)
        finally:
            for item in fresh:
                self._recent.finish(item.key, answers.get(item.key))
        return [answers[item.key] for item in items]

    async def _answer_fresh(self, fresh: list[RoutedRequest], answers: dict[Key, bytes]) -> None:
        """Put the answers of new requests into `answers`, including those of a batch in which another failed."""
        records = []
        for number, item in enumerate(fresh, start=1):
            if number % ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
            records.append(await self._record_when_explained(item))
        pending = self._log.record(records) if records else None
        if pending is not None:
            await pending
        failure: ScoringFailedError | None = None
        for item, record in zip(fresh, records, strict=True):
            try:
                answers[item.key] = self._finished(item, record)
            except ScoringFailedError as error:
                failure = error
        if failure is not None:
            raise failure

    async def _record_when_explained(self, item: RoutedRequest) -> DecisionRecord:
        scored, reasons = self._scored(item), None
        if self._needs_reasons(item, scored):
            if item.servable.model.explain_seconds > INLINE_SECONDS:
                loop = asyncio.get_running_loop()
                reasons = await loop.run_in_executor(self._explaining, self._reasons, item)
            else:
                reasons = self._reasons(item)
        if time.perf_counter() > item.context.deadline:
            raise DeadlineExceededError(
                "Expected a decision before the request's deadline", decision_id=item.request.decision_id
            )
        return self._record(item, scored, reasons)

    async def _finish_flushed(self, attempt: PendingDecision, pending: "asyncio.Future[None]") -> bytes:
        """`finish` once the record is flushed; repeats of the id wait for it."""
        item, answer = attempt.item, None
        self._recent.begin(item.key, item.fingerprint)
        try:
            await pending
            answer = self._finished(item, attempt.record)
        finally:
            self._recent.finish(item.key, answer)
        return answer

    def _scored(self, item: RoutedRequest) -> Scored | str:
        """The model's score, or the name of its error."""
        try:
            return item.servable.model.score(item.request.values)
        except ScoringError as error:
            return type(error).__name__

    def _needs_reasons(self, item: RoutedRequest, scored: Scored | str) -> bool:
        if isinstance(scored, str) or not item.servable.model.can_explain:
            return False
        return item.context.is_explained or scored.decision in self._explained

    def _reasons(self, item: RoutedRequest) -> tuple[Reason, ...] | None:
        """The principal reasons; ``None`` if explaining fails, which never stops a decision.

        The record holds everything that a later explanation needs.
        """
        try:
            return item.servable.model.explain(item.request.values)
        except ScoringError as error:
            self._metrics.explain_failed(item.key[0])
            logger.error("%s: a decision has no reasons: %s", item.key[0], type(error).__name__)
            return None

    def _record(self, item: RoutedRequest, scored: Scored | str, reasons: tuple[Reason, ...] | None) -> DecisionRecord:
        servable, request, context = item.servable, item.request, item.context
        margin, score, decision = (None, None, None) if isinstance(scored, str) else msgspec.structs.astuple(scored)
        return DecisionRecord(
            schema_version=record_version(request.facts),
            decision_id=request.decision_id,
            transaction_id=request.transaction_id,
            entity_key=item.entity,
            occurred_at=request.occurred_at,
            decided_at=dt.datetime.now(dt.UTC),
            model=item.key[0],
            slot=servable.slot,
            bundle_digest=servable.bundle_digest,
            release_number=servable.release_number,
            features=request.values,
            margin=margin,
            score=score,
            decision=decision,
            reasons=reasons,
            caller=context.caller,
            trace_id=context.trace_id,
            elapsed_us=int((time.perf_counter() - context.arrived_at) * 1e6),
            error=scored if isinstance(scored, str) else None,
            facts=request.facts or msgspec.UNSET,
        )

    def _finished(self, item: RoutedRequest, record: DecisionRecord) -> bytes:
        """Count a recorded decision and return its answer; the shadow gets its copy after the answer is sent."""
        if record.decision is None or record.score is None:
            raise ScoringFailedError("Expected a score, but the model returned none; the failure was recorded")
        shadow = item.serving.shadow
        if shadow is not None:
            copy = ShadowRequest(shadow, item.servable, item.request, item.read, record)
            asyncio.get_running_loop().call_soon(self._shadows.offer, copy)
        if item.request.derived_sent or item.request.unseen:
            self._metrics.completed(record.model, item.request.derived_sent, item.request.unseen)
        elapsed_seconds = time.perf_counter() - item.context.arrived_at
        self._metrics_of(item).decided(record.decision, record.score, elapsed_seconds, item.request.values)
        if self._tracer.is_on:
            self._trace(item, record, elapsed_seconds)
        return answer_of(record)

    def _metrics_of(self, item: RoutedRequest) -> SlotMetrics:
        servable = item.servable
        key = (item.key[0], servable.slot, servable.bundle_digest)
        metrics = self._slot_metrics.get(key)
        if metrics is None or metrics.is_forgotten:
            self._slot_metrics = {each: kept for each, kept in self._slot_metrics.items() if not kept.is_forgotten}
            nullable = nullable_features(servable.model.bundle.deciding.features)
            metrics = self._slot_metrics[key] = self._metrics.slot(*key, nullable)
        return metrics

    def _trace(self, item: RoutedRequest, record: DecisionRecord, elapsed_seconds: float) -> None:
        ended_ns = time.time_ns()
        attributes = SpanAttributes(
            record.model, record.slot, record.bundle_digest, record.release_number, record.decision, 200
        )
        started_ns = ended_ns - int(elapsed_seconds * 1e9)
        self._tracer.record("score", started_ns, ended_ns, item.context.trace, attributes)


def _with_paths(requests: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(f"$.requests[{index}]", request) for index, request in enumerate(requests)]


def _check_distinct(items: list[RoutedRequest]) -> None:
    if len({item.key for item in items}) != len(items):
        raise InvalidRequestError("Expected a different decision_id for each request", "$.requests")
