"""Reasons through HTTP: which decisions have them, and that the record holds what was answered."""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from serving.process.app import create_app
from serving.scoring.model import LoadedModel
from tests.harness.api import URL, settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.small_models import MODEL, REASON_TEXTS, SmallStore, score_request

ROWS: dict[str, dict[str, Any]] = {
    decision: {"amount": amount, "is_night": 1, "kind": "online", "mean_amount_7d": 10}
    for decision, amount in (("approve", 1), ("review", 300), ("decline", 800))
}
"""A row for each decision of the small model."""


@contextlib.contextmanager
def served(store: SmallStore, **settings: Any) -> Iterator[InProcessClient]:
    store.publish(1, can_explain=True)
    with InProcessClient(create_app(settings_of(store, **settings))) as client:
        yield client


def asked(client: InProcessClient, decision: str, **headers: str) -> Any:
    request = score_request(f"{decision}-{len(headers)}", features=ROWS[decision])
    answer = client.request("POST", URL, json=request, headers=headers).json()
    assert answer["decision"] == decision
    return answer["reasons"]


@pytest.mark.parametrize(
    ("explain", "explained"),
    [("decline", {"decline"}), ("adverse", {"review", "decline"}), ("always", {"approve", "review", "decline"})],
)
def test_the_setting_says_which_decisions_have_reasons_unasked(
    store: SmallStore, explain: str, explained: set[str]
) -> None:
    with served(store, explain=explain) as client:
        assert {decision for decision in ROWS if asked(client, decision) is not None} == explained
        for decision in ROWS:
            assert asked(client, decision, **{"X-Explain": "always"}) is not None
    for record in store.decisions():
        is_asked = record.decision_id.endswith("1")
        assert (record.reasons is not None) == (is_asked or record.decision in explained)


def test_reasons_are_the_principal_ones_with_their_texts_and_are_recorded_as_answered(store: SmallStore) -> None:
    with served(store) as client:
        reasons = asked(client, "decline")
    [record] = store.decisions()
    assert reasons == list(msgspec.to_builtins(record.reasons))
    assert 1 <= len(reasons) <= 3
    assert [reason["contribution"] for reason in reasons] == sorted(
        (reason["contribution"] for reason in reasons), reverse=True
    )
    assert all(reason["contribution"] > 0 for reason in reasons)
    assert all(reason["text"] == REASON_TEXTS.texts[reason["code"]] for reason in reasons)


def test_a_slow_explanation_is_made_beside_the_loop_and_is_the_same(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(store) as client:
        inline = asked(client, "decline")
        batched = client.post(f"{URL}/batch", json={"requests": [score_request("b", features=ROWS["decline"])]})
        monkeypatch.setattr("serving.decisions.pipeline.INLINE_SECONDS", -1.0)
        request = score_request("slow", features=ROWS["decline"])
        slow = client.post(URL, json=request)
        assert slow.json()["reasons"] == inline
        assert batched.json()["responses"][0]["reasons"] == inline
        assert client.post(URL, json=request).content == slow.content
    assert [record.decision_id for record in store.decisions()] == ["decline-0", "b", "slow"]


def test_a_repeat_gets_the_answer_that_was_given_whatever_it_asks_now(store: SmallStore) -> None:
    with served(store) as client:
        request = score_request(features=ROWS["approve"])
        first = client.post(URL, json=request)
        again = client.request("POST", URL, json=request, headers={"X-Explain": "always"})
    assert first.json()["reasons"] is None
    assert again.content == first.content


def test_a_header_that_asks_for_something_else_is_refused(store: SmallStore) -> None:
    with served(store) as client:
        response = client.request("POST", URL, json=score_request(), headers={"X-Explain": "maybe"})
    assert response.status_code == 422
    assert "X-Explain" in response.json()["error"]["message"]


def test_a_bundle_without_texts_decides_and_gives_no_reasons(store: SmallStore) -> None:
    store.publish(2)
    with InProcessClient(create_app(settings_of(store, explain="always"))) as client:
        request = score_request(features=ROWS["decline"])
        answer = client.request("POST", URL, json=request, headers={"X-Explain": "always"})
        assert (answer.status_code, answer.json()["reasons"]) == (200, None)
        assert f'serving_explain_failures_total{{model="{MODEL}"}} 0.0' in client.get("/metrics").text


def test_a_failing_explanation_never_stops_a_decision_in_a_batch(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.scoring.reasons import ExplainingError

    def fails(_model: LoadedModel, _values: Any) -> Any:
        raise ExplainingError("no")

    with served(store) as client:
        monkeypatch.setattr(LoadedModel, "explain", fails)
        requests = [score_request(decision, features=row) for decision, row in ROWS.items()]
        answers = client.post(f"{URL}/batch", json={"requests": requests}).json()["responses"]
        assert f'serving_explain_failures_total{{model="{MODEL}"}} 1.0' in client.get("/metrics").text
    assert [answer["decision"] for answer in answers] == list(ROWS)
    assert {answer["reasons"] for answer in answers} == {None}
