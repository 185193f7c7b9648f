"""Requests on their way to a recorded decision."""

from collections.abc import Callable

import msgspec

from serving.contract.documents import DecisionRecord
from serving.decisions.repeats import Key
from serving.slots.slots import Servable, ServedModel
from serving.wire.request_context import RequestContext
from serving.wire.score_request import ScoreRequest


class RoutedRequest(msgspec.Struct, frozen=True, gc=False):
    """A decoded request with its slot; `key` and `fingerprint` identify repeats."""

    serving: ServedModel
    servable: Servable
    request: ScoreRequest
    read: Callable[[Servable], ScoreRequest]
    entity: str
    key: Key
    fingerprint: int
    context: RequestContext


class PendingDecision(msgspec.Struct, frozen=True, gc=False):
    """A decision whose record is not written yet."""

    item: RoutedRequest
    record: DecisionRecord

    @property
    def key(self) -> Key:
        """Key of repeats of the request."""
        return self.item.key
