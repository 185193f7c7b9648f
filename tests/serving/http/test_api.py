import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from serving.decisions.pseudonyms import Pseudonyms
from serving.errors import RequestError
from serving.http.errors import STATUSES
from serving.http.routes.health import not_ready
from serving.process.app import create_app
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.model import LoadedModel, Scored
from tests.harness.api import URL, logged, settings_of
from tests.harness.broken_requests import SECRET, broken_requests
from tests.harness.in_process_client import InProcessClient
from tests.harness.small_models import BANDS, MODEL, SmallStore, booster, golden_rows, score_request


@pytest.fixture
def client(store: SmallStore) -> Iterator[InProcessClient]:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store))) as client:
        yield client


def test_a_decision_is_the_models_and_is_recorded_before_it_is_answered(
    client: InProcessClient, store: SmallStore
) -> None:
    golden = golden_rows(1)[3]
    response = client.post(URL, json=score_request(features=golden.features))
    answer = response.json()
    [record] = logged(store)
    assert response.status_code == 200
    assert answer == {
        "decision_id": "d1",
        "model": MODEL,
        "slot": "champion",
        "bundle_digest": store.releases.history(MODEL)[0].champion.bundle_digest,
        "release_number": 1,
        "score": golden.score,
        "margin": golden.margin,
        "decision": record.decision,
        "reasons": None,
    }
    assert record.features == tuple(golden.features.values())
    assert (record.margin, record.score) == (golden.margin, golden.score)
    assert record.entity_key == Pseudonyms(store.keys.pseudonym_key_path.read_bytes()).of("4711")
    assert record.elapsed_us > 0


def test_the_bands_decide(client: InProcessClient) -> None:
    decisions = {}
    for index, amount in enumerate((1, 300, 800)):
        features = {"amount": amount, "is_night": 1, "kind": "online", "mean_amount_7d": 10}
        answer = client.post(URL, json=score_request(f"d{index}", features=features)).json()
        decisions[answer["decision"]] = answer["score"]
    assert BANDS.review_from is not None
    assert BANDS.decline_from is not None
    assert decisions["approve"] < BANDS.review_from <= decisions["review"] < BANDS.decline_from <= decisions["decline"]


def test_a_repeated_id_gets_the_same_bytes_and_one_record(client: InProcessClient, store: SmallStore) -> None:
    first = client.post(URL, json=score_request())
    again = client.post(URL, content=json.dumps(score_request(), indent=3))
    assert first.content == again.content
    assert len(logged(store)) == 1


def test_an_id_with_other_content_is_a_conflict(client: InProcessClient, store: SmallStore) -> None:
    client.post(URL, json=score_request())
    response = client.post(URL, json=score_request(transaction_id="t2"))
    assert response.status_code == 409
    assert response.json()["error"]["path"] == "$.decision_id"
    assert len(logged(store)) == 1


def test_a_restart_remembers_the_ids(store: SmallStore) -> None:
    store.publish(1)
    answers = []
    for _ in range(2):
        with InProcessClient(create_app(settings_of(store))) as client:
            answers.append(client.post(URL, json=score_request()).content)
    assert answers[0] == answers[1]
    assert len(logged(store)) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v3", 404),
        ("GET", f"/{SECRET}", 404),
        ("GET", URL, 405),
    ],
)
def test_other_paths_have_the_same_kind_of_error(client: InProcessClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"kind", "message", "path"}
    assert SECRET not in response.text


def test_an_unknown_model_is_not_named_back(client: InProcessClient) -> None:
    for response in (
        client.post(f"/v1/models/{SECRET}/score", json=score_request()),
        client.get(f"/v1/models/{SECRET}"),
    ):
        assert response.status_code == 404
        assert response.json()["error"]["message"] == "Expected one of the models ['card_fraud'], got another one"
    assert SECRET not in client.get("/metrics").text


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_long_body_is_refused(client: InProcessClient, is_announced: bool) -> None:
    body = b"[" + b" " * 70_000
    chunks = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    response = client.post(URL, content=body) if is_announced else client.post_chunks(URL, chunks)
    assert response.status_code == 413
    assert response.json()["error"]["message"] == "Expected at most 65536 bytes"


