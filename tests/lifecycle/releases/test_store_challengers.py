import re
from collections.abc import Callable
from typing import TypedDict

import pytest

from lifecycle.errors import LifecycleError
from serving.artefacts.releases import DirectoryReader, ReleaseSource, VerifiedRelease
from serving.contract.documents import Release
from tests.harness.small_models import MODEL, SmallStore


class Because(TypedDict):
    by: str
    reason: str


BY: Because = {"by": "test", "reason": "test"}


def slots(release: Release) -> tuple[str, str | None, str | None]:
    return (
        release.champion.bundle_digest,
        release.canary.bundle_digest if release.canary else None,
        release.shadow.bundle_digest if release.shadow else None,
    )


def salt_of(release: Release) -> str:
    assert release.canary is not None
    return str(release.canary.salt)


def servable(store: SmallStore) -> bool:
    """Whether a server takes what stands."""
    source = ReleaseSource(DirectoryReader(store.settings.release_store), store.keys.public_keys)
    return isinstance(source.poll({})[MODEL], VerifiedRelease)


def test_canary_and_shadow_stand_beside_the_champion_until_they_are_ended(store: SmallStore) -> None:
    a = store.publish(1).champion.bundle_digest
    b, c = store.seal(2), store.seal(3)
    put = store.releases.put_canary(MODEL, b, percent=5, **BY)
    assert (put.number, slots(put)) == (2, (a, b, None))
    assert put.canary is not None
    assert (put.canary.percent, put.canary.as_of) == (5.0, "2026-01-02")
    assert len(salt_of(put)) == 32
    assert slots(store.releases.put_shadow(MODEL, c, **BY)) == (a, b, c)
    assert servable(store)
    assert slots(store.releases.end_canary(MODEL, **BY)) == (a, None, c)
    ended = store.releases.end_shadow(MODEL, **BY)
    assert (ended.number, slots(ended)) == (5, (a, None, None))
    assert store.releases.history(MODEL)[-1] == ended


def test_a_bundle_is_never_canary_and_shadow_at_once(store: SmallStore) -> None:
    a, b = store.publish(1).champion.bundle_digest, store.seal(2)
    store.releases.put_shadow(MODEL, b, **BY)
    assert slots(store.releases.put_canary(MODEL, b, percent=5, **BY)) == (a, b, None)
    with pytest.raises(LifecycleError, match=r"other than the canary's.*end-canary card_fraud` - at the shadow"):
        store.releases.put_shadow(MODEL, b, **BY)
    assert len(store.releases.history(MODEL)) == 3
    store.releases.put_shadow(MODEL, store.seal(3), **BY)
    assert slots(store.releases.put_canary(MODEL, b, percent=10, **BY))[1:] == (b, store.seal(3))


