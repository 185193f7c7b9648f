from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.contract.documents import Feature
from serving.errors import DecisionConflictError, InvalidRequestError, RequestError, ScoringFailedError
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.protocol_steps import Scripted, deployed, tensors
from tests.harness.small_models import EXAMPLE, MODEL, SCHEMA, SmallStore, golden_rows, score_request
from tests.harness.tensor_requests import valid_request

URL = f"/v2/models/{MODEL}/infer"
SECRET = "4929123123123"
UNKNOWN = "Expected a model of this server, got another one"


def outputs(response: Any) -> dict[str, list[Any]]:
    return {each["name"]: each["data"] for each in response.json()["outputs"]}


def test_decisions_are_those_of_the_native_route_and_are_in_the_same_log(store: SmallStore) -> None:
    store.publish(1)
    requests = [score_request(f"d{n}", features=row.features) for n, row in enumerate(golden_rows(1))]
    with InProcessClient(create_app(settings_of(store))) as client:
        response = client.post(URL, json=tensors(*requests))
        native = [client.post(f"/v1/models/{MODEL}/score", json=request).json() for request in requests]
        records = store.decisions()
    answered = outputs(response)
    assert response.status_code == 200
    assert answered["margin"] == [row.margin for row in golden_rows(1)]
    for name in ("score", "decision", "slot", "bundle_digest", "release_number", "decision_id"):
        assert answered[name] == [each[name] for each in native]
    assert answered["reasons"] == ["null"] * 8
    assert [each.decision_id for each in records] == [f"d{n}" for n in range(8)]
    assert response.json()["model_version"] == "1"


def test_an_invalid_row_refuses_them_all_and_is_placed_in_its_tensor(store: SmallStore) -> None:
    store.publish(1)
    bad = score_request("d2", features=EXAMPLE | {"kind": SECRET})
    with InProcessClient(create_app(settings_of(store))) as client:
        response = client.post(URL, json=tensors(score_request("d1"), bad))
        assert response.status_code == 422
        assert response.json() == {"error": "Expected one of ['online', 'shop', 'travel'] - at `$.inputs[6].data[1]`"}
        assert 'serving_errors_total{kind="InvalidRequest"} 1.0' in client.get("/metrics").text
    assert store.decisions() == []


@pytest.mark.parametrize("lacking", ["decision_id", "transaction_id", "entity_key", "occurred_at"])
def test_nothing_of_the_envelope_is_made_up(lacking: str) -> None:
    request = tensors(score_request())
    request["inputs"] = [each for each in request["inputs"] if each["name"] != lacking]
    with InProcessClient(Scripted().app()) as client:
        response = client.post(URL, json=request)
    assert response.status_code == 422
    assert f"missing ['{lacking}'] - at `$.inputs`" in response.json()["error"]


def test_a_version_is_the_release_in_force_and_no_other_answers_for_it() -> None:
    scripted = Scripted()
    with InProcessClient(scripted.app()) as client:
        for version in ("2", "4", "03", "+3", "latest", SECRET):
            path = f"/v2/models/{MODEL}/versions/{version}"
            for response in (
                client.post(f"{path}/infer", json=tensors(score_request())),
                client.get(path),
                client.get(f"{path}/ready"),
            ):
                assert response.status_code == 404
                assert response.json() == {"error": "Expected version 3, the release in force, got another one"}
        assert scripted.decided == []
        response = client.post(f"/v2/models/{MODEL}/versions/3/infer", json=tensors(score_request()))
    assert (response.status_code, response.json()["model_version"]) == (200, "3")


def test_a_release_that_comes_in_with_the_body_ends_the_one_that_was_asked_for() -> None:
    scripted = Scripted()

    def release() -> None:
        scripted.models[MODEL] = SimpleNamespace(champion=deployed(4), canary=None, shadow=None)

    scripted.before_body = release
    with InProcessClient(scripted.app()) as client:
        response = client.post(f"/v2/models/{MODEL}/versions/3/infer", json=tensors(score_request()))
    assert response.status_code == 404
    assert scripted.decided == []


def test_an_earlier_releases_decision_is_no_answer_to_a_request_for_this_one() -> None:
    scripted = Scripted(numbers={"d1": 2})
    with InProcessClient(scripted.app()) as client:
        pinned = client.post(f"/v2/models/{MODEL}/versions/3/infer", json=tensors(score_request()))
        unpinned = client.post(URL, json=tensors(score_request("d1"), score_request("d2")))
    assert pinned.status_code == 409
    assert pinned.json()["error"].startswith("Expected decisions by release 3, but another one had decided")
    assert outputs(unpinned)["release_number"] == [2, 3]
    assert "model_version" not in unpinned.json()


def test_outputs_come_as_they_are_asked_for() -> None:
    request = tensors(score_request()) | {"id": "i1", "outputs": [{"name": "slot"}, {"name": "score"}]}
    with InProcessClient(Scripted().app()) as client:
        answer = client.post(URL, json=request).json()
        unknown = client.post(URL, json=request | {"outputs": [{"name": SECRET}]})
    assert answer == {
        "model_name": MODEL,
        "model_version": "3",
        "id": "i1",
        "outputs": [
            {"name": "slot", "datatype": "BYTES", "shape": [1], "data": ["champion"]},
            {"name": "score", "datatype": "FP64", "shape": [1], "data": [0.5]},
        ],
    }
    assert unknown.status_code == 422
    assert SECRET not in unknown.text


def test_binary_outputs_follow_the_json() -> None:
    request = tensors(score_request()) | {"parameters": {"binary_data_output": True}, "outputs": [{"name": "score"}]}
    with InProcessClient(Scripted().app()) as client:
        response = client.post(URL, json=request)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert response.content[length:] == bytes.fromhex("000000000000e03f")
    assert response.headers["content-type"] == "application/octet-stream"


