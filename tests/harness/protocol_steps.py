"""Requests of the foreign protocols, and an application with their routes around a scripted scorer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from serving.contract.documents import Feature
from serving.errors import ModelNotReadyError, RequestError, UnknownModelError
from serving.protocols.guard import refusal_handler
from serving.protocols.mlflow.routes import mlflow_router
from serving.protocols.open_inference.routes import open_inference_router
from serving.wire.request_context import RequestContext
from serving.wire.score_response import ScoreResponse
from tests.harness.small_models import EXAMPLE, MODEL, SCHEMA, score_request

DATATYPES = {"amount": "FP64", "is_night": "INT64", "mean_amount_7d": "FP64"}


def tensors(*requests: dict[str, Any]) -> dict[str, Any]:
    """Score requests as an inference request with JSON data."""
    rows = [{name: value for name, value in request.items() if name != "features"} for request in requests]
    rows = [row | request["features"] for row, request in zip(rows, requests, strict=True)]
    inputs = [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": DATATYPES.get(name, "BYTES"),
            "data": [row[name] for row in rows],
        }
        for name in rows[0]
    ]
    return {"inputs": inputs}


def record(decision_id: str = "d1", **features: Any) -> dict[str, Any]:
    """A score request as a record of a table."""
    envelope = {name: value for name, value in score_request(decision_id).items() if name != "features"}
    return envelope | EXAMPLE | features


def deployed(number: int, schema: Sequence[Feature] = SCHEMA) -> Any:
    """A model in a slot."""
    model = SimpleNamespace(bundle=SimpleNamespace(deciding=SimpleNamespace(features=tuple(schema), facts=None)))
    return SimpleNamespace(release_number=number, model=model)


@dataclass
class Scripted:
    """Slots, scorer and admission that a test scripts; they keep the requests."""

    models: dict[str, Any] = field(
        default_factory=lambda: {MODEL: SimpleNamespace(champion=deployed(3), canary=None, shadow=None)}
    )
    loading: frozenset[str] = frozenset()
    refusal: RequestError | None = None
    violations: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    before_body: Callable[[], None] = lambda: None
    begun: int = 0
    refused: list[str] = field(default_factory=list)
    decided: list[Mapping[str, Any]] = field(default_factory=list)
    contexts: list[RequestContext] = field(default_factory=list)

    def serving(self, model: str) -> Any:
        if model in self.loading:
            raise ModelNotReadyError("Expected a loaded model")
        if model not in self.models:
            raise UnknownModelError(f"Expected one of the models {sorted(self.models)}, got another one")
        return self.models[model]

    def begin(self, _request: Request) -> RequestContext:
        self.begun += 1
        if self.refusal is not None:
            raise self.refusal
        return RequestContext("engine", None, 0.0, 1e9, is_explained=False, announced_bytes=None)

    async def read_body(self, request: Request, _context: RequestContext) -> bytes:
        self.before_body()
        return await request.body()

    async def decide(
        self,
        model: str,
        requests: Sequence[Mapping[str, Any]],
        context: RequestContext,
        release_number: int | None = None,
    ) -> list[ScoreResponse]:
        self.contexts.append(context)
        self.decided.extend(requests)
        in_force = self.serving(model).champion.release_number
        return [
            ScoreResponse(
                decision_id=each["decision_id"],
                model=model,
                slot="champion",
                bundle_digest="f" * 64,
                release_number=self.numbers.get(each["decision_id"], in_force),
                score=0.5,
                margin=0.0,
                decision="review",
            )
            for each in requests
        ]

    def app(self, mlflow_model: str | None = None, max_batch: int = 4) -> FastAPI:
        def refused(_request: Request, error: RequestError) -> None:
            self.refused.append(error.kind)

        protocol: dict[str, Any] = {
            "read_body": self.read_body,
            "violations": lambda: self.violations,
            "max_batch": max_batch,
        }
        slots: Any = self
        app = FastAPI(openapi_url=None)
        app.add_exception_handler(RequestError, refusal_handler(refused))
        app.include_router(open_inference_router(self, slots, self.begin, **protocol))
        app.include_router(mlflow_router(self, slots, self.begin, mlflow_model=mlflow_model, **protocol))
        return app
