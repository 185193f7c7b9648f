"""Rules that a release must satisfy before a server accepts it: pure functions on releases."""

from collections.abc import Iterator, Sequence
from typing import Final

from serving.contract.documents import Release, SlotName, SlotRelease
from serving.contract.routing import MAX_SALT_BYTES

SLOTS: Final[tuple[SlotName, ...]] = ("champion", "canary", "shadow")


def slots_of(release: Release) -> Iterator[tuple[SlotName, SlotRelease]]:
    """The slots that a release fills, the champion first."""
    for slot in SLOTS:
        slot_release: SlotRelease | None = getattr(release, slot)
        if slot_release is not None:
            yield slot, slot_release


def last_rollback(history: Sequence[Release]) -> Release | None:
    """The last rollback of a model: it holds automatic promotion until a person resumes it (`Resume`)."""
    return next((release for release in reversed(history) if release.restores is not None), None)


def newer_fault(model: str, held_number: int, highest: int, *, is_held_unchanged: bool) -> str | None:
    """Why a store must be rejected, given the held release: it went back or was rewritten; else ``None``.

    Parameters
    ----------
    highest
        The highest number in the store, 0 if it has no release.
    is_held_unchanged
        Whether the store has the held release, byte for byte.
    """
    remedy = "if this is intended, remove this server's cache and restart it"
    if highest < held_number:
        return f"Expected release {held_number} of {model} or a later one, got {highest}: the store went back; {remedy}"
    if not is_held_unchanged:
        return (
            f"Expected release {held_number} of {model} unchanged, got other content: the store was rewritten; {remedy}"
        )
    return None


def slots_fault(release: Release) -> str | None:
    """Why the slots of a release cannot be served, with the remedy; ``None`` if they can."""
    for slot, slot_release in slots_of(release):
        violation = _canary_violation(release, slot_release) if slot == "canary" else _plain_violation(slot_release)
        if violation is not None:
            return f"{violation}; {remedy(release.model, slot)} - at the {slot} of release {release.number}"
    return None


def remedy(model: str, slot: SlotName) -> str:
    """How to replace or remove the bundle of a slot that cannot be served."""
    if slot == "champion":
        return f"repair the release store, or roll the release back with `lifecycle rollback {model}`"
    return f"repair the release store, or end the {slot} with `lifecycle end-{slot} {model}`"


def share_violation(percent: float | None, salt: str | None) -> str | None:
    """The violation in a canary's percent and salt; ``None`` if they are valid."""
    if percent is None:
        return "Expected a percent from 0 to 100, got none"
    if not 0 <= percent <= 100:
        return f"Expected a percent from 0 to 100, got {percent}"
    if not salt:
        return "Expected a salt, got none"
    length = len(salt.encode())
    return f"Expected a salt of at most {MAX_SALT_BYTES} bytes, got {length}" if length > MAX_SALT_BYTES else None


def _canary_violation(release: Release, canary: SlotRelease) -> str | None:
    if canary.bundle_digest == release.champion.bundle_digest:
        return "Expected a bundle other than the champion's, got the same"
    return share_violation(canary.percent, canary.salt)


def _plain_violation(slot_release: SlotRelease) -> str | None:
    if slot_release.percent is not None or slot_release.salt is not None:
        return "Expected neither percent nor salt, which only a canary has, got one of them"
    return None
