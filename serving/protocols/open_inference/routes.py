"""``/v2``: the Open Inference Protocol, version 2, as KServe and Triton speak it, with binary tensor data.

A model's version is the number of its release. The release in force answers; a path with another number is refused, so
that no caller gets an answer from a release other than the one it asked for.
"""

import functools
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import Field

from serving.contract.derivation import facts_of, fields_of_request
from serving.contract.distribution import DISTRIBUTION
from serving.contract.documents import Deciding, Feature
from serving.contract.schema_rules import ENVELOPE
from serving.errors import (
    DecisionConflictError,
    InvalidRequestError,
    ReleaseNotInForceError,
    UnknownModelError,
)
from serving.http.descriptions import (
    DECISION_ERRORS,
    DECISION_HEADERS,
    HEADER_LENGTH,
    MODEL,
    VERSION,
    Body,
    InferenceError,
    content,
    errors,
    extra,
    reference,
    success,
)
from serving.http.errors import JsonResponse
from serving.protocols.guard import Begin, Decides, ProtocolEndpoints, ReadBody, check_ready
from serving.protocols.open_inference.rows import (
    OUTPUTS,
    USUAL_DATATYPE,
    check_wanted,
    columns_of,
    in_tensor_terms,
    known_features,
    rows_of,
)
from serving.protocols.open_inference.tensors import (
    BYTES,
    DATATYPES,
    InferRequest,
    read_infer_request,
    write_infer_response,
)
from serving.slots.slots import ServedModel, Slots
from serving.wire.score_response import ScoreResponse

SERVER_NAME: Final = "risk-model-server"
BINARY: Final = "application/octet-stream"
_BYTES: Final = {"type": "string", "format": "binary"}

_Datatype = Annotated[str, Field(json_schema_extra={"enum": list(DATATYPES)})]


class ServerMetadata(Body):
    """The server's name, version and extensions of the protocol."""

    name: str
    version: str
    extensions: list[Literal["binary_tensor_data"]]


class ServerLive(Body):
    """Whether the process lives."""

    live: bool


class ServerReady(Body):
    """Whether the server should get traffic."""

    ready: bool


class ModelReady(Body):
    """Whether a model answers."""

    name: str
    ready: bool


class MetadataTensor(Body):
    """A tensor of a model's metadata."""

    name: str
    datatype: _Datatype
    shape: list[Annotated[int, Field(ge=-1)]]


class ModelMetadata(Body):
    """A tensor for each key of the envelope and for each feature, and one for each output."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]


class BinarySize(Body):
    """Length of an output's binary data."""

    binary_data_size: Annotated[int, Field(ge=0)]


class ResponseOutput(Body):
    """An output, an element a row; `data` is missing where the output is binary."""

    name: str
    datatype: _Datatype
    shape: list[int]
    data: Annotated[list[Any], Field(default_factory=list)]
    parameters: Annotated[BinarySize, Field(default_factory=lambda: BinarySize(binary_data_size=0))]


class InferenceResponse(Body):
    """The decisions; `model_version` is the release that decided, missing where several did."""

    model_name: str
    outputs: list[ResponseOutput]
    model_version: Annotated[str, Field(default_factory=str)]
    id: Annotated[str, Field(default_factory=str)]


def open_inference_router(
    scoring: Decides,
    slots: Slots,
    begin: Begin,
    *,
    read_body: ReadBody,
    violations: Callable[[], list[str]],
    max_batch: int,
) -> APIRouter:
    """The routes of the protocol; they raise `RequestError`, for `refusal_handler` to answer.

    Parameters
    ----------
    begin
        Authenticates and admits requests to infer; the other routes are not admitted here.
    violations
        Why this server should get no traffic; empty if it should.
    max_batch
        Most rows of a request.
    """
    v2 = OpenInference(scoring, slots, begin, read_body, violations, max_batch)
    router = APIRouter(tags=["open inference protocol"])
    is_open = extra(is_open=True)

    def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
        return errors(*statuses, body=InferenceError)

    router.add_api_route("/v2", v2.describe_server, operation_id="server_metadata", responses=refusals(401, 403))
    router.add_api_route("/v2/health/live", v2.is_live, operation_id="server_live", openapi_extra=is_open)
    router.add_api_route(
        "/v2/health/ready", v2.is_ready, operation_id="server_ready", responses=refusals(503), openapi_extra=is_open
    )
    for path, prefix, parameters in (
        ("/v2/models/{model}", "model", (MODEL,)),
        ("/v2/models/{model}/versions/{version}", "model_version", (MODEL, VERSION)),
    ):
        router.add_api_route(
            path,
            v2.describe_model,
            operation_id=f"{prefix}_metadata",
            responses=refusals(401, 403, 404, 503),
            openapi_extra=extra(*parameters),
        )
        router.add_api_route(
            f"{path}/ready",
            v2.is_model_ready,
            operation_id=f"{prefix}_ready",
            responses=refusals(404, 503),
            openapi_extra=extra(*parameters, is_open=True),
        )
        router.add_api_route(
            f"{path}/infer",
            v2.infer,
            methods=["POST"],
            operation_id=f"{prefix}_infer",
            response_model=InferenceResponse,
            response_description="The decisions, recorded, a tensor for each output.",
            responses=success(content(_BYTES, BINARY)) | refusals(*DECISION_ERRORS),
            openapi_extra=extra(
                *parameters,
                *DECISION_HEADERS,
                HEADER_LENGTH,
                body=content(reference("InferenceRequest")) | content(_BYTES, BINARY),
            ),
        )
    return router


