"""The native batch route: in order, whole or not at all."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from serving.process.app import create_app
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.model import LoadedModel
from tests.harness.api import URL, settings_of
from tests.harness.broken_requests import SECRET
from tests.harness.in_process_client import InProcessClient
from tests.harness.small_models import EXAMPLE, SmallStore, golden_rows, score_request

BATCH = f"{URL}/batch"


@pytest.fixture
def client(store: SmallStore) -> Iterator[InProcessClient]:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store, max_batch=40, max_batch_bytes=40_000))) as client:
        yield client


def batch(*requests: Any) -> dict[str, Any]:
    return {"requests": list(requests)}


def error(client: InProcessClient, body: Any) -> tuple[int, str, str | None]:
    response = client.post(BATCH, content=body if isinstance(body, bytes) else json.dumps(body))
    violation = response.json()["error"]
    return response.status_code, violation["message"], violation["path"]


def test_answers_come_in_the_order_of_the_requests_and_are_those_of_the_single_route(
    client: InProcessClient, store: SmallStore
) -> None:
    golden = golden_rows(1)
    requests = [score_request(f"d{index}", features=row.features) for index, row in enumerate(golden)]
    answers = client.post(BATCH, json=batch(*requests)).json()["responses"]
    assert [answer["decision_id"] for answer in answers] == [f"d{index}" for index in range(len(golden))]
    assert [answer["margin"] for answer in answers] == [row.margin for row in golden]
    singly = [client.post(URL, json={**request, "decision_id": request["decision_id"]}).json() for request in requests]
    assert singly == answers, "the same ids are the same decisions, whichever route asks"
    assert [record.decision_id for record in store.decisions()] == [answer["decision_id"] for answer in answers]


@pytest.mark.parametrize(
    ("changes", "message", "path"),
    [
        ({"entity_key": ""}, "Expected `str` of length >= 1", "$.requests[1].entity_key"),
        ({"features": {**EXAMPLE, "amount": SECRET}}, "Expected `float`, got `str`", "$.requests[1].features.amount"),
        ({"features": {**EXAMPLE, "amount": -1}}, "Expected `float` >= 0.0", "$.requests[1].features.amount"),
        ({"features": {}}, "Expected 4 features, missing", "$.requests[1].features"),
        ({"decision_id": "d0"}, "Expected a different decision_id for each request", "$.requests"),
    ],
)
def test_one_request_that_is_not_valid_refuses_them_all(
    client: InProcessClient, store: SmallStore, changes: dict[str, Any], message: str, path: str
) -> None:
    requests = batch(score_request("d0"), score_request("d1") | changes, score_request("d2"))
    status, received, where = error(client, requests)
    assert (status, where) == (422, path)
    assert received.startswith(message)
    assert store.decisions() == []
    assert [(rejection.kind, rejection.path) for rejection in store.rejections()] == [("InvalidRequest", path)]


def test_an_id_that_was_decided_otherwise_refuses_them_all(client: InProcessClient, store: SmallStore) -> None:
    client.post(URL, json=score_request("d1"))
    requests = batch(score_request("d0"), score_request("d1", transaction_id="t2"))
    assert error(client, requests)[0] == 409
    assert [record.decision_id for record in store.decisions()] == ["d1"]
    again = client.post(BATCH, json=batch(score_request("d0"), score_request("d1")))
    assert again.status_code == 200


def test_a_repeated_batch_gets_the_same_bytes_and_no_second_record(client: InProcessClient, store: SmallStore) -> None:
    requests = batch(score_request("d0"), score_request("d1"))
    first = client.post(BATCH, json=requests)
    assert client.post(BATCH, json=requests).content == first.content
    mixed = client.post(BATCH, json=batch(score_request("d2"), score_request("d0"))).json()["responses"]
    assert [answer["decision_id"] for answer in mixed] == ["d2", "d0"]
    assert [record.decision_id for record in store.decisions()] == ["d0", "d1", "d2"]
    assert "serving_repeats_total 3.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"", 422, "$"),
        (b"[]", 422, "$"),
        (b'{"requests":{}}', 422, "$"),
        (b'{"requests":[],"more":1}', 422, "$"),
        (b'{"requests":[]}', 422, "$.requests"),
        (b'{"requests":[1]}', 422, "$.requests[0]"),
        (b'{"requests":[{}]}', 422, "$.requests[0]"),
        (b'{"requests":["\xff"]}', 422, "$.requests[0]"),
        (json.dumps(batch(*[{}] * 41)).encode(), 422, "$.requests"),
        (b" " * 40_001, 413, None),
    ],
)
def test_what_is_no_batch_is_refused(client: InProcessClient, body: bytes, status: int, path: str | None) -> None:
    found, _, where = error(client, body)
    assert (found, where) == (status, path)


def test_a_batch_may_be_as_long_as_the_limit_and_longer_than_one_request_may(client: InProcessClient) -> None:
    requests = [score_request(f"d{index}") for index in range(40)]
    assert len(json.dumps(batch(*requests))) < 40_000
    assert len(client.post(BATCH, json=batch(*requests)).json()["responses"]) == 40


def test_a_row_without_a_score_fails_the_answer_and_the_others_stand(
    client: InProcessClient, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = LoadedModel.score

    def fails_for_one(model: LoadedModel, values: Any) -> Any:
        if values[0] == 1.0:
            raise ScoringError("LightGBM: no")
        return score(model, values)

    requests = batch(score_request("d0"), score_request("d1", features={**EXAMPLE, "amount": 1.0}))
    with monkeypatch.context() as patch:
        patch.setattr(LoadedModel, "score", fails_for_one)
        assert error(client, requests)[0] == 500
    assert [(record.decision_id, record.error) for record in store.decisions()] == [
        ("d0", None),
        ("d1", "ScoringError"),
    ]
    answers = client.post(BATCH, json=requests).json()["responses"]
    assert [answer["decision_id"] for answer in answers] == ["d0", "d1"]
    assert [record.decision_id for record in store.decisions()] == ["d0", "d1", "d1"], "only what failed is tried again"
