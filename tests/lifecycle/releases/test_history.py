import datetime as dt

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.history import (
    FilledSlots,
    active_champions,
    canary_salt,
    is_more_exposed,
    shadow_after_promotion,
    was_rolled_back,
    withdrawn_bundles,
)
from serving.contract.documents import Release, SlotRelease
from tests.harness.small_models import MODEL

Step = tuple[str, int | None] | tuple[str, int | None, str]


def stands(bundle: str, percent: float | None = None, salt: str | None = None) -> SlotRelease:
    return SlotRelease(bundle_digest=bundle, as_of="2026-01-01", percent=percent, salt=salt)


def released(*steps: Step) -> tuple[Release, ...]:
    """A history in short: the champion, the release that it restores, and the canary."""
    return tuple(
        Release(
            schema_version=1,
            model=MODEL,
            number=number,
            predecessor=None,
            champion=stands(step[0]),
            canary=stands(step[2], 5, "s") if len(step) == 3 else None,
            restores=step[1],
            released_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            released_by="test",
            reason="test",
        )
        for number, step in enumerate(steps, start=1)
    )


@pytest.mark.parametrize(
    ("history", "standing", "withdrawn"),
    [
        (released(), [], set()),
        (released(("a", None)), ["a"], set()),
        (released(("a", None), ("b", None)), ["a", "b"], set()),
        (released(("a", None), ("b", None), ("a", 1)), ["a"], {"b"}),
        (released(("a", None), ("b", None), ("a", 1), ("c", None)), ["a", "c"], {"b"}),
        (released(("a", None), ("b", None), ("a", 1), ("b", None)), ["a", "b"], set()),
        (released(("a", None), ("b", None), ("c", None), ("b", 2), ("a", 1)), ["a"], {"b", "c"}),
        (released(("a", None), ("b", None), ("a", None), ("b", 2)), ["a", "b"], {"a"}),
        # a canary stands, is promoted, is ended, is replaced
        (released(("a", None), ("a", None, "b")), ["a"], set()),
        (released(("a", None), ("a", None, "b"), ("b", None)), ["a", "b"], set()),
        (released(("a", None), ("a", None, "b"), ("a", None)), ["a"], {"b"}),
        (released(("a", None), ("a", None, "b"), ("a", None, "c")), ["a"], {"b"}),
        (released(("a", None), ("a", None, "b"), ("a", None), ("a", None, "b")), ["a"], set()),
        # a rollback goes to the champion before, whatever was tried beside it, and takes the canary along
        (released(("a", None), ("b", None), ("b", None, "c"), ("a", 1)), ["a"], {"b", "c"}),
        (released(("a", None), ("a", None, "c"), ("b", None), ("a", 1)), ["a"], {"b", "c"}),
        # beside a champion that a rollback brought back
        (released(("a", None), ("b", None), ("a", 1), ("a", None, "c")), ["a"], {"b"}),
        (released(("a", None), ("b", None), ("a", 1), ("a", None, "c"), ("c", None)), ["a", "c"], {"b"}),
    ],
)
def test_what_a_rollback_can_go_back_through(
    history: tuple[Release, ...], standing: list[str], withdrawn: set[str]
) -> None:
    assert [release.champion.bundle_digest for release in active_champions(history)] == standing
    assert withdrawn_bundles(history) == withdrawn


@pytest.mark.parametrize(
    ("standing", "promoted", "shadow"),
    [
        (None, "b", None),
        (FilledSlots(stands("a")), "b", None),
        (FilledSlots(stands("a"), stands("b", 5, "s")), "b", None),
        (FilledSlots(stands("a"), None, stands("c")), "b", stands("c")),
        (FilledSlots(stands("a"), stands("b", 5, "s"), stands("c")), "b", stands("c")),
        (FilledSlots(stands("a"), stands("b", 5, "s"), stands("b")), "b", None),
        (FilledSlots(stands("a"), None, stands("b")), "b", None),
    ],
)
def test_what_a_promotion_leaves_beside(
    standing: FilledSlots | None, promoted: str, shadow: SlotRelease | None
) -> None:
    assert shadow_after_promotion(MODEL, standing, promoted) == shadow


def test_no_other_bundle_is_promoted_while_a_canary_stands() -> None:
    standing = FilledSlots(stands("a"), stands("b", 5, "s"))
    with pytest.raises(LifecycleError, match="promote the canary, or end it with `lifecycle end-canary card_fraud`"):
        shadow_after_promotion(MODEL, standing, "c")


CANARY = FilledSlots(stands("a"), stands("b", 5, "s"))


@pytest.mark.parametrize(
    ("standing", "bundle", "given", "salt"),
    [
        (FilledSlots(stands("a")), "b", None, "fresh"),
        (FilledSlots(stands("a")), "b", "mine", "mine"),
        (CANARY, "b", None, "s"),
        (CANARY, "b", "mine", "mine"),
        (CANARY, "c", None, "fresh"),
    ],
)
def test_which_salt_a_canary_gets(standing: FilledSlots, bundle: str, given: str | None, salt: str) -> None:
    assert canary_salt(standing, bundle, given, "fresh") == salt


@pytest.mark.parametrize(
    ("standing", "wanted", "is_more"),
    [
        (FilledSlots(stands("a")), stands("b", 0, "s"), True),
        (CANARY, stands("b", 5, "s"), False),
        (CANARY, stands("b", 4, "s"), False),
        (CANARY, stands("b", 6, "s"), True),
        (CANARY, stands("b", 4, "t"), True),
        (CANARY, stands("c", 4, "s"), True),
    ],
)
def test_which_canary_adds_risk(standing: FilledSlots, wanted: SlotRelease, is_more: bool) -> None:
    assert is_more_exposed(standing, wanted) is is_more


def test_a_release_after_a_rollback_is_no_rollback_of_it() -> None:
    history = released(("a", None), ("b", None), ("a", 1))
    assert was_rolled_back(history, 2)
    assert not was_rolled_back(history, 1)
    assert not was_rolled_back((*history, *released(("a", None, "c"))), 2)
