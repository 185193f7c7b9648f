import shutil
import time

import pytest

from serving.artefacts.bundle import read_bundle
from serving.process.app import create_app
from tests.harness.api import URL, logged, settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.slot_steps import canary, shadow
from tests.harness.small_models import MODEL, SmallStore, score_request


def test_the_slots_are_listed_with_their_bundles_states_and_shares(store: SmallStore) -> None:
    champion = store.publish(1).champion.bundle_digest
    tried, watched = canary(store, 2, 12.5), shadow(store, 3)
    with InProcessClient(create_app(settings_of(store))) as client:
        [listed] = client.get("/v1/models").json()["models"]
        described = client.get(f"/v1/models/{MODEL}").json()
        ready = client.get("/readyz").json()
    assert [
        (slot["slot"], slot["state"], slot["bundle_digest"], slot["as_of"], slot["percent"]) for slot in listed["slots"]
    ] == [
        ("canary", "serving", tried, "2026-01-02", 12.5),
        ("champion", "serving", champion, "2026-01-01", None),
        ("shadow", "serving", watched, "2026-01-03", None),
    ]
    assert (listed["release_number"], listed["aspired_release_number"], listed["error"]) == (3, 3, None)
    assert [event["state"] for event in listed["transitions"] if event["slot"] == "shadow"] == [
        *("new", "verifying", "warming", "ready", "serving")
    ]
    release = store.releases.history(MODEL)[-1]
    assert release.canary is not None
    assert str(release.canary.salt) not in f"{listed}{described}{ready}", "it would say who is routed where"
    assert described["slots"] == listed["slots"]
    assert described["other_schemas"] == {}
    assert ready["models"][MODEL]["slots"] == {"champion": champion, "canary": tried, "shadow": watched}


def test_a_refused_release_is_listed_beside_what_serves_and_the_server_stays_ready(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = store.publish(1).champion.bundle_digest
    tried = store.seal(2)
    folder = store.settings.release_store / "bundles" / tried
    sealed = read_bundle(folder, store.keys.public_keys)
    shutil.rmtree(folder)
    monkeypatch.setattr("lifecycle.releases.store.verified_bundle", lambda *_: sealed)
    with InProcessClient(create_app(settings_of(store, poll_seconds=0.02))) as client:
        # The bundle goes before any server could read it, as from a store that is copied in pieces.
        store.releases.put_canary(MODEL, tried, percent=5, by="test", reason="test")
        waited_until = time.monotonic() + 20
        # The slots fail first, the model once all of them have.
        while client.get("/v1/models").json()["models"][0]["state"] != "failed":
            assert time.monotonic() < waited_until
            time.sleep(0.02)
        [listed] = client.get("/v1/models").json()["models"]
        assert client.get("/readyz").status_code == 200
        assert client.post(URL, json=score_request()).json()["release_number"] == 1
    assert (listed["state"], listed["release_number"], listed["aspired_release_number"]) == ("failed", 1, 2)
    assert "`lifecycle end-canary card_fraud`" in listed["error"]
    assert listed["error"].endswith("; release 1 serves on")
    assert [(slot["slot"], slot["release_number"], slot["state"], slot["percent"]) for slot in listed["slots"]] == [
        ("champion", 1, "serving", None),
        ("canary", 2, "failed", 5.0),
        ("champion", 2, "failed", None),
    ]
    assert listed["bundle_digest"] == champion


def test_a_canarys_answer_and_record_say_who_decided(store: SmallStore) -> None:
    store.publish(1)
    tried = canary(store, 2, 100)
    with InProcessClient(create_app(settings_of(store))) as client:
        answer = client.post(URL, json=score_request()).json()
    [record] = logged(store)
    assert (answer["slot"], answer["bundle_digest"], answer["release_number"]) == ("canary", tried, 2)
    assert (record.slot, record.bundle_digest, record.release_number) == ("canary", tried, 2)


def test_the_hold_of_a_rollback_is_on_every_page_until_it_is_resumed(store: SmallStore) -> None:
    for seed in (1, 2):
        store.publish(seed)
    rollback = store.releases.rollback(MODEL, by="anna", reason="declines too many")
    with InProcessClient(create_app(settings_of(store))) as client:
        [listed] = client.get("/v1/models").json()["models"]
        described = client.get(f"/v1/models/{MODEL}").json()
        assert listed["promotion_hold"] == described["promotion_hold"]
        assert listed["promotion_hold"] == {
            "release_number": 3,
            "held_by": "anna",
            "held_since": rollback.released_at.isoformat().replace("+00:00", "Z"),
            "reason": "declines too many",
        }
        ready = client.get("/readyz").json()["models"][MODEL]
        assert (ready["is_promotion_held"], "anna" in str(ready)) == (True, False), "anybody may read this page"
        assert client.post("/v1/poll").json()["promotion_holds"] == {MODEL: 3}
        assert f'serving_promotion_held{{model="{MODEL}"}} 1.0' in client.get("/metrics").text
        store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="fixed")
        assert client.post("/v1/poll").json()["promotion_holds"] == {}
        assert client.get(f"/v1/models/{MODEL}").json()["promotion_hold"] is None
        assert client.get("/readyz").json()["models"][MODEL]["is_promotion_held"] is False
        assert f'serving_promotion_held{{model="{MODEL}"}} 0.0' in client.get("/metrics").text
