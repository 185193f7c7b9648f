"""Canary and shadow beside the champion: loaded with it, routed, used again, retired."""

import gc
import json
import shutil
import threading
import weakref

import pytest

from serving.artefacts.bundle import Bundle, read_bundle
from serving.contract.documents import SlotRelease
from serving.contract.routing import CanaryShare
from serving.scoring.model import LoadedModel, load_model
from serving.slots.polling import switching_often
from serving.slots.slots import Servable
from serving.slots.states import Transition
from tests.harness.release_files import resign
from tests.harness.slot_steps import canary, number, renamed, shadow, slots_of, states
from tests.harness.small_models import (
    EXAMPLE,
    MODEL,
    SCHEMA,
    SmallStore,
    score_request,
)

ROW = (12.5, 1, "shop", None)
ENTITIES = [f"customer-{number}" for number in range(400)]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the bundles that are loaded while the test runs."""
    digests: list[str] = []

    def counted(bundle: Bundle) -> LoadedModel:
        digests.append(bundle.digest)
        return load_model(bundle)

    monkeypatch.setattr("serving.slots.loading.load_model", counted)
    return digests


def test_three_slots_are_loaded_and_each_entity_keeps_its_own(store: SmallStore) -> None:
    slots = slots_of(store)
    champion = store.publish(1).champion.bundle_digest
    tried, watched = canary(store, 2), shadow(store, 3)
    slots.advance()
    serving = slots.serving(MODEL)
    assert [(each.slot, each.bundle_digest, each.release_number) for each in serving.deployed] == [
        ("champion", champion, 3),
        ("canary", tried, 3),
        ("shadow", watched, 3),
    ]
    routed = {entity: serving.route(entity).slot for entity in ENTITIES}
    assert set(routed.values()) == {"champion", "canary"}
    store.releases.end_shadow(MODEL, by="test", reason="seen enough")
    slots.advance()
    assert {entity: slots.serving(MODEL).route(entity).slot for entity in ENTITIES} == routed


def test_more_percent_only_adds_entities_and_none_costs_nothing(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    assert {slots.serving(MODEL).route(entity).slot for entity in ENTITIES} == {"champion"}
    held: set[str] = set()
    for percent in (0, 10, 60, 100):
        canary(store, 2, percent)
        slots.advance()
        now = {entity for entity in ENTITIES if slots.serving(MODEL).route(entity).slot == "canary"}
        assert held <= now
        held = now
    assert len(held) == len(ENTITIES)


def test_a_bundle_that_serves_is_used_again_in_its_new_slot(store: SmallStore, loads: list[str]) -> None:
    slots = slots_of(store)
    champion = store.publish(1).champion.bundle_digest
    slots.advance()
    tried = canary(store, 2)
    watched = shadow(store, 3)
    slots.advance()
    before = slots.serving(MODEL)
    assert loads == [champion, tried, watched]
    assert before.canary is not None
    store.publish(2)
    slots.advance()
    after = slots.serving(MODEL)
    assert loads == [champion, tried, watched], "promoting the canary loads nothing"
    assert after.champion.model is before.canary.model
    assert (after.champion.slot, after.champion.release_number, after.canary) == ("champion", 4, None)
    assert [event.state for event in slots.events[MODEL] if event.release_number == 4] == [
        *("new", "new", "ready", "ready"),
        *("serving", "serving"),
    ]


def test_one_bundle_in_two_slots_of_an_older_release_is_loaded_once(store: SmallStore, loads: list[str]) -> None:
    slots = slots_of(store)
    store.publish(1)
    bundle = canary(store, 2)
    resign(store, 2, shadow=SlotRelease(bundle_digest=bundle, as_of="2026-01-02"))
    slots.advance()
    assert len(loads) == 2
    serving = slots.serving(MODEL)
    assert serving.canary is not None
    assert serving.shadow is not None
    assert serving.canary.model is serving.shadow.model


def test_a_release_goes_through_its_states_in_order(store: SmallStore) -> None:
    told: list[Transition] = []
    slots = slots_of(store, told.append)
    store.publish(1)
    canary(store, 2)
    slots.advance()
    assert [(event.slot, event.state) for event in told] == [
        *(("champion", "new"), ("canary", "new")),
        *(("champion", "verifying"), ("canary", "verifying")),
        *(("champion", "warming"), ("champion", "ready"), ("canary", "warming"), ("canary", "ready")),
        *(("champion", "serving"), ("canary", "serving")),
    ]
    assert {(event.model, event.release_number, event.error) for event in told} == {(MODEL, 2, None)}
    assert tuple(told) == slots.events[MODEL]


def test_all_slots_restart_from_the_cache_alone(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    bundles = {store.releases.history(MODEL)[0].champion.bundle_digest, canary(store, 2), shadow(store, 3)}
    store.publish(4, "credit")
    slots.advance()
    store.publish(5, "credit")
    slots.advance()
    shutil.rmtree(store.settings.release_store)
    restarted = slots_of(store)
    restarted.restore()
    restarted.advance()
    serving = restarted.serving(MODEL)
    assert {each.bundle_digest for each in serving.deployed} == bundles
    assert {entity: serving.route(entity).slot for entity in ENTITIES} == {
        entity: slots.serving(MODEL).route(entity).slot for entity in ENTITIES
    }
    cached = store.settings.root / "cache" / "bundles"
    assert len(list(cached.iterdir())) == 4, "three slots, and the other model's champion"


def test_what_a_request_holds_is_freed_once_it_ended_and_not_by_it(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    in_flight: list[Servable] = [slots.serving(MODEL).champion]
    freed_on: list[str] = []
    weakref.finalize(in_flight[0].model, lambda: freed_on.append(threading.current_thread().name))
    store.publish(2)
    for _ in range(2):
        slots.advance()
        assert states(slots)["champion", 1] == "retiring"
    assert in_flight[0].model.score((1.0, 0, "shop", None)).score > 0
    in_flight.clear()
    assert freed_on == [], "the request that ends does not free it"
    gc.collect()
    assert freed_on == []
    loader = threading.Thread(target=slots.advance, name="loader")
    loader.start()
    loader.join()
    assert freed_on == ["loader"]
    assert states(slots) == {("champion", 2): "serving"}


def test_a_carried_over_model_is_not_freed_with_its_old_slot(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    canary(store, 2)
    slots.advance()
    slots.advance()
    assert states(slots) == {("champion", 2): "serving", ("canary", 2): "serving"}
    assert slots.serving(MODEL).champion.model.score((1.0, 0, "shop", None)).score > 0


def test_bundles_with_the_same_features_share_one_reader(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    first = slots.serving(MODEL).champion.reader
    canary(store, 2)
    slots.advance()
    serving = slots.serving(MODEL)
    assert serving.canary is not None
    assert serving.champion.reader is serving.canary.reader is first


def test_slots_with_other_features_pass_over_each_others(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    bundle = renamed(store, 2, "mean_amount_7d", "mean_amount_9d")
    store.releases.put_canary(MODEL, bundle, percent=50, by="test", reason="other features")
    slots.advance()
    serving = slots.serving(MODEL)
    assert serving.canary is not None
    body = json.dumps(score_request(features={**EXAMPLE, "mean_amount_7d": 7.0, "mean_amount_9d": 9.0})).encode()
    assert serving.champion.reader.read(body).values[-1] == 7.0
    assert serving.canary.reader.read(body).values[-1] == 9.0
    assert len(serving.champion.reader.read(body).values) == len(SCHEMA)


def test_a_canary_that_ends_leaves_everybody_to_the_champion(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    canary(store, 2, 100)
    slots.advance()
    store.releases.end_canary(MODEL, by="test", reason="worse")
    slots.advance()
    serving = slots.serving(MODEL)
    assert (number(slots), serving.canary) == (3, None)
    assert {serving.route(entity).slot for entity in ENTITIES} == {"champion"}


@pytest.mark.long
def test_under_traffic_every_answer_is_by_a_bundle_that_its_release_names(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    answers: list[tuple[str, Servable, float]] = []
    faults: list[BaseException] = []
    is_over = threading.Event()

    def ask() -> None:
        try:
            while not is_over.is_set():
                for entity in ENTITIES[:20]:
                    deployed = slots.serving(MODEL).route(entity)
                    answers.append((entity, deployed, deployed.model.score(ROW).margin))
        except BaseException as error:  # told to the test, whatever it is
            faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    with switching_often():
        for seed in (2, 3, 2, 3):
            bundle = store.seal(seed)
            for percent in (30, 70):
                store.releases.put_canary(MODEL, bundle, percent=percent, is_withdrawn_allowed=True, by="t", reason="t")
                slots.advance()
            store.releases.put_shadow(MODEL, store.seal(4), by="t", reason="t")
            slots.advance()
            store.releases.publish(MODEL, bundle, by="t", reason="t")
            slots.advance()
            store.releases.rollback(MODEL, by="t", reason="t")
            slots.advance()
    is_over.set()
    for thread in threads:
        thread.join()
    assert faults == []
    margins = {store.seal(seed): load_margin(store, seed) for seed in (1, 2, 3)}
    history = {release.number: release for release in store.releases.history(MODEL)}
    for entity, deployed, margin in answers:
        release = history[deployed.release_number]
        stands = release.champion
        if release.canary is not None and CanaryShare(release.canary.percent or 0, release.canary.salt or "").holds(
            entity
        ):
            stands = release.canary
        assert deployed.bundle_digest == stands.bundle_digest
        assert margin == margins[stands.bundle_digest]
    assert len({deployed.release_number for _, deployed, _ in answers}) > 5


def load_margin(store: SmallStore, seed: int) -> float:
    folder = store.settings.release_store / "bundles" / store.seal(seed)
    return load_model(read_bundle(folder, store.keys.public_keys)).score(ROW).margin
