"""Which model answers: polled, verified, loaded and warmed beside the traffic, then swapped by one assignment.

Nothing that fails here touches what is serving: the last good model stays, and the failure shows in `statuses`.
"""

import dataclasses
import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import Final, Literal

from serving.bundle import Bundle, verify_bundle
from serving.cache import Cache
from serving.contract import ContractError
from serving.errors import ModelNotReadyError, UnknownModelError
from serving.model import LoadedModel, load_model
from serving.releases import Held, ReleaseSource, StoreError
from serving.score_request import RequestReader
from serving.security import PublicKeys

State = Literal["new", "loading", "ready", "retired", "error"]

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    "new": frozenset({"loading", "error"}),
    "loading": frozenset({"ready", "error"}),
    "ready": frozenset({"loading", "error", "retired"}),
    "error": frozenset({"loading", "ready", "error"}),
    "retired": frozenset(),
}
"""`ready` to `loading`: a newer release is being loaded while the one before answers. `error` to `ready`: the store is
back to what is serving."""

_LONGEST_RETRY_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Champion:
    """A model that answers, with the release it came with; never changed, only replaced."""

    model: LoadedModel
    held: Held
    reader: RequestReader

    @property
    def release_number(self) -> int:
        """Number of the release."""
        return self.held.release.number

    @property
    def bundle_digest(self) -> str:
        """Digest of the bundle."""
        return self.model.bundle.digest


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything one model serves with."""

    champion: Champion
    canary: Champion | None = None
    shadow: Champion | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A release that could not be loaded; `retry_at` is on the monotonic clock, in seconds."""

    release_digest: str
    attempts: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class Status:
    """How a model's slot stands, for people and for monitoring."""

    state: State
    changed_at: dt.datetime
    aspired_number: int | None = None
    error: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """A champion that was replaced and is still in memory: requests that began with it end with it."""

    model: str
    status: Status
    champion: Champion


def should_load(serving_digest: str | None, aspired_digest: str, failure: Failure | None, now: float) -> bool:
    """Whether to load the aspired release: it is not the serving one, and did not fail a moment ago."""
    if aspired_digest == serving_digest:
        return False
    return failure is None or failure.release_digest != aspired_digest or now >= failure.retry_at


def failed_again(release_digest: str, before: Failure | None, now: float) -> Failure:
    """The failure after another attempt: tried again after 2, 4, 8 s and so on, at most 60."""
    attempts = before.attempts + 1 if before is not None and before.release_digest == release_digest else 1
    return Failure(release_digest, attempts, now + min(_LONGEST_RETRY_SECONDS, 2.0**attempts))


def moved(status: Status, state: State, **changes: object) -> Status:
    """`status` in another state.

    Raises
    ------
    ValueError
        If the state machine has no such transition; names both states.
    """
    if state not in TRANSITIONS[status.state]:
        raise ValueError(f"Expected one of {sorted(TRANSITIONS[status.state])} after {status.state!r}, got {state!r}")
    return dataclasses.replace(status, state=state, changed_at=dt.datetime.now(dt.UTC), **changes)  # type: ignore[arg-type]


