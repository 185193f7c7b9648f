"""``/v1/models`` and ``/v1/models/{model}``: the models, the bundles in their slots, and how to call each model."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import WithJsonSchema

from serving.contract.derivation import facts_of, fields_of_request
from serving.contract.documents import Bands, Feature, Release, SlotName, SlotRelease
from serving.errors import RequestError
from serving.http.descriptions import MODEL, Body, as_schema, components, errors, extra
from serving.http.errors import error_response
from serving.slots.slots import Servable, ServedModel, Slots
from serving.slots.states import State, Transition
from serving.wire.score_request import example_request

RECENT_TRANSITIONS: Final = 20

ModelState = Literal["new", "serving", "failed"]


def _feature_schema() -> dict[str, Any]:
    """Schema of a feature as it is shown: a derivation is its SQL, without the tree."""
    schema: dict[str, Any] = components([Feature])[Feature.__name__]
    shown = {"type": "string", "description": "SQL of a derived feature, over other fields of the request."}
    return schema | {"properties": schema["properties"] | {"derivation": shown}}


_Features = list[Annotated[dict[str, Any], WithJsonSchema(_feature_schema())]]


class SlotTransition(Body):
    """A bundle entered a state in a slot."""

    slot: SlotName
    state: State
    at: dt.datetime
    release_number: int
    bundle_digest: str
    error: str | None


class SlotState(SlotTransition):
    """A bundle in a slot. The canary's salt is left out: it would tell which entities the canary decides."""

    as_of: str | None
    percent: float | None


class PromotionHold(Body):
    """The rollback that holds automatic promotion of a model until a person runs `lifecycle resume`."""

    release_number: int
    held_by: str
    held_since: dt.datetime
    reason: str


class ModelSummary(Body):
    """One model: what answers, what its slots hold, why a newer release does not answer, and what holds promotion."""

    model: str
    state: ModelState
    changed_at: dt.datetime
    release_number: int | None
    bundle_digest: str | None
    as_of: str | None
    aspired_release_number: int | None
    error: str | None
    promotion_hold: PromotionHold | None
    slots: list[SlotState]
    transitions: list[SlotTransition]


class ModelList(Body):
    """Every model that a release names."""

    models: list[ModelSummary]


class ModelDescription(ModelSummary):
    """How to call a model: the champion's input schema, and a request that it answers.

    `facts` holds further fields of a request, which derived features follow from; a request leaves derived ones out.
    `descriptions` holds the features' meanings, as far as the bundle has them.
    `other_schemas` holds the features of the slots that take others than the champion.
    """

    candidate_digest: str
    bands: Annotated[dict[str, Any], as_schema(Bands)]
    features: _Features
    facts: _Features
    descriptions: dict[str, str]
    other_schemas: dict[str, _Features]
    request_schema: dict[str, Any]
    example: dict[str, Any]
    score_path: str


def models_router(slots: Slots) -> APIRouter:
    """The routes that describe models."""
    router = APIRouter(tags=["models"], responses=errors(401, 403))

    @router.get("/v1/models", operation_id="list_models", summary="Every model with its slots and their states")
    async def list_models() -> ModelList:
        return ModelList(models=[ModelSummary(**_summary(slots, model)) for model in sorted(slots.statuses)])

    @router.get(
        "/v1/models/{model}",
        operation_id="describe_model",
        summary="One model with its features and an example request",
        response_model=ModelDescription,
        responses=errors(404, 503),
        openapi_extra=extra(MODEL),
    )
    async def describe_model(request: Request) -> ModelDescription | Response:
        model = request.path_params["model"]
        try:
            serving = slots.serving(model)
        except RequestError as error:
            return error_response(error)
        return _description(slots, model, serving)

    return router


def state_of(serving: ServedModel | None, error: str | None) -> ModelState:
    """State of a model: ``failed`` if its newest release was refused, also where the previous one still answers."""
    if error is not None:
        return "failed"
    return "new" if serving is None else "serving"


def _summary(slots: Slots, model: str) -> dict[str, Any]:
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
        "promotion_hold": _promotion_hold(status.hold),
        "slots": [_slot_state(last, releases) for last in slots.journal.of_model(model)],
        "transitions": [SlotTransition(**_event(event)) for event in slots.events.get(model, ())[-RECENT_TRANSITIONS:]],
    }


def _promotion_hold(rollback: Release | None) -> PromotionHold | None:
    if rollback is None:
        return None
    return PromotionHold(
        release_number=rollback.number,
        held_by=rollback.released_by,
        held_since=rollback.released_at,
        reason=rollback.reason,
    )


def _slot_state(last: Transition, releases: list[Release]) -> SlotState:
    number = last.release_number
    bundle = next((_bundle_in(release, last.slot) for release in releases if release.number == number), None)
    return SlotState(**_event(last), as_of=bundle.as_of if bundle else None, percent=bundle.percent if bundle else None)


def _event(event: Transition) -> dict[str, Any]:
    return {name: getattr(event, name) for name in SlotTransition.model_fields}


def _description(slots: Slots, model: str, serving: ServedModel) -> ModelDescription:
    champion = serving.champion
    bundle = champion.model.bundle
    features = _features(champion)
    return ModelDescription(
        **_summary(slots, model),
        candidate_digest=bundle.manifest.candidate_digest,
        bands=msgspec.to_builtins(bundle.deciding.bands),
        features=features,
        facts=_shown(facts_of(bundle.deciding)),
        descriptions=bundle.manifest.descriptions,
        other_schemas={
            servable.slot: _features(servable) for servable in serving.deployed[1:] if _features(servable) != features
        },
        request_schema=champion.reader.json_schema(),
        example=example_request(fields_of_request(bundle.deciding), champion.model.example),
        score_path=f"/v1/models/{model}/score",
    )


def _features(servable: Servable) -> list[dict[str, Any]]:
    return _shown(servable.model.bundle.deciding.features)


def _shown(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """Features for callers, who need the SQL of a derivation and not its tree."""
    shown: list[dict[str, Any]] = msgspec.to_builtins(features)
    for feature in shown:
        if "derivation" in feature:
            feature["derivation"] = feature["derivation"]["sql"]
    return shown


def _bundle_in(release: Release, slot: SlotName) -> SlotRelease | None:
    bundle: SlotRelease | None = getattr(release, slot)
    return bundle
