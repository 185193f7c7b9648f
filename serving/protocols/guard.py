"""What the routes of foreign protocols are given, and how they refuse; each keeps its own form of an error."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from serving.errors import RequestError, UnsupportedMediaTypeError
from serving.http.errors import error_response, form_of
from serving.scoring.model import LoadedModel
from serving.wire.request_context import RequestContext
from serving.wire.score_response import ScoreResponse

Begin = Callable[[Request], RequestContext]
"""Admits and authenticates a request for decisions."""
ReadBody = Callable[[Request, RequestContext], Awaitable[bytes]]
"""Reads a body up to the longest one and to the deadline."""
Refused = Callable[[Request, RequestError], None]
"""Counts and records a request that gets no answer."""
Endpoint = Callable[[Request], Awaitable[Response]]


class Servable(Protocol):
    """One model in one slot of a release."""

    @property
    def model(self) -> LoadedModel: ...  # noqa: D102
    @property
    def release_number(self) -> int: ...  # noqa: D102


class ServedModel(Protocol):
    """What one model serves with."""

    @property
    def champion(self) -> Servable: ...  # noqa: D102
    @property
    def canary(self) -> Servable | None: ...  # noqa: D102
    @property
    def shadow(self) -> Servable | None: ...  # noqa: D102


class Served(Protocol):
    """The models of this server; `serving` raises `UnknownModelError` and `ModelNotReadyError`."""

    @property
    def models(self) -> Mapping[str, ServedModel]: ...  # noqa: D102
    def serving(self, model: str) -> ServedModel: ...  # noqa: D102


class Decides(Protocol):
    """The scorer: all of the requests are decided and recorded, or none."""

    async def decide(  # noqa: D102
        self,
        model: str,
        requests: Sequence[Mapping[str, Any]],
        context: RequestContext,
        release_number: int | None = None,
    ) -> list[ScoreResponse]: ...


def refuse_silently(_request: Request, _error: RequestError) -> None:
    """Count and record nothing."""


def guarded(endpoint: Endpoint, refused: Refused) -> Endpoint:
    """`endpoint`, its domain errors answered with the status of the one table and a body of its path's form."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RequestError as error:
            refused(request, error)
            return error_response(error, form_of(request.scope["path"]))

    return answer


def refuse_encoded(request: Request) -> None:
    """Raise `UnsupportedMediaTypeError` if the body is compressed: it could unpack to any size."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaTypeError("Expected a body that is not compressed")
