"""``/invocations``, ``/ping``, ``/health`` and ``/version``: the protocol of MLflow's own scoring server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.errors import (
    InvalidRequestError,
    ModelNotReadyError,
    UnsupportedMediaTypeError,
)
from serving.http.errors import JsonResponse
from serving.protocols.guard import (
    Begin,
    Decides,
    Endpoint,
    ReadBody,
    Refused,
    Served,
    guarded,
    refuse_encoded,
    refuse_silently,
)
from serving.protocols.mlflow.csv_tables import read_csv
from serving.protocols.mlflow.tables import Invocation, Params, in_frame_terms, read_invocation, requests_of
from serving.protocols.open_inference.routes import features_of, server_version

JSON: Final = "application/json"
CSV: Final = "text/csv"


def mlflow_routes(
    scoring: Decides,
    slots: Served,
    begin: Begin,
    *,
    read_body: ReadBody,
    violations: Callable[[], list[str]],
    max_batch: int,
    mlflow_model: str | None,
    refused: Refused = refuse_silently,
) -> list[Route]:
    """The routes of the protocol.

    Parameters
    ----------
    begin
        Admits and authenticates whoever invokes; health and the version are open here.
    complaints
        Why this server should get no traffic; empty if it should.
    max_batch
        Most rows of a request.
    mlflow_model
        The model that answers where a request names none; ``None`` for the only one served.
    """
    mlflow = Mlflow(scoring, slots, begin, read_body, violations, max_batch, mlflow_model)

    def route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
        return Route(path, guarded(endpoint, refused), methods=[method])

    return [
        route("/ping", mlflow.ping),
        route("/health", mlflow.ping),
        route("/version", mlflow.version),
        route("/invocations", mlflow.invoke, "POST"),
    ]


@dataclass(frozen=True, slots=True)
class Mlflow:
    """The endpoints; they raise `RequestError`, which the routes turn into MLflow's form of an error."""

    scoring: Decides
    slots: Served
    begin: Begin
    read_body: ReadBody
    violations: Callable[[], list[str]]
    max_batch: int
    mlflow_model: str | None

    async def ping(self, _request: Request) -> Response:
        """Whether the server should get traffic; says in the error why not."""
        violations = self.violations()
        if violations:
            raise ModelNotReadyError(f"Expected a server that is ready, but {'; '.join(violations)}")
        return JsonResponse(b"\n")

    async def version(self, _request: Request) -> Response:
        """The version of this server, as plain text: MLflow itself is not part of it."""
        return Response(server_version(), media_type="text/plain")

    async def invoke(self, request: Request) -> Response:
        """Decide each row of a table."""
        context = self.begin(request)
        kind = media_type(request.headers.get("content-type"))
        refuse_encoded(request)
        body = await self.read_body(request, context)
        asked = read_invocation(body, self.max_batch) if kind == JSON else None
        model = self.model_of(Params() if asked is None else asked.params)
        features = features_of(self.slots.serving(model))
        frame, params = asked or Invocation(read_csv(body, features, self.max_batch), Params())
        if params.explain:
            context = msgspec.structs.replace(context, is_explained=True)
        requests = requests_of(frame)
        try:
            answers = await self.scoring.decide(model, requests, context)
        except InvalidRequestError as error:
            raise in_frame_terms(error, frame, features) from None
        return JsonResponse(msgspec.json.encode({"predictions": answers}))

    def model_of(self, params: Params) -> str:
        """The model that a request is for.

        Raises
        ------
        InvalidRequestError
            If it names none, the settings neither, and not exactly one is served.
        """
        named = params.model or self.mlflow_model
        if named is not None:
            return named
        served = list(self.slots.models)
        if len(served) != 1:
            raise InvalidRequestError(
                f"Expected the model's name in params.model, since {len(served)} models are served; the server's "
                "setting mlflow_model names one for all",
                "$.params.model",
            )
        return served[0]


def media_type(header: str | None) -> str:
    """The media type that a header names, if the route reads it.

    Raises
    ------
    UnsupportedMediaTypeError
        If it is neither JSON nor CSV, has a charset other than UTF-8, or another parameter.

    Examples
    --------
    >>> media_type("text/csv; charset=UTF-8")
    'text/csv'
    """
    kind, *parameters = (part.strip().lower() for part in (header or "").split(";"))
    charsets = [value.strip('"') for name, _, value in map(_partition, parameters) if name == "charset"]
    if kind not in {JSON, CSV} or len(charsets) < len(parameters) or not {"utf-8", "utf8"}.issuperset(charsets):
        raise UnsupportedMediaTypeError(f"Expected the content type {JSON} or {CSV}, in UTF-8")
    return kind


def _partition(parameter: str) -> tuple[str, str, str]:
    return parameter.partition("=")