def test_reasons_are_asked_for_by_a_parameter() -> None:
    scripted = Scripted()
    with InProcessClient(scripted.app()) as client:
        client.post(URL, json=tensors(score_request()) | {"parameters": {"explain": True}})
        client.post(URL, json=tensors(score_request()))
    assert [context.is_explained for context in scripted.contexts] == [True, False]
    assert [context.caller for context in scripted.contexts] == ["engine"] * 2


def test_a_batch_is_limited() -> None:
    scripted = Scripted()
    with InProcessClient(scripted.app(max_batch=2)) as client:
        codes = [
            client.post(URL, json=tensors(*(score_request(f"d{n}") for n in range(size)))).status_code
            for size in (1, 2, 3)
        ]
    assert codes == [200, 200, 422]
    assert len(scripted.decided) == 3


def test_features_of_every_slot_may_be_sent_and_are_described() -> None:
    extra = Feature(name="velocity", dtype="int", is_nullable=True)
    serving = SimpleNamespace(champion=deployed(3), canary=deployed(3, (*SCHEMA, extra)), shadow=None)
    scripted = Scripted(models={MODEL: serving})
    request = tensors(score_request())
    request["inputs"].append({"name": "velocity", "shape": [1], "datatype": "FP64", "data": [7.0]})
    with InProcessClient(scripted.app()) as client:
        assert client.post(URL, json=request).status_code == 200
        described = client.get(f"/v2/models/{MODEL}/versions/3").json()
    assert scripted.decided[0]["features"]["velocity"] == 7
    assert described["versions"] == ["3"]
    assert {"name": "velocity", "datatype": "INT64", "shape": [-1]} in described["inputs"]
    assert [each["name"] for each in described["inputs"]][:4] == list(score_request())[:4]
    assert {each["name"]: each["datatype"] for each in described["outputs"]}["release_number"] == "INT64"


def test_health_needs_no_key_and_says_why_there_is_none() -> None:
    scripted = Scripted(refusal=InvalidRequestError("no key"), loading=frozenset({"other"}))
    with InProcessClient(scripted.app()) as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get(f"/v2/models/{MODEL}/ready").json() == {"name": MODEL, "ready": True}
        assert client.get("/v2/models/other/ready").status_code == 503
        unknown = client.get(f"/v2/models/{SECRET}/ready")
        assert (unknown.status_code, unknown.json()) == (
            404,
            {"error": UNKNOWN},
        )
        scripted.violations = ["no model is loaded"]
        response = client.get("/v2/health/ready")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.json() == {"error": "Expected a server that is ready, but no model is loaded"}
    assert scripted.begun == 0


def test_what_is_not_let_in_infers_nothing_and_is_counted() -> None:
    scripted = Scripted(refusal=DecisionConflictError("Expected a key"))
    with InProcessClient(scripted.app()) as client:
        assert client.post(URL, content=b"").json() == {"error": "Expected a key"}
    assert scripted.begun == 1
    assert scripted.refused == ["DecisionConflict"]


@pytest.mark.parametrize(
    ("error", "status"), [(ScoringFailedError("Expected a score"), 500), (InvalidRequestError("Expected", "$.a"), 422)]
)
def test_errors_have_the_status_of_the_one_table_and_the_protocols_form(error: RequestError, status: int) -> None:
    with InProcessClient(Scripted(refusal=error).app()) as client:
        response = client.post(URL, json={})
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert response.headers["content-type"] == "application/json"


def test_a_request_may_repeat_the_paths_model_and_name_no_other() -> None:
    scripted = Scripted()
    with InProcessClient(scripted.app()) as client:
        same = client.post(URL, json=tensors(score_request("d1")) | {"model_name": MODEL})
        other = client.post(URL, json=tensors(score_request("d2")) | {"model_name": SECRET})
    assert (same.status_code, other.status_code) == (200, 422)
    assert other.json() == {"error": "Expected the model that the path names, or no name - at `$.model_name`"}
    assert [each["decision_id"] for each in scripted.decided] == ["d1"]


def test_an_unknown_model_is_refused_before_its_body_is_read() -> None:
    scripted = Scripted()
    scripted.before_body = lambda: pytest.fail("the body was read")
    with InProcessClient(scripted.app()) as client:
        response = client.post(f"/v2/models/{SECRET}/infer", content=b"x")
    assert response.status_code == 404
    assert SECRET not in response.text


@pytest.fixture
def client(store: SmallStore) -> Iterator[InProcessClient]:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store))) as client:
        yield client


def test_a_body_beyond_the_limit_is_refused_in_the_protocols_form(client: InProcessClient) -> None:
    response = client.post(URL, content=b" " * (1024 * 1024 + 1))
    assert (response.status_code, response.json()) == (413, {"error": "Expected at most 1048576 bytes"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.data())
def test_no_bytes_lead_to_a_fault_of_the_server(client: InProcessClient, data: st.DataObject) -> None:
    body, length = valid_request()
    start, end = sorted((data.draw(st.integers(0, len(body))), data.draw(st.integers(0, len(body)))))
    damaged = data.draw(st.sampled_from((body, body[:start] + data.draw(st.binary(max_size=8)) + body[end:])))
    header = str(length + data.draw(st.sampled_from((0, 0, 1, -1, 10**9))))
    v2 = client.request("POST", URL, content=damaged, headers={"Inference-Header-Content-Length": header})
    mlflow = client.request("POST", "/invocations", content=damaged, headers={"Content-Type": "application/json"})
    assert v2.status_code in {200, 409, 422}
    assert mlflow.status_code == 422
