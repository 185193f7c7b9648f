"""One test for each failure of a request, as docs/serving.md tells it."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.process.app import create_app
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.model import LoadedModel
from tests.harness.api import URL, settings_of
from tests.harness.failure_rows import Row
from tests.harness.in_process_client import InProcessClient
from tests.harness.protocol_steps import tensors
from tests.harness.raw_http import RawConnection
from tests.harness.server_process import Server, served
from tests.harness.slot_steps import shadow
from tests.harness.small_models import MODEL, SmallStore, score_request

BODY = json.dumps(score_request("d0")).encode()
HEAD = f"POST {URL} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()


@contextlib.contextmanager
def serving(store: SmallStore, **settings: Any) -> Iterator[InProcessClient]:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600, **settings))) as client:
        yield client


def fails(_model: LoadedModel, _values: Any) -> Any:
    raise ScoringError("LightGBM: no")


def test_the_model_gives_no_score(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store) as client:
        row.begins(client)
        with monkeypatch.context() as patch:
            patch.setattr(LoadedModel, "score", fails)
            row.answers(client.post(URL, json=score_request("d1")))
        row.is_ready(client)
        row.moves(client)
        row.records(store, "d1")
        assert client.post(URL, json=score_request("d1")).status_code == 200, "the same id may be tried again"


def test_reasons_cannot_be_given(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store) as client:
        row.begins(client)
        monkeypatch.setattr(LoadedModel, "can_explain", True)
        monkeypatch.setattr(LoadedModel, "explain", fails)
        response = client.request("POST", URL, json=score_request("d1"), headers={"X-Explain": "always"})
        assert row.answers(response).json()["reasons"] is None
        row.is_ready(client)
        row.moves(client)
    row.records(store, "d1")


def test_the_shadow_gives_no_score(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(1)
    bundle = shadow(store, 2)
    score = LoadedModel.score

    def only_the_champion(model: LoadedModel, values: Any) -> Any:
        return fails(model, values) if model.bundle.digest == bundle else score(model, values)

    with InProcessClient(create_app(settings_of(store))) as client:
        row.begins(client)
        monkeypatch.setattr(LoadedModel, "score", only_the_champion)
        assert row.answers(client.post(URL, json=score_request("d1"))).json()["slot"] == "champion"
        row.is_ready(client)
        row.moves(client)
    row.records(store, "d1")
    assert [(record.slot, record.error) for record in store.decisions()] == [
        ("champion", None),
        ("shadow", "ScoringError"),
    ]


def test_the_shadow_is_too_slow(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(1)
    bundle = shadow(store, 2)
    score, is_over = LoadedModel.score, threading.Event()

    def slow_shadow(model: LoadedModel, values: Any) -> Any:
        if model.bundle.digest == bundle:
            is_over.wait()
        return score(model, values)

    with InProcessClient(create_app(settings_of(store, shadow_queue=1))) as client:
        row.begins(client)
        monkeypatch.setattr(LoadedModel, "score", slow_shadow)
        for number in range(4):
            row.answers(client.post(URL, json=score_request(f"d{number}")))
        row.is_ready(client)
        row.moves(client)
        is_over.set()
    row.records(store, "d3")
    slots = [record.slot for record in store.decisions()]
    assert slots.count("champion") == 4
    assert 1 <= slots.count("shadow") < 4


def connected(server: Server, *parts: bytes) -> RawConnection:
    connection = RawConnection(str(server.client.base_url), 60)
    connection.send(*parts)
    return connection


def admitted(server: Server) -> RawConnection:
    """A request that waits for its body; tried again while another one that is just ending takes its place."""
    while True:
        connection = connected(server, HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        if connection.is_asked_to_continue():
            return connection
        answer = connection.answer()
        assert answer is not None
        assert answer.status == 429
        connection.socket.close()


def test_too_many_requests_are_in_flight(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_MAX_IN_FLIGHT="1", SERVING_REQUEST_TIMEOUT_SECONDS="60") as server:
        row.begins(server.client)
        with admitted(server) as waiting:
            assert "serving_requests_in_flight 1.0" in server.client.get("/metrics").text
            row.answers(server.client.post(URL, json=score_request("d1")))
            row.is_ready(server.client)
            assert server.client.get("/healthz").status_code == 200
            row.moves(server.client)
            waiting.send(BODY)
            answer = waiting.answer()
            assert answer is not None
            assert answer.status == 200, "what was admitted is answered"
        server.stop()
    found = [rejection for rejection in store.rejections() if rejection.kind == "Overloaded"]
    assert sum(rejection.count for rejection in found) >= 1
    row.records(store, "d1")


@pytest.mark.long
def test_a_body_comes_too_slowly(row: Row, store: SmallStore) -> None:
    store.publish(1)
    with served(store, SERVING_REQUEST_TIMEOUT_SECONDS="0.2") as server:
        row.begins(server.client)
        with connected(server, HEAD, b"{") as slow:
            answer = slow.answer()
        assert answer is not None
        row.answers(httpx.Response(answer.status, content=answer.body))
        row.is_ready(server.client)
        row.moves(server.client)
        server.stop()
    row.records(store)


def test_a_deadline_passes(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    score = LoadedModel.score

    def slow(model: LoadedModel, values: Any) -> Any:
        time.sleep(0.03)
        return score(model, values)

    with serving(store) as client:
        row.begins(client)
        monkeypatch.setattr(LoadedModel, "score", slow)
        batch = {"requests": [score_request("d1"), score_request("d2")]}
        row.answers(client.request("POST", f"{URL}/batch", json=batch, headers={"X-Timeout-Ms": "20"}))
        row.is_ready(client)
        row.moves(client)
    row.records(store, "d1", "d2")


def test_a_body_is_too_long(row: Row, store: SmallStore) -> None:
    with serving(store) as client:
        row.begins(client)
        row.answers(client.post(URL, content=b" " * 70_000))
        row.is_ready(client)
        row.moves(client)
    row.records(store)


def test_a_request_is_not_what_the_model_takes(row: Row, store: SmallStore) -> None:
    with serving(store) as client:
        row.begins(client)
        response = row.answers(client.post(URL, json=score_request("d1", features={"amount": "much"})))
        assert response.json()["error"]["path"] == "$.features.amount"
        row.is_ready(client)
        row.moves(client)
    row.records(store, "d1")


def test_a_decision_id_comes_with_another_request(row: Row, store: SmallStore) -> None:
    with serving(store) as client:
        row.begins(client)
        client.post(URL, json=score_request("d1"))
        row.answers(client.post(URL, json=score_request("d1", transaction_id="t2")))
        row.is_ready(client)
        row.moves(client)
    assert [rejection.decision_id for rejection in store.rejections()] == ["d1"]
    assert len(store.decisions()) == 1
    row.records(store)


def test_no_release_names_the_model(row: Row, store: SmallStore) -> None:
    with serving(store) as client:
        row.begins(client)
        row.answers(client.post(URL.replace(MODEL, "another"), json=score_request("d1")))
        row.is_ready(client)
        row.moves(client)
    assert [rejection.model for rejection in store.rejections()] == [None]
    row.records(store, "d1")


def test_the_server_has_a_fault(row: Row, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_model: LoadedModel, _values: Any) -> Any:
        raise KeyError("a fault")

    with serving(store) as client:
        row.begins(client)
        monkeypatch.setattr(LoadedModel, "score", broken)
        response = row.answers(client.post(URL, json=score_request("d1")))
        assert "fault" not in response.text
        inferred = client.post(f"/v2/models/{MODEL}/infer", json=tensors(score_request("d2")))
        assert (inferred.status_code, inferred.json()) == (500, {"error": "Expected an answer, but this server failed"})
        row.is_ready(client)
        row.moves(client)
    row.records(store, "d1", "d2")
    assert [rejection.status for rejection in store.rejections()] == [500, 500]