class OpenInference(ProtocolEndpoints):
    """The endpoints."""

    async def describe_server(self) -> ServerMetadata:
        """Server metadata."""
        return ServerMetadata(name=SERVER_NAME, version=server_version(), extensions=["binary_tensor_data"])

    async def is_live(self) -> ServerLive:
        """Whether the process lives."""
        return ServerLive(live=True)

    async def is_ready(self) -> ServerReady:
        """Whether the server should get traffic; the error says why not."""
        check_ready(self.violations())
        return ServerReady(ready=True)

    async def is_model_ready(self, request: Request) -> ModelReady:
        """Whether a model answers, and in that version if the path has one."""
        try:
            model, _, _ = self._served(request)
        except UnknownModelError:
            # This route needs no key, and so the error does not list the models.
            raise UnknownModelError("Expected a model of this server, got another one") from None
        return ModelReady(name=model, ready=True)

    async def describe_model(self, request: Request) -> ModelMetadata:
        """Model metadata."""
        model, serving, _ = self._served(request)
        return model_metadata(model, serving)

    async def infer(self, request: Request) -> Response:
        """Decide each row of the tensors."""
        context = self.begin(request)
        self._served(request)
        body = await self.read_body(request, context)
        # Looked up again, since a release may have arrived while the body was read.
        model, serving, pinned = self._served(request)
        asked = read_infer_request(body, request.headers.get(HEADER_LENGTH["name"]), self.max_batch)
        if asked.model_name not in {None, model}:
            raise InvalidRequestError("Expected the model that the path names, or no name", "$.model_name")
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
                "decisions stay, and a path without a version answers with them"
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
    """Everything that a request to any slot of a release may hold, by name: features, derived ones included, facts."""
    return known_features((*each.features, *facts_of(each)) for each in _decidings(serving))


def carried_by(serving: ServedModel) -> dict[str, Feature]:
    """What a request carries for all slots of a release, by name: a feature that every slot derives is not among it."""
    return known_features(fields_of_request(each) for each in _decidings(serving))


def _decidings(serving: ServedModel) -> list[Deciding]:
    deployed = (serving.champion, serving.canary, serving.shadow)
    return [each.model.bundle.deciding for each in deployed if each is not None]


def model_metadata(model: str, serving: ServedModel) -> ModelMetadata:
    """Metadata of a model: a tensor for each key of the envelope and for each field that a request carries."""
    inputs = dict.fromkeys(ENVELOPE, BYTES)
    inputs |= {name: USUAL_DATATYPE[field.dtype] for name, field in carried_by(serving).items()}
    return ModelMetadata(
        name=model,
        versions=[str(serving.champion.release_number)],
        platform="lightgbm",
        inputs=_tensors(inputs),
        outputs=_tensors(OUTPUTS),
    )


def _tensors(datatypes: Mapping[str, str]) -> list[MetadataTensor]:
    return [MetadataTensor(name=name, datatype=datatype, shape=[-1]) for name, datatype in datatypes.items()]


def infer_response(model: str, asked: InferRequest, answers: list[ScoreResponse]) -> Response:
    """The answers as the requested outputs."""
    if asked.wanted:
        names = tuple(each.name for each in asked.wanted)
        binary = frozenset(each.name for each in asked.wanted if each.is_binary)
    else:
        names = tuple(OUTPUTS)
        binary = frozenset(names) if asked.is_binary else frozenset()
    head: dict[str, Any] = {"model_name": model}
    numbers = {answer.release_number for answer in answers}
    if len(numbers) == 1:
        # A repeat gets its first answer, maybe of an earlier release; the output `release_number` has each row's.
        head["model_version"] = str(numbers.pop())
    if asked.id is not None:
        head["id"] = asked.id
    body, header_length = write_infer_response(head, columns_of(answers, names), binary)
    if header_length is None:
        return JsonResponse(body)
    return Response(body, headers={HEADER_LENGTH["name"]: str(header_length)}, media_type=BINARY)


@functools.cache
def server_version() -> str:
    """The version of this installation."""
    return importlib.metadata.version(DISTRIBUTION)
