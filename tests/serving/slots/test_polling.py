import os
import sys
import threading
from pathlib import Path

import pytest

from serving.artefacts.releases import VerifiedRelease, file_name
from serving.slots.cache import Cache
from serving.slots.polling import LOADING_NICENESS, Polling, lower_priority, switching_often
from tests.harness.slot_steps import slots_of
from tests.harness.small_models import MODEL, SmallStore


def test_what_is_new_is_loaded_on_a_thread_of_its_own(store: SmallStore) -> None:
    store.publish(1)
    loaded_on: list[str] = []
    is_serving = threading.Event()

    def observe(event: object) -> None:
        loaded_on.append(threading.current_thread().name)
        if getattr(event, "state", None) == "serving":
            is_serving.set()

    polling = Polling(slots_of(store, observe).advance, poll_seconds=0.01)
    polling.start()
    assert is_serving.wait(timeout=30)
    polling.stop()
    assert set(loaded_on) == {"releases"}


def test_a_poll_that_fails_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []
    have_failed = threading.Event()

    def fails() -> None:
        turns.append(1)
        if len(turns) == 2:
            have_failed.set()
        raise RuntimeError("an unforeseen error")

    polling = Polling(fails, poll_seconds=0.01)
    polling.start()
    assert have_failed.wait(timeout=30)
    polling.stop()
    assert "polling for a new release failed, the held releases serve on" in caplog.text


def test_the_loading_thread_alone_steps_back() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    def work() -> None:
        lower_priority()
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    assert seen == [max(LOADING_NICENESS, before) if sys.platform == "linux" else before]


def test_the_loop_gets_its_turn_soon_only_while_something_is_loaded() -> None:
    before = sys.getswitchinterval()
    with switching_often():
        assert sys.getswitchinterval() == pytest.approx(0.0002)
    assert sys.getswitchinterval() == before


def held(store: SmallStore, number: int) -> VerifiedRelease:
    path = store.settings.release_store / "releases" / MODEL / file_name(number)
    return VerifiedRelease(store.releases.history(MODEL)[number - 1], path.read_bytes())


def test_of_two_workers_with_one_cache_the_later_release_stays(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    store.publish(2)
    cache, keys = Cache(tmp_path / "cache"), store.keys.public_keys
    cache.prepare()
    cache.hold(held(store, 2), (), keys)
    cache.hold(held(store, 1), (), keys)
    assert cache.held(keys)[MODEL] == held(store, 2)


def test_a_held_release_that_cannot_be_believed_is_replaced(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    store.publish(2)
    cache, keys = Cache(tmp_path / "cache"), store.keys.public_keys
    cache.prepare()
    path = tmp_path / "cache" / "held" / f"{MODEL}.json"
    path.write_bytes(held(store, 2).content.replace(b'\\"number\\": 2', b'\\"number\\": 9'))
    cache.hold(held(store, 1), (), keys)
    assert cache.held(keys)[MODEL] == held(store, 1)


def test_a_store_that_hangs_does_not_keep_the_server_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.slots.polling.STOP_SECONDS", 0.05)
    has_begun, goes_on = threading.Event(), threading.Event()

    def hangs() -> None:
        has_begun.set()
        goes_on.wait(timeout=30)

    polling = Polling(hangs, poll_seconds=0.01)
    polling.start()
    assert has_begun.wait(timeout=30)
    polling.stop()
    goes_on.set()
    polling.stop()
