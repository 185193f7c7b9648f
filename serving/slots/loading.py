"""Loads a release: verifies and warms up the bundle of every slot, or names the slot that failed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from serving.artefacts.bundle import Bundle, verify_bundle
from serving.artefacts.release_rules import remedy, slots_of
from serving.artefacts.releases import ReleaseSource
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, Release, SlotName
from serving.scoring.model import LoadedModel, load_model
from serving.slots.cache import Cache
from serving.slots.policy import bundles_to_load
from serving.slots.states import Journal, SlotKey, State

logger = logging.getLogger(__name__)


class SlotError(ContractError):
    """A slot of a release cannot be loaded."""

    def __init__(self, message: str, slot: SlotName) -> None:
        super().__init__(message)
        self.slot = slot


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """The models of a release by slot; `fetched` holds the digests of the bundles read from the store."""

    models: Mapping[SlotName, LoadedModel]
    fetched: frozenset[str]

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """The bundles, each once."""
        return tuple({model.bundle.digest: model.bundle for model in self.models.values()}.values())


class BundleReader:
    """Reads verified bundles, from the cache if its copy is valid, else from the store."""

    def __init__(self, source: ReleaseSource, cache: Cache, keys: PublicKeys) -> None:
        self._source = source
        self._cache = cache
        self._keys = keys

    def read(self, bundle_digest: str) -> tuple[Bundle, bool]:
        """A verified bundle, and whether it came from the store; raises `ContractError` if it is invalid."""
        cached = self._cache.bundle(bundle_digest)
        if cached is not None:
            try:
                return verify_bundle(bundle_digest, cached, self._keys), False
            except ContractError as error:
                logger.warning("the cached bundle is invalid, reading it from the store: %s", error)
        return verify_bundle(bundle_digest, self._source.bundle(bundle_digest), self._keys), True


def load_release(
    release: Release, loaded: Mapping[str, LoadedModel], bundles: BundleReader, journal: Journal
) -> LoadedRelease:
    """Verify and warm up the bundles of a release; the journal records each step up to `ready`.

    Parameters
    ----------
    loaded
        Models that serve already, by the digest of their bundle; they are reused.

    Raises
    ------
    SlotError
        If a bundle is missing or invalid, is another model's, or does not reproduce its golden rows.
    """
    filled = {slot: slot_release.bundle_digest for slot, slot_release in slots_of(release)}
    missing = bundles_to_load(release, loaded.keys())

    def enter(state: State, slots: Iterator[SlotName]) -> None:
        for slot in slots:
            journal.enter(SlotKey(release.model, slot, release.number), filled[slot], state)

    def holding(bundle_digest: str) -> Iterator[SlotName]:
        return (slot for slot, digest in filled.items() if digest == bundle_digest)

    enter("new", iter(filled))
    enter("ready", (slot for slot, digest in filled.items() if digest not in missing))
    verified: dict[str, Bundle] = {}
    fetched = set()
    for bundle_digest in missing:
        enter("verifying", holding(bundle_digest))
        with _named(release, next(holding(bundle_digest))):
            verified[bundle_digest], is_fetched = bundles.read(bundle_digest)
            _check_model(verified[bundle_digest], release)
        if is_fetched:
            fetched.add(bundle_digest)
    models = dict(loaded)
    for bundle_digest in missing:
        enter("warming", holding(bundle_digest))
        with _named(release, next(holding(bundle_digest))):
            models[bundle_digest] = load_model(verified.pop(bundle_digest))
        enter("ready", holding(bundle_digest))
    return LoadedRelease({slot: models[digest] for slot, digest in filled.items()}, frozenset(fetched))


@contextmanager
def _named(release: Release, slot: SlotName) -> Iterator[None]:
    """Add the slot and the remedy to a `ContractError`."""
    try:
        yield
    except ContractError as error:
        message = f"{error}, {slot} of release {release.number}; {remedy(release.model, slot)}"
        raise SlotError(message, slot) from error


def _check_model(bundle: Bundle, release: Release) -> None:
    if bundle.manifest.model != release.model:
        raise ContractError(
            f"Expected a bundle of {release.model}, got one of {bundle.manifest.model} - at bundle {bundle.digest}"
        )
