"""What the routes of both foreign protocols share: their dependencies, and the answer to a refused request."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from fastapi import Request, Response

from serving.errors import ModelNotReadyError, RequestError
from serving.http.errors import error_response, form_of
from serving.slots.slots import Slots
from serving.wire.request_context import RequestContext
from serving.wire.score_response import ScoreResponse

Begin = Callable[[Request], RequestContext]
"""Authenticates and admits a request for decisions."""
ReadBody = Callable[[Request, RequestContext], Awaitable[bytes]]
"""Reads a body up to the longest one and to the deadline."""
Refused = Callable[[Request, RequestError], None]
"""Counts and records a refused request."""


class Decides(Protocol):
    """The scorer: all of the requests are decided and recorded, or none."""

    async def decide(  # noqa: D102
        self,
        model: str,
        requests: Sequence[Mapping[str, Any]],
        context: RequestContext,
        release_number: int | None = None,
    ) -> list[ScoreResponse]: ...


@dataclass(frozen=True)
class ProtocolEndpoints:
    """What the endpoints of a foreign protocol take.

    `begin` admits requests for decisions, `violations` says why this server should get no traffic, and `max_batch` is
    the greatest number of rows in a request.
    """

    scoring: Decides
    slots: Slots
    begin: Begin
    read_body: ReadBody
    violations: Callable[[], list[str]]
    max_batch: int


def name_model(request: Request, model: str | None) -> None:
    """Note the model that a request asks for, where its path does not name it."""
    request.state.model = model


def asked_model(request: Request) -> str | None:
    """The model that a request asks for, by its path or as `name_model` noted it; ``None`` if it is not known yet."""
    model: str | None = request.path_params.get("model") or getattr(request.state, "model", None)
    return model


def refusal_handler(refused: Refused) -> Callable[[Request, Exception], Awaitable[Response]]:
    """FastAPI's handler of a `RequestError`: the status of the one table, and a body in the form of the path."""

    async def answer(request: Request, error: Exception) -> Response:
        refusal = cast("RequestError", error)
        refused(request, refusal)
        return error_response(refusal, form_of(request.scope["path"]))

    return answer


def check_ready(violations: Sequence[str]) -> None:
    """Raise `ModelNotReadyError` if there is a reason why this server should get no traffic."""
    if violations:
        raise ModelNotReadyError(f"Expected a server that is ready, but {'; '.join(violations)}")
