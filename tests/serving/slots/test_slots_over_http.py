"""Canary, shadow and several models as callers and auditors see them."""

import contextlib
from collections.abc import Iterator
from typing import Any

from serving.contract.routing import CanaryShare
from serving.process.app import create_app
from tests.harness.api import URL, settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.logs import eventually
from tests.harness.slot_steps import canary, renamed, shadow
from tests.harness.small_models import EXAMPLE, MODEL, SmallStore, booster, golden_rows, score_request

BOTH = {**EXAMPLE, "mean_amount_9d": 9.0}


@contextlib.contextmanager
def served(store: SmallStore, **settings: Any) -> Iterator[InProcessClient]:
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600, **settings))) as client:
        yield client


def by_slot(store: SmallStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in store.decisions():
        found.setdefault(record.slot, []).append(record.decision_id)
    return found


def test_every_entity_is_answered_by_the_slot_that_the_release_gives_it(store: SmallStore) -> None:
    store.publish(1)
    canary(store, 2, 40)
    release = store.releases.history(MODEL)[-1]
    assert release.canary is not None
    share = CanaryShare(release.canary.percent or 0, release.canary.salt or "")
    with served(store) as client:
        for number in range(60):
            request = score_request(f"d{number}", entity_key=f"customer-{number % 30}")
            answer = client.post(URL, json=request).json()
            is_canarys = share.holds(f"customer-{number % 30}")
            assert answer["slot"] == ("canary" if is_canarys else "champion")
            stands = release.canary if is_canarys else release.champion
            assert answer["bundle_digest"] == stands.bundle_digest
        counted = client.get("/metrics").text
    slots = by_slot(store)
    assert {slot: len(ids) for slot, ids in slots.items()} == {
        "champion": 60 - len(slots["canary"]),
        "canary": len(slots["canary"]),
    }
    assert len(slots["canary"]) > 5
    assert 'slot="canary"' in counted


def test_a_batch_may_be_answered_by_both_slots(store: SmallStore) -> None:
    store.publish(1)
    canary(store, 2, 50)
    requests = [score_request(f"d{number}", entity_key=f"customer-{number}") for number in range(20)]
    with served(store) as client:
        answers = client.post(f"{URL}/batch", json={"requests": requests}).json()["responses"]
    assert {answer["slot"] for answer in answers} == {"champion", "canary"}
    assert [(record.decision_id, record.slot) for record in store.decisions()] == [
        (answer["decision_id"], answer["slot"]) for answer in answers
    ]


def test_a_shadow_answers_nobody_and_is_recorded_under_the_same_id(store: SmallStore) -> None:
    champion = store.publish(1).champion.bundle_digest
    watched = shadow(store, 2)
    golden = golden_rows(1)
    with served(store) as client:
        answers = [
            client.post(URL, json=score_request(f"d{index}", features=row.features)).json()
            for index, row in enumerate(golden)
        ]
        eventually(lambda: shadows_counted(client) == len(golden))
        client.post(URL, json=score_request("d0", features=golden[0].features))
    assert {answer["slot"] for answer in answers} == {"champion"}
    records = {(record.slot, record.decision_id): record for record in store.decisions()}
    assert len(records) == len(store.decisions()) == 2 * len(golden), "a repeat is not copied to the shadow"
    for index, (own, other) in enumerate(zip(golden, golden_rows(2), strict=True)):
        decided, copied = records["champion", f"d{index}"], records["shadow", f"d{index}"]
        assert (decided.margin, decided.bundle_digest) == (own.margin, champion)
        assert (copied.margin, copied.bundle_digest) == (
            booster(2).predict([as_row(own.features)], raw_score=True)[0],
            watched,
        ), other
        assert (copied.entity_key, copied.occurred_at, copied.features) == (
            decided.entity_key,
            decided.occurred_at,
            decided.features,
        )


def shadows_counted(client: InProcessClient) -> float:
    lines = client.get("/metrics").text.splitlines()
    shadows = [line for line in lines if line.startswith("serving_requests_total") and "shadow" in line]
    return sum(float(line.rpartition(" ")[2]) for line in shadows)


def as_row(features: dict[str, Any]) -> list[float]:
    kinds = {"online": 0, "shop": 1, "travel": 2}
    mean = features["mean_amount_7d"]
    return [
        features["amount"],
        features["is_night"],
        kinds[features["kind"]],
        float("nan") if mean is None else mean,
    ]


def test_a_canarys_answers_are_copied_to_the_shadow_too(store: SmallStore) -> None:
    store.publish(1)
    canary(store, 2, 100)
    shadow(store, 3)
    with served(store) as client:
        assert client.post(URL, json=score_request("d1")).json()["slot"] == "canary"
    assert by_slot(store) == {"canary": ["d1"], "shadow": ["d1"]}


def test_slots_with_other_features_each_read_their_own(store: SmallStore) -> None:
    store.publish(1)
    tried, copied = (renamed(store, seed, "mean_amount_7d", "mean_amount_9d") for seed in (2, 3))
    store.releases.put_canary(MODEL, tried, percent=50, by="test", reason="other features")
    store.releases.put_shadow(MODEL, copied, by="test", reason="other features")
    with served(store) as client:
        for number in range(12):
            request = score_request(f"d{number}", entity_key=f"customer-{number}", features=BOTH)
            assert client.post(URL, json=request).status_code == 200
        described = client.get(f"/v1/models/{MODEL}").json()
        unknown = client.post(URL, json=score_request("x", features={**BOTH, "mean_amount_1d": 1.0}))
    assert [feature["name"] for feature in described["other_schemas"]["canary"]][-1] == "mean_amount_9d"
    assert unknown.status_code == 422, "a feature that no slot knows is refused"
    last = {(record.slot, record.features[-1]) for record in store.decisions() if record.features}
    assert last == {("champion", None), ("canary", 9.0), ("shadow", 9.0)}
    slots = by_slot(store)
    assert sorted(slots["shadow"]) == sorted(slots["champion"] + slots["canary"])


def test_a_shadow_that_lacks_a_feature_is_a_recorded_failure_and_nobody_elses(store: SmallStore) -> None:
    store.publish(1)
    bundle = renamed(store, 2, "mean_amount_7d", "mean_amount_9d")
    store.releases.put_shadow(MODEL, bundle, by="test", reason="other features")
    with served(store) as client:
        assert client.post(URL, json=score_request("d1")).status_code == 200
        eventually(
            lambda: "serving_shadow_failures_total{" in client.get("/metrics").text and len(store.decisions()) == 2
        )
    assert [(record.slot, record.error) for record in store.decisions()] == [
        ("champion", None),
        ("shadow", "InvalidRequestError"),
    ]


def test_models_of_one_server_have_their_own_releases_ids_and_failures(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2, "credit")
    store.publish(3, "credit")
    with served(store) as client:
        answers = {
            model: client.post(f"/v1/models/{model}/score", json=score_request("d1")).json()
            for model in (MODEL, "credit")
        }
        store.publish(4, "credit")
        (store.settings.release_store / "releases" / "credit" / "000003.json").write_text("{}")
        client.post("/v1/poll")
        listed = {each["model"]: each for each in client.get("/v1/models").json()["models"]}
        assert client.get("/readyz").status_code == 200
        again = client.post("/v1/models/credit/score", json=score_request("d2")).json()
    assert {model: (answer["model"], answer["release_number"]) for model, answer in answers.items()} == {
        MODEL: (MODEL, 1),
        "credit": ("credit", 2),
    }
    assert {model: each["state"] for model, each in listed.items()} == {MODEL: "serving", "credit": "failed"}
    assert again["release_number"] == 2
    assert [(record.model, record.decision_id) for record in store.decisions()] == [
        (MODEL, "d1"),
        ("credit", "d1"),
        ("credit", "d2"),
    ]


def test_a_required_model_that_is_not_there_takes_the_server_out_of_traffic(store: SmallStore) -> None:
    store.publish(1)
    with served(store, required_models=(MODEL, "credit")) as client:
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["violations"] == ["required models are not loaded: ['credit']"]
        store.publish(2, "credit")
        assert client.post("/v1/poll").json() == {
            "releases": {MODEL: 1, "credit": 1},
            "promotion_holds": {},
            "error": None,
        }
        assert client.get("/readyz").status_code == 200


def test_a_poll_loads_what_is_new_before_it_answers(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as client:
        store.publish(2)
        assert client.post(URL, json=score_request("d1")).json()["release_number"] == 1
        assert client.post("/v1/poll").json()["releases"] == {MODEL: 2}
        assert client.post(URL, json=score_request("d2")).json()["release_number"] == 2
        assert client.get("/v1/poll").status_code == 405