def test_a_fault_is_422_with_the_path(client: InProcessClient) -> None:
    request = score_request()
    request["features"]["amount"] = SECRET
    response = client.post(URL, json=request)
    assert response.status_code == 422
    assert response.json() == {
        "error": {"kind": "InvalidRequest", "message": "Expected `float`, got `str`", "path": "$.features.amount"}
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=broken_requests())
def test_any_json_is_answered_and_nothing_of_it_repeated(client: InProcessClient, request: Any) -> None:
    response = client.post(URL, content=json.dumps(request))
    assert response.status_code in {200, 409, 422}
    echoed = response.text if response.status_code != 200 else response.text.replace(f'"{request["decision_id"]}"', "")
    assert SECRET not in echoed


def test_what_answers_is_listed_with_an_example_that_works(client: InProcessClient) -> None:
    [listed] = client.get("/v1/models").json()["models"]
    assert (listed["model"], listed["state"], listed["release_number"]) == (MODEL, "serving", 1)
    described = client.get(f"/v1/models/{MODEL}").json()
    assert [feature["name"] for feature in described["features"]] == ["amount", "is_night", "kind", "mean_amount_7d"]
    assert client.post(described["score_path"], json=described["example"]).status_code == 200


def test_a_server_without_a_model_lives_but_is_not_ready(store: SmallStore) -> None:
    store.settings.release_store.mkdir(parents=True)
    with InProcessClient(create_app(settings_of(store))) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.json()["violations"] == ["no model is loaded"]


@pytest.mark.parametrize(
    ("required", "loaded", "failure", "violations"),
    [
        ((), {"a"}, None, []),
        ((), set(), None, ["no model is loaded"]),
        (("a",), {"a", "b"}, None, []),
        (("a", "b"), {"a"}, None, ["required models are not loaded: ['b']"]),
        ((), {"a"}, "No space left on device", ["the decision log cannot be written: No space left on device"]),
    ],
)
def test_readiness(required: tuple[str, ...], loaded: set[str], failure: str | None, violations: list[str]) -> None:
    assert not_ready(required, loaded, failure) == violations


def test_a_released_model_that_cannot_be_loaded_is_503_and_says_why_to_operators(store: SmallStore) -> None:
    release = store.publish(1)
    (store.settings.release_store / "bundles" / release.champion.bundle_digest / "card.html").write_text("tampered")
    with InProcessClient(create_app(settings_of(store))) as client:
        response = client.post(URL, json=score_request())
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert "card.html" in client.get("/readyz").json()["models"][MODEL]["error"]
        assert 'serving_model_error{model="card_fraud"} 1.0' in client.get("/metrics").text


def test_metrics_count_what_happened(client: InProcessClient) -> None:
    client.post(URL, json=score_request("d1"))
    client.post(URL, json=score_request("d1"))
    client.post(URL, json=score_request("d1", transaction_id="t2"))
    client.post(URL, content=b"{")
    lines = client.get("/metrics").text.splitlines()
    [decisions] = [line for line in lines if line.startswith("serving_requests_total{") and line.endswith(" 1.0")]
    assert 'model="card_fraud",slot="champion"' in decisions
    for line in (
        "serving_repeats_total 1.0",
        'serving_errors_total{kind="DecisionConflict"} 1.0',
        'serving_errors_total{kind="InvalidRequest"} 1.0',
        'serving_release_number{model="card_fraud"} 1.0',
        'serving_model_loaded{model="card_fraud"} 1.0',
        "serving_log_failing 0.0",
    ):
        assert line in lines


def test_a_model_that_gives_no_score_is_an_error_and_recorded_as_one(
    client: InProcessClient, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_model: LoadedModel, _values: Any) -> Scored:
        raise ScoringError("LightGBM: no")

    with monkeypatch.context() as patch:
        patch.setattr(LoadedModel, "score", fails)
        response = client.post(URL, json=score_request())
    assert response.status_code == 500
    [record] = logged(store)
    assert (record.error, record.score, record.decision) == ("ScoringError", None, None)
    assert client.post(URL, json=score_request()).status_code == 200, "it may be tried again under the same id"


def test_every_kind_of_error_has_a_status() -> None:
    assert set(STATUSES) == set(RequestError.__subclasses__())


def test_the_margin_is_that_of_the_booster(client: InProcessClient) -> None:
    features = {"amount": 12.34, "is_night": 0, "kind": "shop", "mean_amount_7d": None}
    answer = client.post(URL, json=score_request(features=features)).json()
    [expected] = booster(1).predict([[12.34, 0, 1, float("nan")]], raw_score=True)
    assert answer["margin"] == expected
