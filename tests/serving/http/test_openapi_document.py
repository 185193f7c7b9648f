"""The OpenAPI document: it is valid, complete, and what it says is what the server does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # would need a package of stubs
from starlette.routing import Route

from serving.http.openapi.document import openapi_document
from serving.process.app import create_app, needed_scope
from tests.harness.api import URL, settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.slot_steps import canary, renamed, slots_of
from tests.harness.small_models import MODEL, SmallStore, score_request


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


def test_each_served_model_has_its_routes_and_every_route_of_the_router_is_there(
    client: InProcessClient, document: dict[str, Any]
) -> None:
    routes = {route.path for route in client.app.router.routes if isinstance(route, Route)}
    deciding = {path for path in routes if path.endswith(("/score", "/score/batch", "/infer"))}
    by_model = {path.replace("{model}", model) for path in deciding for model in (MODEL, "credit")}
    assert len(by_model) == 8
    assert set(document["paths"]) == routes - deciding | by_model


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


DECIDING = (
    f"/v1/models/{MODEL}/score",
    f"/v1/models/{MODEL}/score/batch",
    f"/v2/models/{MODEL}/infer",
    f"/v2/models/{MODEL}/versions/{{version}}/infer",
    "/invocations",
)


@pytest.mark.parametrize("path", DECIDING)
@pytest.mark.parametrize("has_canary", [False, True])
def test_the_examples_are_valid_and_the_server_answers_them_as_it_says(
    store: SmallStore, path: str, has_canary: bool
) -> None:
    store.publish(1)
    if has_canary:
        canary(store, 2)
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600, mlflow_model=MODEL))) as client:
        document = client.get("/openapi.json").json()
        operation = document["paths"][path]["post"]
        number = client.get("/v1/models").json()["models"][0]["release_number"]
        body = operation["requestBody"]["content"]["application/json"]
        validator(document, body["schema"]).validate(body["example"])
        answer = client.post(path.replace("{version}", str(number)), json=body["example"])
        assert answer.status_code == 200, answer.text
        validator(document, schema_of(operation, "200")).validate(answer.json())


def test_a_feature_that_only_the_canary_needs_is_in_the_examples(store: SmallStore) -> None:
    store.publish(1)
    bundle = renamed(store, 2, "mean_amount_7d", "mean_amount_9d")
    store.releases.put_canary(MODEL, bundle, percent=50, by="test", reason="other features")
    slots = slots_of(store)
    slots.advance()
    paths = openapi_document(slots, 4, has_keys=False)["paths"]
    tensors = paths[f"/v2/models/{MODEL}/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]
    record = paths["/invocations"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert {"name": "mean_amount_9d", "shape": [1], "datatype": "FP64", "data": [1.0]} in tensors["inputs"]
    assert {"mean_amount_7d", "mean_amount_9d"} <= set(record["dataframe_records"][0])


def test_the_example_in_csv_is_answered_like_the_one_in_json(store: SmallStore) -> None:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        body = client.get("/openapi.json").json()["paths"]["/invocations"]["post"]["requestBody"]["content"]
        answers = [
            client.post("/invocations", content=content, headers={"Content-Type": kind})
            for kind, content in (
                ("application/json", json.dumps(body["application/json"]["example"])),
                ("text/csv", body["text/csv"]["example"]),
            )
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v2", "/v2"),
        ("/v2/health/live", "/v2/health/live"),
        ("/v2/health/ready", "/v2/health/ready"),
        (f"/v2/models/{MODEL}", "/v2/models/{model}"),
        (f"/v2/models/{MODEL}/ready", "/v2/models/{model}/ready"),
        (f"/v2/models/{MODEL}/versions/1", "/v2/models/{model}/versions/{version}"),
        (f"/v2/models/{MODEL}/versions/1/ready", "/v2/models/{model}/versions/{version}/ready"),
        ("/v2/models/other", "/v2/models/{model}"),
        ("/v2/models/other/ready", "/v2/models/{model}/ready"),
        (f"/v2/models/{MODEL}/versions/7", "/v2/models/{model}/versions/{version}"),
    ],
)
def test_what_describes_a_model_is_as_it_is_documented(
    client: InProcessClient, document: dict[str, Any], path: str, template: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == (404 if path.endswith(("other", "other/ready", "7")) else 200)
    schema = schema_of(document["paths"][template]["get"], str(answer.status_code))
    validator(document, schema).validate(answer.json())


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


@pytest.mark.parametrize("path", [f"/v2/models/{MODEL}/infer", "/invocations"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, "422"), ({"Content-Encoding": "gzip"}, "415"), ({"X-Timeout-Ms": "soon"}, "422")],
)
def test_errors_of_the_protocols_are_as_they_are_documented(
    client: InProcessClient, document: dict[str, Any], path: str, headers: dict[str, str], status: str
) -> None:
    answer = client.post(path, content=b"{}", headers={"Content-Type": "application/json"} | headers)
    assert answer.status_code == int(status)
    validator(document, schema_of(document["paths"][path]["post"], status)).validate(answer.json())


def test_the_document_follows_the_release(client: InProcessClient, store: SmallStore) -> None:
    store.publish(3, "third")
    canary(store, 4)
    client.post("/v1/poll")
    assert "/v1/models/third/score" in client.get("/openapi.json").json()["paths"]


def test_keys_are_asked_for_where_there_are_some(store: SmallStore, document: dict[str, Any]) -> None:
    assert "security" not in document
    secured = openapi_document(slots_of(store), 4, has_keys=True)
    assert set(secured["components"]["securitySchemes"]) == {"key", "bearer"}
    assert secured["security"] == [{"key": []}, {"bearer": []}]
    for path, item in secured["paths"].items():
        for method, operation in item.items():
            needed = "score" if "/score" in path else needed_scope(method.upper(), path)
            assert ("security" in operation) == (needed is None), path
            assert ({"401", "403"} <= set(operation["responses"])) == (needed is not None), path
