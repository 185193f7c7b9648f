"""``/v1/models`` and ``/v1/models/{model}``: what answers, in which slot, and how to ask it."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.contract.documents import Release, SlotRelease
from serving.errors import RequestError
from serving.http.errors import JsonResponse, error_response
from serving.slots.slots import Servable, ServedModel, Slots
from serving.slots.states import Transition
from serving.wire.score_request import example_request

RECENT_TRANSITIONS: Final = 20


def model_routes(slots: Slots) -> list[Route]:
    """The routes that describe models."""

    async def list_models(_request: Request) -> Response:
        models = [summary(slots, model) for model in sorted(slots.statuses)]
        return JsonResponse(msgspec.json.encode({"models": models}))

    async def describe_model(request: Request) -> Response:
        model = request.path_params["model"]
        try:
            serving = slots.serving(model)
        except RequestError as error:
            return error_response(error)
        return JsonResponse(msgspec.json.encode(summary(slots, model) | description(model, serving)))

    return [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{model}", describe_model, methods=["GET"]),
    ]


def summary(slots: Slots, model: str) -> dict[str, Any]:
    """One model: what answers, what stands in its slots, and why a newer release does not answer."""
    status, serving = slots.statuses[model], slots.models.get(model)
    releases = [serving.held.release] if serving else []
    releases += [status.aspired] if status.aspired else []
    return {
        "model": model,
        "state": state_of(serving, status.error),
        "changed_at": status.changed_at,
        "release_number": serving.release_number if serving else None,
        "bundle_digest": serving.champion.bundle_digest if serving else None,
        "as_of": serving.held.release.champion.as_of if serving else None,
        "aspired_release_number": status.aspired_number,
        "error": status.error,
        "slots": [slot_entry(last, releases) for last in slots.journal.of_model(model)],
        "transitions": [event_entry(event) for event in slots.events.get(model, ())[-RECENT_TRANSITIONS:]],
    }


def state_of(serving: ServedModel | None, error: str | None) -> str:
    """One word for a model: ``failed`` if its newest release was refused, also where the one before serves on."""
    if error is not None:
        return "failed"
    return "new" if serving is None else "serving"


def slot_entry(last: Transition, releases: list[Release]) -> dict[str, Any]:
    """A bundle in a slot and the state it is in; the salt stays inside, since it would say who is routed where."""
    stands = next((_stands(release, last) for release in releases if release.number == last.release_number), None)
    return event_entry(last) | {
        "as_of": stands.as_of if stands else None,
        "percent": stands.percent if stands else None,
    }


def event_entry(event: Transition) -> dict[str, Any]:
    """A transition."""
    return {
        "slot": event.slot,
        "state": event.state,
        "at": event.at,
        "release_number": event.release_number,
        "bundle_digest": event.bundle_digest,
        "error": event.error,
    }


def description(model: str, serving: ServedModel) -> dict[str, Any]:
    """How to ask a model: the champion's input schema, and a request that it answers.

    `other_schemas` holds the features of the slots beside the champion that take others than it does.
    """
    champion = serving.champion
    bundle = champion.model.bundle
    features = bundle.deciding.features
    return {
        "candidate_digest": bundle.manifest.candidate_digest,
        "bands": bundle.deciding.bands,
        "features": features,
        "other_schemas": {each.slot: _features(each) for each in serving.deployed[1:] if _features(each) != features},
        "request_schema": champion.reader.json_schema(),
        "example": example_request(features),
        "score_path": f"/v1/models/{model}/score",
    }


def _features(deployed: Servable) -> Any:
    return deployed.model.bundle.deciding.features


def _stands(release: Release, last: Transition) -> SlotRelease | None:
    stands: SlotRelease | None = getattr(release, last.slot)
    return stands
