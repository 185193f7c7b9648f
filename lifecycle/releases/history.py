"""What a history of releases says, and what the next release may be: pure, on releases alone."""

from collections.abc import Sequence
from typing import NamedTuple

from lifecycle.errors import LifecycleError
from serving.contract.documents import Release, SlotRelease


class FilledSlots(NamedTuple):
    """What stands in the three slots of a release."""

    champion: SlotRelease
    canary: SlotRelease | None = None
    shadow: SlotRelease | None = None

    @classmethod
    def of(cls, release: Release) -> "FilledSlots":
        """The slots of a release."""
        return cls(release.champion, release.canary, release.shadow)


def shadow_after_promotion(model: str, standing: FilledSlots | None, bundle_digest: str) -> SlotRelease | None:
    """The shadow that goes on once a bundle is promoted; the canary ends with it.

    While a canary stands, no other bundle than its own is promoted: what is being tried would suddenly be compared
    with another champion than the one it was tried against. A shadow decides nothing and goes on beside the new
    champion, unless it is the new champion.

    Raises
    ------
    LifecycleError
        If another bundle's canary stands.
    """
    if standing is None:
        return None
    canary, shadow = standing.canary, standing.shadow
    if canary is not None and canary.bundle_digest != bundle_digest:
        raise LifecycleError(
            f"Expected no canary, or the promotion of its bundle {canary.bundle_digest}, got {bundle_digest}; promote "
            f"the canary, or end it with `lifecycle end-canary {model}`"
        )
    return None if shadow is not None and shadow.bundle_digest == bundle_digest else shadow


def canary_salt(standing: FilledSlots, bundle_digest: str, salt: str | None, fresh: str) -> str:
    """The salt of a canary: the given one, else that of the same bundle's canary that stands, else a fresh one.

    So raising the percent of a canary only adds entities, and another bundle is not tried on the same entities again.
    """
    before = standing.canary
    kept = before.salt if before is not None and before.bundle_digest == bundle_digest else None
    return salt or kept or fresh


def beside_champion(model: str, standing: FilledSlots | None, bundle_digest: str, slot: str) -> FilledSlots:
    """What stands, if a bundle may be put into a slot beside it.

    Raises
    ------
    LifecycleError
        If there is no champion, or the bundle is the champion's.
    """
    if standing is None:
        raise LifecycleError(
            f"Expected a champion of {model} to put a {slot} beside, found no release; promote one first with "
            f"`lifecycle promote {model} BUNDLE`"
        )
    if standing.champion.bundle_digest == bundle_digest:
        raise LifecycleError(f"Expected another bundle than the champion's, got {bundle_digest} - at the {slot}")
    return standing


def is_more_exposed(standing: FilledSlots, canary: SlotRelease) -> bool:
    """Whether a canary may answer an entity that the one that stands does not."""
    before = standing.canary
    if before is None or before.percent is None or canary.percent is None:
        return True
    is_same = (before.bundle_digest, before.salt) == (canary.bundle_digest, canary.salt)
    return not is_same or canary.percent > before.percent


def standing_champions(history: Sequence[Release]) -> list[Release]:
    """The releases a rollback can go back through, oldest first; the last one is the champion's own.

    A promotion goes on top; a release that only changes what stands beside the champion does not. A rollback takes
    away everything above the release it restores.
    """
    champions: list[Release] = []
    for release in history:
        if release.restores is None:
            if not champions or champions[-1].champion.bundle_digest != release.champion.bundle_digest:
                champions.append(release)
            continue
        while champions and champions[-1].number != release.restores:
            champions.pop()
    return champions


def withdrawn_bundles(history: Sequence[Release]) -> frozenset[str]:
    """Digests of the bundles that answered and were taken away, and do not answer again since.

    A champion that was rolled back; a canary that was ended, replaced or rolled back, and not promoted. A champion that
    a promotion replaced was not taken away, and a shadow never answered.
    """
    withdrawn: set[str] = set()
    for previous, release in zip((None, *history), history, strict=False):
        if previous is not None and release.restores is not None:
            withdrawn.add(previous.champion.bundle_digest)
        if previous is not None and previous.canary is not None:
            withdrawn.add(previous.canary.bundle_digest)
        answering = {release.champion.bundle_digest, release.canary.bundle_digest if release.canary else ""}
        withdrawn -= answering
    return frozenset(withdrawn)


def was_rolled_back(history: Sequence[Release], number: int) -> bool:
    """Whether a release was rolled back by the one right after it, which stands."""
    return bool(history) and history[-1].number == number + 1 and history[-1].restores is not None


def refuse_if_withdrawn(model: str, history: Sequence[Release], bundle_digest: str) -> None:
    """Raise `LifecycleError` for a bundle that was taken away."""
    if bundle_digest in withdrawn_bundles(history):
        raise LifecycleError(
            f"Expected a bundle that was not rolled back or ended as canary, got {bundle_digest}; a person may bring "
            f"it back with `lifecycle promote {model} {bundle_digest}`"
        )
