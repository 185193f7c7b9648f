"""The OpenAPI document: it is valid, complete, and what it says is what the server does."""

import copy
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator

from lifecycle.artefacts.bundles import write_bundle
from serving.access.commands import add
from serving.contract.documents import Manifest, decode
from serving.errors import RequestError
from serving.http.descriptions import ERROR_KINDS
from serving.process.app import create_app, needed_scope
from tests.harness.api import URL, settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.openapi_contract import CONTRACT, contract_text
from tests.harness.schema_refinement import refines, violations
from tests.harness.slot_steps import canary, renamed
from tests.harness.small_models import (
    EXAMPLE,
    MODEL,
    VERDICTS,
    SmallStore,
    candidate_files,
    golden_rows,
    lineage,
    score_request,
)


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


def test_every_route_and_every_served_model_is_in_the_document(
    client: InProcessClient, document: dict[str, Any]
) -> None:
    routes = {context.path for context in iter_route_contexts(client.app.routes)}
    assert set(document["paths"]) == routes - {"/", "/docs/{name}"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            models = [each["schema"]["enum"] for each in operation.get("parameters", ()) if each["name"] == "model"]
            assert models == ([[MODEL, "credit"]] if "{model}" in path else [])
    options = document["components"]["schemas"]["ScoreRequest"]["anyOf"]
    assert [option["$ref"].rpartition("/")[2] for option in options] == [f"{MODEL}_ScoreRequest", "credit_ScoreRequest"]


def test_the_document_is_well_formed(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert operation["summary"]
        assert all(answer["description"] for answer in operation["responses"].values())
    for reference in found_in(document, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference
    for schema in [*document["components"]["schemas"].values(), *found_in(document["paths"], "schema")]:
        Draft202012Validator.check_schema(schema)


SCORE = "/v1/models/{model}/score"
DECIDING = (
    SCORE,
    f"{SCORE}/batch",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
    "/invocations",
)


@pytest.mark.long
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
        example = body["examples"][MODEL]["value"]
        validator(document, body["schema"]).validate(example)
        url = path.replace("{model}", MODEL).replace("{version}", str(number))
        answer = client.post(url, json=example)
        assert answer.status_code == 200, answer.text
        validator(document, schema_of(operation, "200")).validate(answer.json())


def test_the_example_is_the_most_adverse_mix_of_the_golden_rows(store: SmallStore) -> None:
    """For the demonstration's model it is a decline, see tests/end_to_end."""
    store.publish(1)
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        document = client.get("/openapi.json").json()
        body = document["paths"]["/v1/models/{model}/score"]["post"]["requestBody"]["content"]["application/json"]
        example = client.get(f"/v1/models/{MODEL}").json()["example"]
        assert body["examples"][MODEL]["value"] == example
        answer = client.post(URL, json=example).json()
    assert answer["margin"] >= max(row.margin for row in golden_rows(1))
    for name, value in example["features"].items():
        assert value in [row.features[name] for row in golden_rows(1)]


def test_the_features_meanings_come_from_the_bundle_if_it_has_them(store: SmallStore) -> None:
    store.publish(2, "credit")
    root, keys = store.settings.release_store, store.keys
    descriptions = {"amount": "Amount of this transaction.", "another": "Not a feature."}
    sealed = write_bundle(
        root, candidate_files(1), lineage=lineage(1), verdicts=VERDICTS, keys=keys, descriptions=descriptions
    )
    store.releases.publish(MODEL, sealed, by="test", reason="with meanings")
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        described = client.get(f"/v1/models/{MODEL}").json()["descriptions"]
    assert described == descriptions
    meanings = {name: each.get("description") for name, each in schemas[f"{MODEL}_Features"]["properties"].items()}
    assert meanings == dict.fromkeys(EXAMPLE) | {"amount": "Amount of this transaction."}
    assert not any("description" in each for each in schemas["credit_Features"]["properties"].values())


def test_a_bundle_without_meanings_has_the_manifest_that_it_always_had(store: SmallStore) -> None:
    manifest = (store.settings.release_store / "bundles" / store.seal(1) / "manifest.json").read_bytes()
    assert b"descriptions" not in manifest
    assert decode(manifest, Manifest, "the manifest").descriptions == {}


def test_the_address_alone_leads_to_the_page(client: InProcessClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert client.get(answer.headers["location"]).status_code == 200


def test_a_feature_that_only_the_canary_needs_is_in_the_examples(store: SmallStore) -> None:
    store.publish(1)
    bundle = renamed(store, 2, "mean_amount_7d", "mean_amount_9d")
    store.releases.put_canary(MODEL, bundle, percent=50, by="test", reason="other features")
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        document = client.get("/openapi.json").json()
    tensors, record = (
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"][MODEL]["value"]
        for path in ("/v2/models/{model}/infer", "/invocations")
    )
    assert {"name": "mean_amount_9d", "shape": [1], "datatype": "FP64", "data": [1.0]} in tensors["inputs"]
    assert {"mean_amount_7d", "mean_amount_9d"} <= set(record["dataframe_records"][0])


def test_the_example_in_csv_is_answered_like_the_one_in_json(store: SmallStore) -> None:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        body = client.get("/openapi.json").json()["paths"]["/invocations"]["post"]["requestBody"]["content"]
        answers = [
            client.post("/invocations", content=content, headers={"Content-Type": kind})
            for kind, content in (
                ("application/json", json.dumps(body["application/json"]["examples"][MODEL]["value"])),
                ("text/csv", body["text/csv"]["examples"][MODEL]["value"]),
            )
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/v1/models", "/v1/models"),
        (f"/v1/models/{MODEL}", "/v1/models/{model}"),
        ("/v1/models/other", "/v1/models/{model}"),
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
    validator(document, schema_of(document["paths"][SCORE]["post"], status)).validate(answer.json())


@pytest.mark.long
@pytest.mark.parametrize("path", ["/v2/models/{model}/infer", "/invocations"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, "422"), ({"Content-Encoding": "gzip"}, "415"), ({"X-Timeout-Ms": "soon"}, "422")],
)
def test_errors_of_the_protocols_are_as_they_are_documented(
    client: InProcessClient, document: dict[str, Any], path: str, headers: dict[str, str], status: str
) -> None:
    answer = client.post(
        path.replace("{model}", MODEL), content=b"{}", headers={"Content-Type": "application/json"} | headers
    )
    assert answer.status_code == int(status)
    validator(document, schema_of(document["paths"][path]["post"], status)).validate(answer.json())


def test_the_document_follows_the_release(client: InProcessClient, store: SmallStore) -> None:
    store.publish(3, "third")
    canary(store, 4)
    client.post("/v1/poll")
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"$ref": "#/components/schemas/third_ScoreRequest"} in schemas["ScoreRequest"]["anyOf"]
    assert "third_ScoreRequest" in schemas


def test_keys_are_asked_for_where_there_are_some(store: SmallStore, document: dict[str, Any], tmp_path: Path) -> None:
    assert "security" not in document
    add(tmp_path / "keys", "reader", ["read"], dt.datetime.now(dt.UTC))
    secured = create_app(settings_of(store, api_keys=tmp_path / "keys")).openapi()
    assert set(secured["components"]["securitySchemes"]) == {"key", "bearer"}
    assert secured["security"] == [{"key": []}, {"bearer": []}]
    for path, item in secured["paths"].items():
        for method, operation in item.items():
            needed = "score" if "/score" in path else needed_scope(method.upper(), path)
            assert ("security" in operation) == (needed is None), path
            assert ({"401", "403"} <= set(operation["responses"])) == (needed is not None), path


def test_the_contract_is_current() -> None:
    assert CONTRACT.read_text() == contract_text(), "run make contract"


def test_the_contract_names_every_kind_of_error() -> None:
    kinds = {error.__name__.removesuffix("Error") for error in RequestError.__subclasses__()}
    schemas = json.loads(CONTRACT.read_text())["components"]["schemas"]
    assert set(ERROR_KINDS) == kinds | {"Http"}
    assert schemas["ErrorDetail"]["properties"]["kind"]["enum"] == list(ERROR_KINDS)
    assert schemas["InvocationError"]["properties"]["error_code"]["enum"] == list(ERROR_KINDS)


def test_the_served_document_refines_the_contract(document: dict[str, Any]) -> None:
    contract = json.loads(CONTRACT.read_text())
    assert violations(document, contract) == []
    for name, schema in contract["components"]["schemas"].items():
        if name not in {"ScoreRequest", "ScoreBatch"}:
            assert document["components"]["schemas"][name] == schema, "every enum and every body but the features"


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "change"),
    [
        (("paths", SCORE, "post"), None),
        (("paths", SCORE, "post", "operationId"), "another"),
        (("paths", SCORE, "post", "parameters", 1, "required"), True),
        (("paths", SCORE, "post", "parameters", 2, "schema"), {"type": "string"}),
        (("paths", SCORE, "post", "responses", "418"), {"description": "A teapot."}),
        (("paths", SCORE, "post", "responses", "429"), None),
        (("paths", SCORE, "post", "requestBody", "content"), {"text/csv": {"schema": {"type": "string"}}}),
        (("paths", "/invocations", "post", "requestBody", "content", "text/csv"), None),
        (("components", "schemas", "Error", "properties", "error"), {"type": "string"}),
        (("components", "schemas", "ErrorDetail", "properties", "kind", "enum"), ["InvalidRequest", "New"]),
        (("components", "schemas", "ScoreResponse", "required"), ["decision_id"]),
        (("components", "schemas", "ScoreResponse", "properties", "score"), {"type": "string"}),
        (("components", "schemas", f"{MODEL}_Features", "properties", "amount"), {"type": "array"}),
        (("components", "schemas", f"{MODEL}_ScoreRequest", "properties", "user"), {"type": "string"}),
    ],
)
def test_a_document_that_departs_from_the_contract_does_not_refine_it(
    document: dict[str, Any], place: tuple[Any, ...], change: Any
) -> None:
    changed = copy.deepcopy(document)
    *way, last = place
    node: Any = changed
    for key in way:
        node = node[key]
    if change is None:
        del node[last]
    else:
        node[last] = change
    assert violations(changed, json.loads(CONTRACT.read_text())) != []


@pytest.mark.parametrize(
    ("schema", "wider", "expected"),
    [
        ({"type": "integer"}, {"type": ["number", "string", "null"]}, True),
        ({"type": "number"}, {"type": "integer"}, False),
        ({"enum": ["a", None]}, {"type": ["string", "null"]}, True),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, False),
        ({"type": "string"}, {"enum": ["a"]}, False),
        ({}, {"type": "string"}, False),
        ({"type": "string", "maxLength": 3}, {"type": "string", "maxLength": 4}, True),
        ({"type": "string"}, {"type": "string", "maxLength": 4}, False),
        ({"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}, False),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, {"type": "string"}, False),
        ({"type": "string"}, {"anyOf": [{"type": "null"}, {"type": "string"}]}, True),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "number"}}, False),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}, False),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "required": ["a"]}, False),
    ],
)
def test_a_schema_refines_one_that_allows_all_its_values(schema: Any, wider: Any, expected: bool) -> None:
    assert refines(schema, wider, {}, {}) is expected