class Slots:
    """The champions of all models.

    `champion` is for the event loop; `restore` and `advance` belong on one other thread.
    """

    def __init__(self, source: ReleaseSource, cache: Cache, keys: PublicKeys) -> None:
        self._source = source
        self._cache = cache
        self._keys = keys
        self._champions: dict[str, Champion] = {}
        self._statuses: dict[str, Status] = {}
        self._retired: list[Retired] = []
        self.poll_failure: str | None = None
        self.polled_at: float | None = None
        self.load_failures = 0

    @property
    def champions(self) -> dict[str, Champion]:
        """What answers, by model; replaced as a whole, never changed."""
        return self._champions

    @property
    def statuses(self) -> dict[str, Status]:
        """How each known model stands; replaced as a whole, never changed."""
        return self._statuses

    @property
    def retired(self) -> list["Retired"]:
        """What the last poll replaced; its memory goes with the next one."""
        return self._retired

    @property
    def models(self) -> dict[str, Serving]:
        """What serves, by model."""
        return {model: Serving(champion) for model, champion in self._champions.items()}

    def serving(self, model: str) -> Serving:
        """What the model serves with; raises as `champion`."""
        return Serving(self.champion(model))

    def champion(self, model: str) -> Champion:
        """The model that answers.

        Raises
        ------
        UnknownModelError
            If no release names it.
        ModelNotReadyError
            If it is released but could not be loaded so far.
        """
        champion = self._champions.get(model)
        if champion is not None:
            return champion
        if model in self._statuses:
            raise ModelNotReadyError("Expected a loaded model, but none of its releases could be loaded so far")
        raise UnknownModelError(f"Expected one of the models {sorted(self._statuses)}, got another one")

    def restore(self) -> None:
        """Load what was held before a restart, from the cache alone: the store need not be there."""
        for model, held in self._cache.held(self._keys).items():
            if isinstance(held, ContractError):
                self._set_error(model, held, None)
            else:
                self._load(model, held, is_cached=True)

    def advance(self) -> None:
        """Poll the store once and load what is new; a failure is remembered and changes nothing else."""
        # What the last swap replaced: no request came in on it since, so its memory goes here and not on the loop.
        self._retired = []
        held = {model: champion.held for model, champion in self._champions.items()}
        try:
            aspired = self._source.poll(held)
        except StoreError as error:
            if self.poll_failure is None:
                logger.warning("the release store cannot be read, serving goes on with what is held: %s", error)
            self.poll_failure = str(error)
            return
        self.poll_failure = None
        self.polled_at = time.monotonic()
        for model, outcome in aspired.items():
            self._approach(model, outcome)
        if self._retired:
            self._cache.prune({champion.bundle_digest for champion in self._champions.values()})

    def _approach(self, model: str, outcome: Held | ContractError) -> None:
        status, champion = self._statuses.get(model), self._champions.get(model)
        if isinstance(outcome, ContractError):
            if status is None or status.error != str(outcome):
                self._set_error(model, outcome, None)
            return
        serving_digest = champion.held.digest if champion else None
        failure = status.failure if status else None
        if should_load(serving_digest, outcome.digest, failure, time.monotonic()):
            self._load(model, outcome)
        elif status is not None and status.state == "error" and outcome.digest == serving_digest:
            self._set(model, moved(status, "ready", aspired_number=outcome.release.number, error=None, failure=None))

    def _load(self, model: str, held: Held, *, is_cached: bool = False) -> None:
        number = held.release.number
        before = self._statuses.get(model, Status("new", dt.datetime.now(dt.UTC)))
        self._set(model, moved(before, "loading", aspired_number=number))
        try:
            champion = self._prepared(held)
            if not is_cached:
                self._cache.hold(held)
        except (ContractError, OSError) as error:
            self._set_error(model, error, failed_again(held.digest, before.failure, time.monotonic()))
            return
        replaced = self._champions.get(model)
        self._champions = {**self._champions, model: champion}
        self._set(model, moved(self._statuses[model], "ready", error=None, failure=None))
        logger.info("%s: release %d answers, bundle %s", model, number, champion.bundle_digest)
        if replaced is not None:
            ready = Status("ready", dt.datetime.now(dt.UTC), replaced.release_number)
            self._retired.append(Retired(model, moved(ready, "retired"), replaced))

    def _prepared(self, held: Held) -> Champion:
        release = held.release
        bundle = self._verified(release.champion.bundle_digest)
        if bundle.manifest.model != release.model:
            raise ContractError(
                f"Expected a bundle of {release.model}, got one of {bundle.manifest.model} "
                f"- at release {release.number}"
            )
        return Champion(load_model(bundle), held, RequestReader(bundle.deciding.features))

    def _verified(self, bundle_digest: str) -> Bundle:
        cached = self._cache.bundle(bundle_digest)
        if cached is not None:
            try:
                return verify_bundle(bundle_digest, cached, self._keys)
            except ContractError as error:
                logger.warning("the cached bundle does not hold, reading the store's: %s", error)
        bundle = verify_bundle(bundle_digest, self._source.bundle(bundle_digest), self._keys)
        self._cache.keep(bundle_digest, bundle.files)
        return bundle

    def _set(self, model: str, status: Status) -> None:
        self._statuses = {**self._statuses, model: status}

    def _set_error(self, model: str, error: Exception, failure: Failure | None) -> None:
        before = self._statuses.get(model, Status("new", dt.datetime.now(dt.UTC)))
        champion = self._champions.get(model)
        self.load_failures += 1
        self._set(model, moved(before, "error", error=str(error), failure=failure))
        logger.error(
            "%s: refused, %s: %s",
            model,
            f"release {champion.release_number} goes on" if champion else "none answers",
            error,
        )
