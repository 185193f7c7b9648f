"""One score request from its body to its answer: decide, record, then say so."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from serving.contract import DECISION_RECORD_VERSION, DecisionRecord
from serving.decision_log import DecisionLog
from serving.errors import InvalidRequestError, ScoringFailedError
from serving.lightgbm_library import ScoringError
from serving.metrics import Metrics
from serving.recent import RecentDecisions, ScoreResponse, answer_of
from serving.score_request import ScoreRequest
from serving.security import pseudonym
from serving.slots import Champion, Slots


class RequestContext(NamedTuple):
    """What a request brings beside its body; times are on the clock of `time.perf_counter`, in seconds."""

    caller: str | None
    trace_id: str | None
    arrived_at: float
    deadline: float | None
    is_explained: bool


@dataclass(frozen=True, slots=True)
class Scoring:
    """The parts a decision needs."""

    slots: Slots
    log: DecisionLog
    recent: RecentDecisions
    metrics: Metrics
    pseudonym_key: bytes

    def __repr__(self) -> str:
        return "Scoring(...)"

    async def answer(self, model: str, body: bytes, arrived_at: float) -> bytes:
        """The response's body, once the decision is on the disk.

        Parameters
        ----------
        arrived_at
            When the request arrived, on the clock of `time.perf_counter`, in seconds.

        Raises
        ------
        RequestError
            One of its kinds, if there is no decision.
        """
        champion = self.slots.champion(model)
        request = champion.reader.read(body)
        record = self._decided(champion, request, arrived_at)
        earlier = await self.recent.earlier_answer(record)
        if earlier is not None:
            self.metrics.repeated()
            return earlier
        return await self._recorded(record)

    async def decide(
        self, model: str, requests: Sequence[Mapping[str, Any]], context: RequestContext
    ) -> list[ScoreResponse]:
        """The answers to requests that another protocol has decoded: all of them are valid, or none is decided."""
        champion = self.slots.champion(model)
        answers = []
        for request in [self._valid(champion, request, index) for index, request in enumerate(requests)]:
            record = self._decided(champion, request, context.arrived_at)
            answer = await self.recent.earlier_answer(record)
            answers.append(await self._recorded(record) if answer is None else answer)
        return [msgspec.json.decode(answer, type=ScoreResponse) for answer in answers]

    def _valid(self, champion: Champion, request: Mapping[str, Any], index: int) -> ScoreRequest:
        try:
            return champion.reader.read(msgspec.json.encode(request))
        except InvalidRequestError as error:
            place = (error.path or "$").removeprefix("$")
            raise InvalidRequestError(error.message, f"$.requests[{index}]{place}") from None

    async def _recorded(self, record: DecisionRecord) -> bytes:
        answer = None
        self.recent.begin(record)
        try:
            await self.log.append(record)
            answer = answer_of(record) if record.error is None else None
        finally:
            self.recent.finish(record.decision_id, answer)
        if answer is None or record.decision is None:
            raise ScoringFailedError("Expected a score, but the model gave none; the failure was recorded")
        self.metrics.decided(record.model, record.decision)
        return answer

    def _decided(self, champion: Champion, request: ScoreRequest, arrived_at: float) -> DecisionRecord:
        margin = score = decision = error = None
        try:
            margin, score, decision = champion.model.score(request.values)
        except ScoringError as failure:
            error = type(failure).__name__
        return DecisionRecord(
            schema_version=DECISION_RECORD_VERSION,
            decision_id=request.decision_id,
            transaction_id=request.transaction_id,
            entity_key=pseudonym(self.pseudonym_key, request.entity_key),
            occurred_at=request.occurred_at,
            decided_at=dt.datetime.now(dt.UTC),
            model=champion.held.release.model,
            slot="champion",
            bundle_digest=champion.bundle_digest,
            release_number=champion.release_number,
            features=request.values,
            margin=margin,
            score=score,
            decision=decision,
            elapsed_us=int((time.perf_counter() - arrived_at) * 1e6),
            error=error,
        )
