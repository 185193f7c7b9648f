"""Release policy: pure functions from a snapshot to an action, which `serving.slots.slots` executes."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.contract.documents import Release, SlotName, SlotRelease
from serving.contract.routing import MAX_SALT_BYTES

LONGEST_RETRY_SECONDS: Final = 60.0
SLOTS: Final[tuple[SlotName, ...]] = ("champion", "canary", "shadow")


@dataclass(frozen=True, slots=True)
class Failure:
    """A release that could not be loaded; `retry_at` is on the monotonic clock, in seconds."""

    release_digest: str
    attempts: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a model stands when the store was read.

    Parameters
    ----------
    serving
        Digest of the release that serves, if one does.
    aspired
        Digest of the release that the store states; ``None`` if what it states cannot be believed or served.
    fault
        Why it cannot; ``None`` where `aspired` is set.
    error
        Why the newest release does not serve, as it was told last.
    failure
        The release that could not be loaded last, if none was since.
    now
        Seconds on the monotonic clock.
    """

    serving: str | None
    aspired: str | None
    fault: str | None = None
    error: str | None = None
    failure: Failure | None = None
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """Load the aspired release."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell why the store's statement is not followed; what serves goes on."""

    fault: str


@dataclass(frozen=True, slots=True)
class Recover:
    """What serves is what is aspired: the error told before is over."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing to do."""


Action: TypeAlias = Load | Refuse | Recover | Stay


def next_action(snapshot: Snapshot) -> Action:
    """Load what is aspired and not served, unless it failed a moment ago; tell a fault once."""
    if snapshot.fault is not None:
        return Stay() if snapshot.error == snapshot.fault else Refuse(snapshot.fault)
    if snapshot.aspired == snapshot.serving:
        return Recover() if snapshot.error is not None else Stay()
    failure = snapshot.failure
    is_waiting = failure is not None and failure.release_digest == snapshot.aspired and snapshot.now < failure.retry_at
    return Stay() if is_waiting else Load()


def failed_again(release_digest: str, before: Failure | None, now: float) -> Failure:
    """The failure after another attempt: tried again after 2, 4, 8 s and so on, at most 60."""
    attempts = before.attempts + 1 if before is not None and before.release_digest == release_digest else 1
    # 2.0**attempts overflows after 1,023 of them, which a night of them reaches.
    return Failure(release_digest, attempts, now + min(LONGEST_RETRY_SECONDS, 2.0 ** min(attempts, 16)))


def slots_of(release: Release) -> Iterator[tuple[SlotName, SlotRelease]]:
    """The slots that a release fills, the champion first."""
    for slot in SLOTS:
        stands: SlotRelease | None = getattr(release, slot)
        if stands is not None:
            yield slot, stands


def bundles_to_load(release: Release, loaded: Set[str]) -> tuple[str, ...]:
    """Digests of the bundles that a release needs and that are not `loaded`, each once, the champion's first."""
    needed = dict.fromkeys(stands.bundle_digest for _, stands in slots_of(release))
    return tuple(bundle_digest for bundle_digest in needed if bundle_digest not in loaded)


def newer_fault(model: str, held_number: int, highest: int, *, is_held_unchanged: bool) -> str | None:
    """Why a store must not be followed from the held release on: it went back, or was rewritten; else ``None``.

    Parameters
    ----------
    highest
        The highest number in the store, 0 if there is none.
    is_held_unchanged
        Whether the store has the held release byte for byte.
    """
    remedy = "if on purpose, remove this server's cache and restart it"
    if highest < held_number:
        return f"Expected release {held_number} of {model} or a later one, got {highest}: the store went back; {remedy}"
    if not is_held_unchanged:
        return (
            f"Expected release {held_number} of {model} as it was, got other content: the store was rewritten; {remedy}"
        )
    return None


def slots_fault(release: Release) -> str | None:
    """Why the slots of a release cannot be served, and what to do; ``None`` if they can."""
    for slot, stands in slots_of(release):
        violation = _canary_violation(release, stands) if slot == "canary" else _plain_violation(stands)
        if violation is not None:
            return f"{violation}; {remedy(release.model, slot)} - at the {slot} of release {release.number}"
    return None


def remedy(model: str, slot: SlotName) -> str:
    """How to get rid of what does not load in a slot."""
    if slot == "champion":
        return f"mend the release store, or take the release back with `lifecycle rollback {model}`"
    return f"mend the release store, or end it with `lifecycle end-{slot} {model}`"


def share_violation(percent: float | None, salt: str | None) -> str | None:
    """What is wrong with a canary's percent and salt; ``None`` if nothing is."""
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
        return "Expected another bundle than the champion's, got the same"
    return share_violation(canary.percent, canary.salt)


def _plain_violation(stands: SlotRelease) -> str | None:
    if stands.percent is not None or stands.salt is not None:
        return "Expected neither percent nor salt, which only a canary has, got one"
    return None
