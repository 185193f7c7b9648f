"""Release policy: pure functions from a snapshot to an action, which `serving.slots.slots` executes."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.artefacts.release_rules import slots_of
from serving.contract.documents import Release

LONGEST_RETRY_SECONDS: Final = 60.0


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


def bundles_to_load(release: Release, loaded: Set[str]) -> tuple[str, ...]:
    """Digests of the bundles that a release needs and that are not `loaded`, each once, the champion's first."""
    needed = dict.fromkeys(stands.bundle_digest for _, stands in slots_of(release))
    return tuple(bundle_digest for bundle_digest in needed if bundle_digest not in loaded)
