"""The models that answer: polled, verified, loaded and warmed up during traffic, then swapped by one assignment.

Releases load atomically: all slots or none. A failure here does not affect what serves: the last good release stays,
and the failure shows in `statuses` and in the journal.
"""

import dataclasses
import datetime as dt
import logging
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from serving.artefacts.promotion_holds import PromotionHolds
from serving.artefacts.release_rules import slots_of
from serving.artefacts.releases import ReleaseSource, StoreError, VerifiedRelease
from serving.artefacts.signatures import PublicKeys
from serving.contract.derivation import facts_of
from serving.contract.documents import ContractError, Deciding, Feature, Release, SlotName
from serving.contract.routing import CanaryShare
from serving.errors import ModelNotReadyError, UnknownModelError
from serving.scoring.model import LoadedModel
from serving.slots.cache import Cache
from serving.slots.loading import BundleReader, LoadedRelease, SlotError, load_release
from serving.slots.policy import Failure, Load, Recover, Refuse, Snapshot, failed_again, next_action
from serving.slots.states import Journal, SlotKey, Transition
from serving.wire.score_request import RequestReader

_READERS_KEPT: Final = 32
_ReaderKey: TypeAlias = tuple[tuple[Feature, ...], tuple[Feature, ...], frozenset[str]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Servable:
    """One bundle in one slot of one release; a request holds a reference until its answer is sent."""

    slot: SlotName
    model: LoadedModel
    release_number: int
    reader: RequestReader

    @property
    def bundle_digest(self) -> str:
        """Digest of the bundle."""
        return self.model.bundle.digest


@dataclass(frozen=True, slots=True)
class ServedModel:
    """All slots of one model; immutable, replaced by one assignment."""

    held: VerifiedRelease
    champion: Servable
    canary: Servable | None = None
    shadow: Servable | None = None
    _share: CanaryShare | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        canary = self.held.release.canary
        share = None
        if self.canary is not None and canary is not None and canary.percent is not None and canary.salt:
            share = CanaryShare(canary.percent, canary.salt)
        object.__setattr__(self, "_share", share)

    def route(self, entity_key: str) -> Servable:
        """The bundle that answers an entity: the canary for its fixed share of entities, else the champion."""
        share = self._share
        if share is None or self.canary is None or not share.holds(entity_key):
            return self.champion
        return self.canary

    @property
    def release_number(self) -> int:
        """Number of the release."""
        return self.held.release.number

    @property
    def deployed(self) -> tuple[Servable, ...]:
        """The bundles in the filled slots, the champion first."""
        return tuple(servable for servable in (self.champion, self.canary, self.shadow) if servable is not None)


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a model for people and monitoring; the states of its slots are in the journal.

    `aspired` is the newest verified release, loaded or not. `error` says why the newest release does not serve, and
    which one does. `hold` is the rollback that holds automatic promotion; ``None`` also before the store was read.
    """

    aspired: Release | None = None
    hold: Release | None = None
    error: str | None = None
    failure: Failure | None = None
    changed_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    @property
    def aspired_number(self) -> int | None:
        """Number of the aspired release."""
        return self.aspired.number if self.aspired is not None else None


@dataclass(frozen=True, slots=True)
class _Retiring:
    """A replaced model, held until no request holds `servable`, so that the polling thread frees its memory."""

    key: SlotKey
    model: LoadedModel
    servable: "weakref.ref[Servable]"


class Slots:
    """The champion, canary and shadow of all models.

    `serving` is called on the event loop; `restore` and `advance` on one other thread.

    Parameters
    ----------
    on_transition
        Called with every transition of a bundle in a slot, on that other thread.
    """

    def __init__(
        self,
        source: ReleaseSource,
        cache: Cache,
        keys: PublicKeys,
        holds: PromotionHolds,
        on_transition: Callable[[Transition], None] | None = None,
    ) -> None:
        self._source = source
        self._cache = cache
        self._keys = keys
        self._holds = holds
        self._bundles = BundleReader(source, cache, keys)
        self._restored: dict[str, VerifiedRelease] = {}
        self._models: Mapping[str, ServedModel] = MappingProxyType({})
        self._statuses: Mapping[str, Status] = MappingProxyType({})
        self._retiring: list[_Retiring] = []
        self._readers = _Readers()
        self._turn = threading.Lock()
        self.journal = Journal(on_transition)
        self.poll_failure: str | None = None
        self.began_at = time.monotonic()
        self.polled_at: float | None = None
        self.load_failures = 0

    @property
    def models(self) -> Mapping[str, ServedModel]:
        """The serving slots by model; the mapping is replaced, never changed."""
        return self._models

    @property
    def statuses(self) -> Mapping[str, Status]:
        """The status of each known model; the mapping is replaced, never changed."""
        return self._statuses

    @property
    def events(self) -> Mapping[str, tuple[Transition, ...]]:
        """The latest transitions by model, oldest first."""
        return self.journal.events

    def serving(self, model: str) -> ServedModel:
        """The slots that a model serves with.

        Raises
        ------
        UnknownModelError
            If the model has no release.
        ModelNotReadyError
            If none of its releases could be loaded, or the store could not be read since the start.
        """
        serving = self._models.get(model)
        if serving is not None:
            return serving
        if model in self._statuses:
            raise ModelNotReadyError("Expected a loaded model, but none of its releases could be loaded so far")
        if self.polled_at is None:
            # The store may have a release of a model that the cache does not hold.
            raise ModelNotReadyError("Expected a readable release store, but it could not be read since the start")
        raise UnknownModelError(f"Expected one of the models {sorted(self._statuses)}, got another one")

    def restore(self) -> None:
        """Load the releases held before a restart from the cache alone, without the store."""
        with self._turn:
            for model, held in self._cache.held(self._keys).items():
                if isinstance(held, ContractError):
                    self._refuse(model, self._fault(model, str(held)))
                else:
                    self._restored[model] = held
                    self._load(model, held, is_cached=True)

    def advance(self) -> None:
        """Poll the store once and load new releases; a failure is recorded and changes nothing else."""
        with self._turn:
            self._free_retired()
            try:
                aspired = self._source.poll(self._held())
            except StoreError as error:
                if self.poll_failure is None:
                    logger.warning("the release store cannot be read, the held releases serve on: %s", error)
                self.poll_failure = str(error)
                return
            self.poll_failure = None
            self.polled_at = time.monotonic()
            for model, outcome in aspired.items():
                self._approach(model, outcome)
                if isinstance(outcome, VerifiedRelease):
                    self._see_hold(model, outcome)

    def _approach(self, model: str, outcome: VerifiedRelease | ContractError) -> None:
        status, serving = self._statuses.get(model, Status()), self._models.get(model)
        snapshot = Snapshot(
            serving=serving.held.digest if serving else None,
            aspired=outcome.digest if isinstance(outcome, VerifiedRelease) else None,
            fault=self._fault(model, str(outcome)) if isinstance(outcome, ContractError) else None,
            error=status.error,
            failure=status.failure,
            now=time.monotonic(),
        )
        action = next_action(snapshot)
        if isinstance(action, Refuse):
            self._refuse(model, action.fault)
        elif isinstance(outcome, VerifiedRelease) and isinstance(action, Load):
            self._load(model, outcome)
        elif isinstance(outcome, VerifiedRelease) and isinstance(action, Recover):
            self._forget_failed(model)
            self._set(model, aspired=outcome.release, error=None, failure=None)

    def _see_hold(self, model: str, newest: VerifiedRelease) -> None:
        """Show whether a rollback holds promotion; for people only, so an unreadable chain keeps what was shown."""
        try:
            hold = self._holds.of(newest)
        except ContractError as error:
            logger.debug("%s: the hold of promotion cannot be read: %s", model, error)
            return
        if hold != self._statuses.get(model, Status()).hold:
            self._set(model, hold=hold)

    def _load(self, model: str, held: VerifiedRelease, *, is_cached: bool = False) -> None:
        status = self._statuses.get(model, Status())
        release = held.release
        self._forget_failed(model, but=release.number)
        self._set(model, aspired=release)
        keys = {slot: SlotKey(model, slot, release.number) for slot, _ in slots_of(release)}
        try:
            loaded = load_release(release, self._loaded(model), self._bundles, self.journal)
            if not is_cached:
                self._cache.hold(held, loaded.bundles, self._keys, replacing=loaded.fetched)
            serving = self._assembled(held, loaded)
        except Exception as error:
            violation = _violation(error, release)
            failed_slot = error.slot if isinstance(error, SlotError) else None
            for slot, slot_release in slots_of(release):
                is_cause = failed_slot in {None, slot}
                cause = violation if is_cause else f"its release is refused because the {failed_slot} failed"
                self.journal.enter(keys[slot], slot_release.bundle_digest, "failed", cause)
            self._set(model, failure=failed_again(held.digest, status.failure, time.monotonic()))
            self._refuse(model, self._fault(model, violation))
            return
        self._swap(model, serving)

    def _swap(self, model: str, serving: ServedModel) -> None:
        replaced = self._models.get(model)
        self._models = MappingProxyType({**self._models, model: serving})
        self._set(model, error=None, failure=None)
        for servable in serving.deployed:
            self.journal.enter(_key(model, servable), servable.bundle_digest, "serving")
        for servable in replaced.deployed if replaced else ():
            key = _key(model, servable)
            self.journal.enter(key, servable.bundle_digest, "retiring")
            self._retiring.append(_Retiring(key, servable.model, weakref.ref(servable)))
        logger.info("%s: release %d serves, bundle %s", model, serving.release_number, serving.champion.bundle_digest)
        if replaced is not None:
            self._prune()

    def _prune(self) -> None:
        try:
            self._cache.prune(
                {servable.bundle_digest for model in self._models.values() for servable in model.deployed}
            )
        except OSError as error:
            logger.warning("unused bundles could not be removed from the cache: %s", error)

    def _assembled(self, held: VerifiedRelease, loaded: LoadedRelease) -> ServedModel:
        """The slots of a release; each reader ignores the features that only another slot uses."""
        names = frozenset(name for model in loaded.models.values() for name in _names(model))
        servables = {
            slot: Servable(
                slot,
                model,
                held.release.number,
                self._readers.reader(model.bundle.deciding, names - _names(model)),
            )
            for slot, model in loaded.models.items()
        }
        return ServedModel(held, servables["champion"], servables.get("canary"), servables.get("shadow"))

    def _held(self) -> dict[str, VerifiedRelease]:
        """The releases that no lower number and no other history may replace: serving, or held before a restart."""
        return self._restored | {model: serving.held for model, serving in self._models.items()}

    def _loaded(self, model: str) -> dict[str, LoadedModel]:
        """The models of the serving release by bundle digest, for reuse."""
        serving = self._models.get(model)
        return {servable.bundle_digest: servable.model for servable in serving.deployed} if serving else {}

    def _free_retired(self) -> None:
        """Release models that no request holds: their memory is freed on this thread, not on the event loop."""
        gone = [retiring.key for retiring in self._retiring if retiring.servable() is None]
        self._retiring = [retiring for retiring in self._retiring if retiring.key not in gone]
        if gone:
            self.journal.forget(*gone)

    def _forget_failed(self, model: str, but: int | None = None) -> None:
        failed = self.journal.of_model(model, "failed")
        self.journal.forget(*(last.key for last in failed if last.release_number != but))

    def _fault(self, model: str, violation: str) -> str:
        """A violation, with the release that serves in spite of it."""
        serving = self._models.get(model)
        return f"{violation}; {f'release {serving.release_number} serves on' if serving else 'nothing serves'}"

    def _refuse(self, model: str, fault: str) -> None:
        self.load_failures += 1
        self._set(model, error=fault)
        logger.error("%s: refused: %s", model, fault)

    def _set(self, model: str, **changes: object) -> None:
        previous = self._statuses.get(model, Status())
        changed = dataclasses.replace(previous, changed_at=dt.datetime.now(dt.UTC), **changes)  # type: ignore[arg-type]
        self._statuses = MappingProxyType({**self._statuses, model: changed})


class _Readers:
    """Readers by features: bundles with the same features share one decoder across swaps."""

    def __init__(self) -> None:
        self._readers: dict[_ReaderKey, RequestReader] = {}

    def reader(self, deciding: Deciding, also_allowed: frozenset[str]) -> RequestReader:
        key = (tuple(deciding.features), facts_of(deciding), also_allowed)
        # Moved to the end, so that the first one is the least recently used.
        reader = self._readers.pop(key, None) or RequestReader(key[0], also_allowed=also_allowed, facts=key[1])
        self._readers[key] = reader
        if len(self._readers) > _READERS_KEPT:
            del self._readers[next(iter(self._readers))]
        return reader


def _names(model: LoadedModel) -> frozenset[str]:
    """Names that a request to the model may hold: its features, derived ones included, and its facts."""
    deciding = model.bundle.deciding
    return frozenset(feature.name for feature in (*deciding.features, *facts_of(deciding)))


def _key(model: str, servable: Servable) -> SlotKey:
    return SlotKey(model, servable.slot, servable.release_number)


def _violation(error: Exception, release: Release) -> str:
    """The violation for operators; of an unexpected error only the type, because its text may hold values."""
    where = f"release {release.number}"
    if isinstance(error, SlotError):
        return str(error)
    if isinstance(error, ContractError):
        return f"{error} - at {where}"
    if isinstance(error, OSError):
        cause = error.strerror or type(error).__name__
        return f"Expected a writable cache, got {cause}; free disk space for it - at {where}"
    logger.error("loading %s failed:\n%s", where, "".join(traceback.format_tb(error.__traceback__)))
    return f"Expected a release that loads, got {type(error).__name__}; the server's log says where - at {where}"
