"""The OpenAPI document: it is valid, complete, and what it says is what the server does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # would need a package of stubs
from starlette.routing import Route

from serving.app import create_app
from tests.serving.in_process import InProcessClient
from tests.serving.slot_steps import canary
from tests.serving.small_models import MODEL, SmallStore, score_request
from tests.serving.test_api import URL, settings_of

FOREIGN = {"/ping", "/health", "/version", "/invocations"}
"""Routes of protocols that have documents of their own."""


@pytest.fixture
def client(store: SmallStore) -> Iterator[InProcessClient]:
    store.publish(1)
    store.publish(2, "credit")
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        yield client


@pytest.fixture
def document(client: InProcessClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def found_in(value: Any, key: str) -> Iterator[Any]:
    """Every value under a key, at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == key:
                yield each
            yield from found_in(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from found_in(each, key)


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def schema_of(operation: dict[str, Any], status: str) -> dict[str, Any]:
    schema: dict[str, Any] = operation["responses"][status]["content"]["application/json"]["schema"]
    return schema


def test_each_served_model_has_its_routes_and_they_are_in_the_router(
    client: InProcessClient, document: dict[str, Any]
) -> None:
    score = {f"/v1/models/{model}/score{kind}" for model in (MODEL, "credit") for kind in ("", "/batch")}
    routes = {route.path for route in client.app.router.routes if isinstance(route, Route)}
    own = {path for path in routes - FOREIGN if not path.startswith(("/v2", "/v1/models/{model}/score"))}
    assert set(document["paths"]) - score == own
    assert score <= set(document["paths"])


def test_the_document_is_well_formed(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations if "operationId" in each]
    assert len(names) == len(set(names)) == 4
    for operation in operations:
        assert operation["summary"]
        assert all(answer["description"] for answer in operation["responses"].values())
    for reference in found_in(document, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference
    for schema in [*document["components"]["schemas"].values(), *found_in(document["paths"], "schema")]:
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("kind", ["", "/batch"])
def test_the_examples_are_valid_and_the_server_answers_them_as_it_says(
    client: InProcessClient, document: dict[str, Any], kind: str
) -> None:
    operation = document["paths"][f"{URL}{kind}"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    validator(document, body["schema"]).validate(body["example"])
    answer = client.post(f"{URL}{kind}", json=body["example"])
    assert answer.status_code == 200
    validator(document, schema_of(operation, "200")).validate(answer.json())


@pytest.mark.parametrize(
    ("body", "status"),
    [(score_request(features={}), "422"), (score_request("d1", transaction_id="t2"), "409"), (b" " * 70_000, "413")],
)
def test_errors_are_as_they_are_documented(
    client: InProcessClient, document: dict[str, Any], body: Any, status: str
) -> None:
    client.post(URL, json=score_request("d1"))
    answer = client.post(URL, content=body if isinstance(body, bytes) else json.dumps(body))
    assert answer.status_code == int(status)
    validator(document, schema_of(document["paths"][URL]["post"], status)).validate(answer.json())


def test_the_document_follows_the_release(client: InProcessClient, store: SmallStore) -> None:
    store.publish(3, "third")
    canary(store, 4)
    client.post("/v1/poll")
    assert "/v1/models/third/score" in client.get("/openapi.json").json()["paths"]


def test_keys_are_asked_for_where_there_are_some(store: SmallStore, document: dict[str, Any]) -> None:
    from serving.api.openapi import openapi_document
    from tests.serving.slot_steps import slots_of

    assert "security" not in document
    secured = openapi_document(slots_of(store), 4, has_keys=True)
    assert set(secured["components"]["securitySchemes"]) == {"key", "bearer"}
    assert secured["security"] == [{"key": []}, {"bearer": []}]
    assert secured["paths"]["/healthz"]["get"]["security"] == []
