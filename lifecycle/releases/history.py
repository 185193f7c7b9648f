"""Pure rules on a history of releases: which slots are filled, and which release may come next."""

from collections.abc import Sequence
from typing import NamedTuple

from lifecycle.errors import LifecycleError
from serving.contract.documents import Release, SlotRelease


class FilledSlots(NamedTuple):
    """The three slots of a release."""

    champion: SlotRelease
    canary: SlotRelease | None = None
    shadow: SlotRelease | None = None

    @classmethod
    def of(cls, release: Release) -> "FilledSlots":
        """The slots of a release."""
        return cls(release.champion, release.canary, release.shadow)


def shadow_after_promotion(model: str, standing: FilledSlots | None, bundle_digest: str) -> SlotRelease | None:
    """The shadow that continues after a promotion; the promotion ends the canary.

    During a canary only its own bundle is promoted: any other would change the champion that the canary is compared
    with. A shadow continues unless it is the new champion.

    Raises
    ------
    LifecycleError
        If another bundle is the canary.
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
    """The salt of a canary: `salt` if set, else that of the same bundle's canary in force, else `fresh`.

    Raising the percent of a canary therefore only adds entities, and another bundle is tried on other entities.
    """
    current = standing.canary
    kept = current.salt if current is not None and current.bundle_digest == bundle_digest else None
    return salt or kept or fresh


def slots_with_champion(model: str, standing: FilledSlots | None, bundle_digest: str, slot: str) -> FilledSlots:
    """The filled slots, if a bundle may challenge their champion; a shadow that becomes the canary leaves its slot.

    Raises
    ------
    LifecycleError
        If there is no champion, the bundle is the champion's, or the canary is to become the shadow.
    """
    if standing is None:
        raise LifecycleError(
            f"Expected a champion of {model} before a {slot}, found no release; promote one first with "
            f"`lifecycle promote {model} BUNDLE`"
        )
    if standing.champion.bundle_digest == bundle_digest:
        raise LifecycleError(f"Expected a bundle other than the champion's, got {bundle_digest} - at the {slot}")
    canary, shadow = standing.canary, standing.shadow
    if slot == "shadow" and canary is not None and canary.bundle_digest == bundle_digest:
        raise LifecycleError(
            f"Expected a bundle other than the canary's, which answers already, got {bundle_digest}; end the canary "
            f"first with `lifecycle end-canary {model}` - at the shadow"
        )
    if slot == "canary" and shadow is not None and shadow.bundle_digest == bundle_digest:
        return standing._replace(shadow=None)
    return standing


def is_more_exposed(standing: FilledSlots, canary: SlotRelease) -> bool:
    """Whether a canary may answer an entity that the canary in force does not."""
    current = standing.canary
    if current is None or current.percent is None or canary.percent is None:
        return True
    is_same = (current.bundle_digest, current.salt) == (canary.bundle_digest, canary.salt)
    return not is_same or canary.percent > current.percent


def active_champions(history: Sequence[Release]) -> list[Release]:
    """The stack of releases that rollbacks go back through, oldest first; the last is the champion's own.

    A promotion pushes a release; a release that only changes the challengers does not. A rollback pops every release
    above the one it restores.
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
    """Digests of the bundles that were withdrawn after they had answered, and have not returned since.

    A champion that was rolled back; a canary that was ended, replaced or rolled back, and not promoted. A champion that
    a promotion replaced is not withdrawn, and a shadow never answered.
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
    """Whether the release in force is the next one and rolled this release back."""
    return bool(history) and history[-1].number == number + 1 and history[-1].restores is not None


def refuse_if_withdrawn(model: str, history: Sequence[Release], bundle_digest: str) -> None:
    """Raise `LifecycleError` for a withdrawn bundle."""
    if bundle_digest in withdrawn_bundles(history):
        raise LifecycleError(
            f"Expected a bundle that was not rolled back or ended as canary, got {bundle_digest}; a person can bring "
            f"it back with `lifecycle promote {model} {bundle_digest}`"
        )
