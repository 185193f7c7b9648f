"""``/v1/models`` and ``/v1/models/{model}``: what answers, and how to ask it."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.api.errors import JsonResponse, error_response
from serving.errors import RequestError
from serving.score_request import example_request
from serving.slots import Champion, Slots, Status


def model_routes(slots: Slots) -> list[Route]:
    """The routes that describe models."""

    async def list_models(_request: Request) -> Response:
        champions = slots.champions
        models = [summary(model, status, champions.get(model)) for model, status in sorted(slots.statuses.items())]
        retired = [
            {"model": each.model, "state": each.status.state, "release_number": each.champion.release_number}
            for each in slots.retired
        ]
        return JsonResponse(msgspec.json.encode({"models": models, "retired": retired}))

    async def describe_model(request: Request) -> Response:
        model = request.path_params["model"]
        try:
            champion = slots.champion(model)
        except RequestError as error:
            return error_response(error)
        return JsonResponse(msgspec.json.encode(description(model, slots.statuses[model], champion)))

    return [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{model}", describe_model, methods=["GET"]),
    ]


def summary(model: str, status: Status, champion: Champion | None) -> dict[str, Any]:
    """One model in the list: its state, what answers, and why a newer release does not."""
    return {
        "model": model,
        "state": status.state,
        "changed_at": status.changed_at,
        "release_number": champion.release_number if champion else None,
        "bundle_digest": champion.bundle_digest if champion else None,
        "as_of": champion.held.release.champion.as_of if champion else None,
        "aspired_release_number": status.aspired_number,
        "error": status.error,
    }


def description(model: str, status: Status, champion: Champion) -> dict[str, Any]:
    """One model with its input schema and a request that it answers."""
    bundle = champion.model.bundle
    features = bundle.deciding.features
    return summary(model, status, champion) | {
        "candidate_digest": bundle.manifest.candidate_digest,
        "bands": bundle.deciding.bands,
        "features": features,
        "request_schema": champion.reader.json_schema(),
        "example": example_request(features),
        "score_path": f"/v1/models/{model}/score",
    }
