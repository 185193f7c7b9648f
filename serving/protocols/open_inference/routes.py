"""``/v2``: the Open Inference Protocol, version 2, as KServe and Triton speak it, with binary tensor data.

A model's version is the number of its release. The one in force answers; a path that names another one is refused,
so that nobody is answered by a release they did not ask for.
"""

import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.contract.documents import Feature
from serving.errors import (
    DecisionConflictError,
    InvalidRequestError,
    ModelNotReadyError,
    ReleaseNotInForceError,
    UnknownModelError,
)
from serving.http.errors import JsonResponse
from serving.protocols.guard import (
    Begin,
    Decides,
    Endpoint,
    ReadBody,
    Refused,
    Served,
    ServedModel,
    guarded,
    refuse_encoded,
    refuse_silently,
)
from serving.protocols.open_inference.rows import (
    ENVELOPE,
    OUTPUTS,
    USUAL_DATATYPE,
    check_wanted,
    columns_of,
    in_tensor_terms,
    known_features,
    rows_of,
)
from serving.protocols.open_inference.tensors import BYTES, InferRequest, read_infer_request, write_infer_response
from serving.wire.score_response import ScoreResponse

EXTENSIONS: Final = ("binary_tensor_data",)
SERVER_NAME: Final = "risk-model-server"
HEADER_LENGTH: Final = "Inference-Header-Content-Length"

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = "/v2/models/{model}/versions/{version}"


def open_inference_routes(
    scoring: Decides,
    slots: Served,
    begin: Begin,
    *,
    read_body: ReadBody,
    violations: Callable[[], list[str]],
    max_batch: int,
    refused: Refused = refuse_silently,
) -> list[Route]:
    """The routes of the protocol.

    Parameters
    ----------
    begin
        Admits and authenticates whoever infers; metadata and health are open here.
    complaints
        Why this server should get no traffic; empty if it should.
    max_batch
        Most rows of a request.
    """
    v2 = OpenInference(scoring, slots, begin, read_body, violations, max_batch)

    def route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
        return Route(path, guarded(endpoint, refused), methods=[method])

    routes = [
        route("/v2", v2.describe_server),
        route("/v2/health/live", v2.is_live),
        route("/v2/health/ready", v2.is_ready),
    ]
    for model in (_MODEL, _VERSION):
        routes += [
            route(model, v2.describe_model),
            route(f"{model}/ready", v2.is_model_ready),
            route(f"{model}/infer", v2.infer, "POST"),
        ]
    return routes


@dataclass(frozen=True, slots=True)
class OpenInference:
    """The endpoints; they raise `RequestError`, which the routes turn into the protocol's error."""

    scoring: Decides
    slots: Served
    begin: Begin
    read_body: ReadBody
    violations: Callable[[], list[str]]
    max_batch: int

    async def describe_server(self, _request: Request) -> Response:
        """Server metadata."""
        return _json({"name": SERVER_NAME, "version": server_version(), "extensions": EXTENSIONS})

    async def is_live(self, _request: Request) -> Response:
        """Whether the process lives."""
        return _json({"live": True})

    async def is_ready(self, _request: Request) -> Response:
        """Whether the server should get traffic; says in the error why not."""
        violations = self.violations()
        if violations:
            raise ModelNotReadyError(f"Expected a server that is ready, but {'; '.join(violations)}")
        return _json({"ready": True})

    async def is_model_ready(self, request: Request) -> Response:
        """Whether a model answers, and in that version if the path has one."""
        try:
            model, _, _ = self._served(request)
        except UnknownModelError:
            # Asked without a key, and so the models are not listed.
            raise UnknownModelError("Expected a model of this server, got another one") from None
        return _json({"name": model, "ready": True})

    async def describe_model(self, request: Request) -> Response:
        """Model metadata."""
        model, serving, _ = self._served(request)
        return _json(model_metadata(model, serving))

    async def infer(self, request: Request) -> Response:
        """Decide each row of the tensors."""
        context = self.begin(request)
        refuse_encoded(request)
        self._served(request)
        body = await self.read_body(request, context)
        # Looked up again, since a release may have come in with the body.
        model, serving, pinned = self._served(request)
        asked = read_infer_request(body, request.headers.get(HEADER_LENGTH), self.max_batch)
        check_wanted(asked.wanted)
        rows = rows_of(asked, features_of(serving))
        if asked.is_explained:
            context = msgspec.structs.replace(context, is_explained=True)
        try:
            answers = await self.scoring.decide(model, rows, context, pinned)
        except InvalidRequestError as error:
            raise in_tensor_terms(error, asked.tensors) from None
        if pinned is not None and {answer.release_number for answer in answers} != {pinned}:
            raise DecisionConflictError(
                f"Expected decisions by release {pinned}, but another one had decided on a decision_id before; its "
                "decisions stand, and a path without a version answers with them"
            )
        return infer_response(model, asked, answers)

    def _served(self, request: Request) -> tuple[str, ServedModel, int | None]:
        """The model that the path names, what it serves with, and the release number if the path has one."""
        model, version = request.path_params["model"], request.path_params.get("version")
        serving = self.slots.serving(model)
        number = serving.champion.release_number
        if version is None:
            return model, serving, None
        if version != str(number):
            raise ReleaseNotInForceError(f"Expected version {number}, the release in force, got another one")
        return model, serving, number


def features_of(serving: ServedModel) -> dict[str, Feature]:
    """The features that any slot of a release knows, by name."""
    deployed = (serving.champion, serving.canary, serving.shadow)
    return known_features(each.model.bundle.deciding.features for each in deployed if each is not None)


def model_metadata(model: str, serving: ServedModel) -> dict[str, Any]:
    """Metadata of a model as the protocol has it: a tensor for each key of the envelope and for each feature."""
    inputs = [(name, BYTES) for name in ENVELOPE]
    inputs += [(name, USUAL_DATATYPE[feature.dtype]) for name, feature in features_of(serving).items()]
    return {
        "name": model,
        "versions": [str(serving.champion.release_number)],
        "platform": "lightgbm",
        "inputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in inputs],
        "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()],
    }


def infer_response(model: str, asked: InferRequest, answers: list[ScoreResponse]) -> Response:
    """The answers as the outputs that were asked for."""
    if asked.wanted:
        names = tuple(each.name for each in asked.wanted)
        binary = frozenset(each.name for each in asked.wanted if each.is_binary)
    else:
        names = tuple(OUTPUTS)
        binary = frozenset(names) if asked.is_binary else frozenset()
    head: dict[str, Any] = {"model_name": model}
    numbers = {answer.release_number for answer in answers}
    if len(numbers) == 1:
        # Repeats are answered as they were decided, maybe by an earlier release: then `release_number` tells of each.
        head["model_version"] = str(numbers.pop())
    if asked.id is not None:
        head["id"] = asked.id
    body, header_length = write_infer_response(head, columns_of(answers, names), binary)
    if header_length is None:
        return JsonResponse(body)
    return Response(body, headers={HEADER_LENGTH: str(header_length)}, media_type="application/octet-stream")


@functools.cache
def server_version() -> str:
    """The version of this installation."""
    return importlib.metadata.version("risk-model-lifecycle")


def _json(body: dict[str, Any]) -> Response:
    return JsonResponse(msgspec.json.encode(body))
