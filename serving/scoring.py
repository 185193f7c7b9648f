"""One score request from its body to its answer: decide, record, then say so."""

import datetime as dt
import time
from dataclasses import dataclass

from serving.contract import DECISION_RECORD_VERSION, DecisionRecord
from serving.decision_log import DecisionLog
from serving.errors import ScoringFailedError
from serving.lightgbm_library import ScoringError
from serving.metrics import Metrics
from serving.recent import RecentDecisions, answer_of
from serving.score_request import ScoreRequest
from serving.security import pseudonym
from serving.slots import Deployed, Slots


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
        serving = self.slots.serving(model)
        request = serving.champion.reader.read(body)
        deployed = serving.route(request.entity_key)
        if deployed.reader is not serving.champion.reader:
            request = deployed.reader.read(body)
        record = self._decided(model, deployed, request, arrived_at)
        earlier = await self.recent.earlier_answer(record)
        if earlier is not None:
            self.metrics.repeated()
            return earlier
        return await self._recorded(record)

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

    def _decided(self, model: str, deployed: Deployed, request: ScoreRequest, arrived_at: float) -> DecisionRecord:
        margin = score = decision = error = None
        try:
            margin, score, decision = deployed.model.score(request.values)
        except ScoringError as failure:
            error = type(failure).__name__
        return DecisionRecord(
            schema_version=DECISION_RECORD_VERSION,
            decision_id=request.decision_id,
            transaction_id=request.transaction_id,
            entity_key=pseudonym(self.pseudonym_key, request.entity_key),
            occurred_at=request.occurred_at,
            decided_at=dt.datetime.now(dt.UTC),
            model=model,
            slot=deployed.slot,
            bundle_digest=deployed.bundle_digest,
            release_number=deployed.release_number,
            features=request.values,
            margin=margin,
            score=score,
            decision=decision,
            elapsed_us=int((time.perf_counter() - arrived_at) * 1e6),
            error=error,
        )