def test_the_same_again_changes_nothing(store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    put = store.releases.put_canary(MODEL, b, percent=5, **BY)
    assert store.releases.put_canary(MODEL, b, percent=5, **BY) == put
    assert store.releases.put_canary(MODEL, b, percent=5, salt=salt_of(put), after=1, **BY) == put
    watched = store.releases.put_shadow(MODEL, c, **BY)
    assert store.releases.put_shadow(MODEL, c, after=2, **BY) == watched
    ended = store.releases.end_canary(MODEL, after=3, **BY)
    assert store.releases.end_canary(MODEL, after=3, **BY) == ended
    assert store.releases.end_shadow(MODEL, **BY) == store.releases.end_shadow(MODEL, **BY)
    assert len(store.releases.history(MODEL)) == 5


def test_another_percent_keeps_the_salt_and_another_bundle_does_not(store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    salts = [salt_of(store.releases.put_canary(MODEL, b, percent=percent, **BY)) for percent in (5, 20)]
    assert salts[0] == salts[1]
    assert salt_of(store.releases.put_canary(MODEL, c, percent=20, **BY)) != salts[0]
    assert salt_of(store.releases.put_canary(MODEL, c, percent=20, salt="mine", **BY)) == "mine"


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_percent_out_of_bounds_is_refused(store: SmallStore, percent: float) -> None:
    store.publish(1)
    with pytest.raises(LifecycleError, match="Expected a percent from 0 to 100"):
        store.releases.put_canary(MODEL, store.seal(2), percent=percent, **BY)
    assert len(store.releases.history(MODEL)) == 1


def test_a_salt_that_is_too_long_is_refused(store: SmallStore) -> None:
    store.publish(1)
    with pytest.raises(LifecycleError, match="at most 64 bytes, got 65 - at the canary of card_fraud"):
        store.releases.put_canary(MODEL, store.seal(2), percent=5, salt="s" * 65, **BY)


def test_nothing_stands_beside_no_champion_or_beside_itself(store: SmallStore) -> None:
    bundle = store.seal(1)
    put_canary, put_shadow, end = store.releases.put_canary, store.releases.put_shadow, store.releases.end_canary
    calls: tuple[Callable[[], Release], ...] = (
        lambda: put_canary(MODEL, bundle, percent=5, **BY),
        lambda: put_shadow(MODEL, bundle, **BY),
    )
    for call in calls:
        with pytest.raises(LifecycleError, match="found no release; promote one first"):
            call()
    with pytest.raises(LifecycleError, match="Expected a release of card_fraud to end its"):
        end(MODEL, **BY)
    store.publish(1)
    for call in calls:
        with pytest.raises(LifecycleError, match="Expected a bundle other than the champion's"):
            call()


def test_only_a_bundle_of_this_model_that_verifies_is_put_beside(store: SmallStore) -> None:
    store.publish(1)
    other, tampered = store.seal(2, "credit"), store.seal(3)
    (store.settings.release_store / "bundles" / tampered / "model.txt").write_text("tampered")
    for bundle, violation in ((other, "got one of credit"), (tampered, "model.txt"), ("0" * 64, "found no folder")):
        with pytest.raises(LifecycleError, match=re.escape(violation)):
            store.releases.put_canary(MODEL, bundle, percent=5, **BY)
        with pytest.raises(LifecycleError, match=re.escape(violation)):
            store.releases.put_shadow(MODEL, bundle, **BY)
    assert len(store.releases.history(MODEL)) == 1


def test_what_goes_on_beside_is_verified_too_and_can_always_be_ended(store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    store.releases.put_canary(MODEL, b, percent=5, **BY)
    store.releases.put_shadow(MODEL, c, **BY)
    for bundle in (b, c):
        (store.settings.release_store / "bundles" / bundle / "model.txt").write_text("tampered")
    with pytest.raises(LifecycleError, match="end the canary first with `lifecycle end-canary card_fraud`"):
        store.releases.put_shadow(MODEL, store.seal(4), **BY)
    store.releases.end_canary(MODEL, **BY)
    with pytest.raises(LifecycleError, match="end the shadow first with `lifecycle end-shadow card_fraud`"):
        store.publish(4)
    with pytest.raises(LifecycleError, match="end the shadow first"):
        store.releases.put_canary(MODEL, store.seal(4), percent=5, **BY)
    store.releases.end_shadow(MODEL, **BY)
    assert store.publish(4).number == 6


def test_promoting_the_canary_ends_it_and_the_shadow_goes_on(store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    store.releases.put_canary(MODEL, b, percent=5, **BY)
    store.releases.put_shadow(MODEL, c, **BY)
    assert slots(store.publish(2)) == (b, None, c)
    assert slots(store.publish(3)) == (c, None, None)
    assert store.releases.withdrawn(MODEL) == frozenset()


def test_another_bundle_is_not_promoted_over_a_canarys_head(store: SmallStore) -> None:
    a = store.publish(1).champion.bundle_digest
    b = store.seal(2)
    put = store.releases.put_canary(MODEL, b, percent=5, **BY)
    with pytest.raises(LifecycleError, match=f"or the promotion of its bundle {b}"):
        store.publish(3)
    assert store.publish(1) == put, "the champion stands already"
    store.releases.end_canary(MODEL, **BY)
    assert slots(store.publish(3))[0] != a


def test_a_rollback_leaves_the_champion_before_alone(store: SmallStore) -> None:
    a = store.publish(1).champion.bundle_digest
    b = store.publish(2).champion.bundle_digest
    c, d = store.seal(3), store.seal(4)
    store.releases.put_canary(MODEL, c, percent=5, **BY)
    store.releases.put_shadow(MODEL, d, **BY)
    back = store.releases.rollback(MODEL, after=4, **BY)
    assert (slots(back), back.restores) == ((a, None, None), 1)
    assert store.releases.rollback(MODEL, after=4, **BY) == back
    assert store.releases.withdrawn(MODEL) == {b, c}
    with pytest.raises(LifecycleError, match="Expected a bundle that was not rolled back or ended as canary"):
        store.publish(3)


def test_without_a_champion_before_the_canary_is_what_can_be_ended(store: SmallStore) -> None:
    store.publish(1)
    store.releases.put_canary(MODEL, store.seal(2), percent=5, **BY)
    with pytest.raises(LifecycleError, match="end the canary with `lifecycle end-canary card_fraud`, or stop scoring"):
        store.releases.rollback(MODEL, **BY)


def test_an_ended_canary_comes_back_only_by_hand(store: SmallStore) -> None:
    store.publish(1)
    b = store.seal(2)
    store.releases.put_canary(MODEL, b, percent=5, **BY)
    store.releases.end_canary(MODEL, **BY)
    with pytest.raises(LifecycleError, match="a person can bring it back"):
        store.releases.put_canary(MODEL, b, percent=5, **BY)
    with pytest.raises(LifecycleError, match="a person can bring it back"):
        store.publish(2)
    assert store.releases.put_shadow(MODEL, b, **BY).number == 4, "a shadow answers nobody"
    assert store.releases.put_canary(MODEL, b, percent=5, is_withdrawn_allowed=True, **BY).number == 5


def test_a_freeze_stops_what_adds_risk_and_nothing_else(store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    store.releases.put_canary(MODEL, b, percent=20, **BY)
    store.releases.put_shadow(MODEL, c, **BY)
    store.releases.switches.freeze(by="anna", reason="audit")
    calls: tuple[Callable[[], Release], ...] = (
        lambda: store.releases.put_canary(MODEL, b, percent=30, **BY),
        lambda: store.releases.put_canary(MODEL, b, percent=10, salt="another", **BY),
        lambda: store.releases.put_canary(MODEL, store.seal(4), percent=1, **BY),
        lambda: store.releases.put_shadow(MODEL, store.seal(4), **BY),
    )
    for call in calls:
        with pytest.raises(LifecycleError, match="anna froze it"):
            call()
    assert store.releases.put_canary(MODEL, b, percent=5, **BY).number == 4
    assert store.releases.end_canary(MODEL, **BY).number == 5
    assert store.releases.end_shadow(MODEL, **BY).number == 6


def test_what_was_decided_upon_another_release_is_refused(store: SmallStore) -> None:
    store.publish(1)
    b, c = store.seal(2), store.seal(3)
    store.releases.put_canary(MODEL, b, percent=5, after=1, **BY)
    calls: tuple[Callable[[], Release], ...] = (
        lambda: store.releases.put_canary(MODEL, b, percent=10, after=1, **BY),
        lambda: store.releases.put_shadow(MODEL, c, after=1, **BY),
        lambda: store.releases.end_canary(MODEL, after=1, **BY),
    )
    for call in calls:
        with pytest.raises(LifecycleError, match="Expected release 1 of card_fraud to be in force, got release 2"):
            call()
