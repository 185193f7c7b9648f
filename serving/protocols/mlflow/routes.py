"""``/invocations``, ``/ping``, ``/health`` and ``/version``: the protocol of MLflow's own scoring server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from serving.errors import InvalidRequestError, UnsupportedMediaTypeError
from serving.http.descriptions import (
    DECISION_ERRORS,
    DECISION_HEADERS,
    JSON,
    InvocationError,
    content,
    errors,
    extra,
    reference,
    success,
    text,
)
from serving.http.errors import JsonResponse
from serving.protocols.guard import Begin, Decides, ProtocolEndpoints, ReadBody, check_ready, name_model
from serving.protocols.mlflow.csv_tables import read_csv
from serving.protocols.mlflow.tables import Invocation, Params, in_frame_terms, read_invocation, requests_of
from serving.protocols.open_inference.routes import features_of, server_version
from serving.slots.slots import Slots

CSV: Final = "text/csv"
_PREDICTIONS: Final = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array", "items": reference("ScoreResponse")}},
    "additionalProperties": False,
}


def mlflow_router(
    scoring: Decides,
    slots: Slots,
    begin: Begin,
    *,
    read_body: ReadBody,
    violations: Callable[[], list[str]],
    max_batch: int,
    mlflow_model: str | None,
) -> APIRouter:
    """The routes of the protocol; they raise `RequestError`, for `refusal_handler` to answer.

    Parameters
    ----------
    begin
        Authenticates and admits invocations; the other routes are not admitted here.
    violations
        Why this server should get no traffic; empty if it should.
    max_batch
        Most rows of a request.
    mlflow_model
        The model that answers where a request names none; ``None`` for the only one served.
    """
    mlflow = Mlflow(scoring, slots, begin, read_body, violations, max_batch, mlflow_model)
    router = APIRouter(tags=["mlflow"])

    def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
        return errors(*statuses, body=InvocationError)

    for path in ("/ping", "/health"):
        router.add_api_route(
            path,
            mlflow.ping,
            operation_id=f"mlflow{path.replace('/', '_')}",
            response_class=Response,
            # MLflow's own server answers with an empty line and calls it JSON.
            responses=success({JSON: {}}) | refusals(503),
            openapi_extra=extra(is_open=True),
        )
    router.add_api_route(
        "/version",
        mlflow.version,
        operation_id="mlflow_version",
        response_class=Response,
        responses=text("text/plain") | refusals(401, 403),
    )
    router.add_api_route(
        "/invocations",
        mlflow.invoke,
        methods=["POST"],
        operation_id="invocations",
        response_description="The decisions, recorded, in the order of the rows.",
        responses=success(content(_PREDICTIONS)) | refusals(*DECISION_ERRORS),
        openapi_extra=extra(
            *DECISION_HEADERS,
            body=content(reference("InvocationRequest")) | content({"type": "string"}, CSV),
        ),
    )
    return router


@dataclass(frozen=True)
class Mlflow(ProtocolEndpoints):
    """The endpoints."""

    mlflow_model: str | None

    async def ping(self) -> Response:
        """Whether the server should get traffic; the error says why not."""
        check_ready(self.violations())
        return JsonResponse(b"\n")

    async def version(self) -> Response:
        """The version of this server, as plain text: MLflow itself is not part of it."""
        return PlainTextResponse(server_version())

    async def invoke(self, request: Request) -> Response:
        """Decide each row of a table."""
        name_model(request, self.usual_model())
        context = self.begin(request)
        kind = media_type(request.headers.get("content-type"))
        body = await self.read_body(request, context)
        asked = read_invocation(body, self.max_batch) if kind == JSON else None
        model = self.model_of(Params() if asked is None else asked.params)
        name_model(request, model)
        features = features_of(self.slots.serving(model))
        frame, params = asked or Invocation(read_csv(body, features, self.max_batch), Params())
        if params.explain:
            context = msgspec.structs.replace(context, is_explained=True)
        requests = requests_of(frame, features)
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
            If neither the request nor the settings name one, and not exactly one is served.
        """
        name = params.model or self.usual_model()
        if name is None:
            raise InvalidRequestError(
                f"Expected the model's name in params.model, since {len(self.slots.models)} models are served; the "
                "server's setting mlflow_model names one for all",
                "$.params.model",
            )
        return name

    def usual_model(self) -> str | None:
        """The model of a request that names none: that of the setting, or the only one that is served."""
        served = list(self.slots.models)
        return self.mlflow_model or (served[0] if len(served) == 1 else None)


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
