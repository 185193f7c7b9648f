"""Release policy: pure functions from a snapshot to an action, which `serving.slots.slots` executes."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.artefacts.release_rules import slots_of
from serving.contract.documents import Release

LONGEST_RETRY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A release that failed to load; `retry_at` is in seconds of the monotonic clock."""

    release_digest: str
    attempts: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a model when the store was read.

    Parameters
    ----------
    serving
        Digest of the release that serves, if one does.
    aspired
        Digest of the newest release in the store; ``None`` if it cannot be verified or served.
    fault
        Why it cannot; ``None`` if `aspired` is set.
    error
        The last reported reason why the newest release does not serve.
    failure
        The last release that failed to load, if none has loaded since.
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
    """Report why the newest release is refused; the serving release stays."""

    fault: str


@dataclass(frozen=True, slots=True)
class Recover:
    """The aspired release serves: clear the reported error."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing to do."""


Action: TypeAlias = Load | Refuse | Recover | Stay


def next_action(snapshot: Snapshot) -> Action:
    """Load the aspired release if it does not serve, unless its retry is not due; report a fault once."""
    if snapshot.fault is not None:
        return Stay() if snapshot.error == snapshot.fault else Refuse(snapshot.fault)
    if snapshot.aspired == snapshot.serving:
        return Recover() if snapshot.error is not None else Stay()
    failure = snapshot.failure
    is_waiting = failure is not None and failure.release_digest == snapshot.aspired and snapshot.now < failure.retry_at
    return Stay() if is_waiting else Load()


def failed_again(release_digest: str, previous: Failure | None, now: float) -> Failure:
    """The failure after another attempt; retries come after 2, 4, 8 s and so on, at most 60 s."""
    attempts = previous.attempts + 1 if previous is not None and previous.release_digest == release_digest else 1
    # 2.0**attempts overflows after 1,023 attempts, which is less than a day of them.
    return Failure(release_digest, attempts, now + min(LONGEST_RETRY_SECONDS, 2.0 ** min(attempts, 16)))


def bundles_to_load(release: Release, loaded: Set[str]) -> tuple[str, ...]:
    """Digests of the bundles that a release needs and that are not `loaded`, each once, the champion's first."""
    needed = dict.fromkeys(slot_release.bundle_digest for _, slot_release in slots_of(release))
    return tuple(bundle_digest for bundle_digest in needed if bundle_digest not in loaded)
