"""The release store: signed, numbered releases of each model, never changed and never removed.

``releases/<model>/000001.json`` and so on; each names the digest of the file before it. What stands is the release with
the highest number. ``freezes/000001.json`` and so on hold the turns of the switch that stops promotion.

A number is written whole to a temporary file and then hard-linked, so that it is never torn, and of two promotions at
the same time one wins and the other is told. Killed at any point, the store holds either the old or the new release;
calling again then comes to the same end, since promoting what stands changes nothing.
"""

import datetime as dt
import re
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.publishing.bundles import verified_bundle
from lifecycle.publishing.keys import Keys
from lifecycle.publishing.linked import remove_abandoned, write_new
from serving.contract import (
    SCHEMA_VERSION,
    ContractError,
    Freeze,
    Release,
    SignedRelease,
    SlotRelease,
    encode,
)
from serving.releases import file_name, open_envelope, read_chain, read_releases

_MODEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NO_RELEASE = 0


class ReleaseStore:
    """The releases of one installation.

    Parameters
    ----------
    root
        The folder that servers read (`Settings.release_store`).
    keys
        Signs what is published and verifies what is read.
    """

    def __init__(self, root: Path, keys: Keys) -> None:
        self.root = root
        self._keys = keys

    def history(self, model: str) -> tuple[Release, ...]:
        """Every release of a model, oldest first; empty where there is none.

        Raises
        ------
        LifecycleError
            If a number is missing, a signature or a predecessor's digest does not hold, or a release is another
            model's.
        """
        return tuple(release for release, _ in self._chain(model))

    def latest(self, model: str) -> Release | None:
        """What stands: the release with the highest number, ``None`` where there is none; raises as `history`."""
        history = self.history(model)
        return history[-1] if history else None

    def publish(
        self,
        model: str,
        bundle_digest: str,
        *,
        by: str,
        reason: str,
        after: int | None = None,
        is_withdrawn_allowed: bool = False,
        ledger_head: str | None = None,
    ) -> Release:
        """Make a bundle the champion, as the next release; what stands already is returned unchanged.

        Parameters
        ----------
        model, bundle_digest
            The model, and a bundle of this store that is made for it and verifies, its golden rows included.
        by, reason
            Who or what promotes it, and why; for people who read the history.
        after
            Number of the release that the decision to promote was made upon, 0 for none: if another stands by now, it
            won and this is refused. ``None`` promotes upon whatever stands.
        is_withdrawn_allowed
            Whether a bundle may come back that a rollback took away. Leave it off wherever nobody looks: otherwise
            the next run of the same partition undoes a person's rollback.
        ledger_head
            Digest of the ledger's last event, once there is one.

        Raises
        ------
        LifecycleError
            If promotion is frozen, the bundle is missing, does not verify, is another model's or was withdrawn, or
            another release won; the message names its number.
        """
        self._refuse_if_frozen(model)
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        if history and history[-1].champion.bundle_digest == bundle_digest:
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        if not is_withdrawn_allowed:
            _refuse_if_withdrawn(model, history, bundle_digest)
        champion = self._verified_champion(model, bundle_digest)
        self._refuse_if_frozen(model)
        return self._append(model, chain, champion, by=by, reason=reason, ledger_head=ledger_head)

    def rollback(self, model: str, *, by: str, reason: str, standing: int | None = None) -> Release:
        """Bring back the champion before the one that stands, as a new release.

        Rolling back twice goes back twice: a rollback withdraws the champion it leaves, and the champion before is
        sought among those that were not withdrawn. It stays possible while promotion is frozen: a freeze is there to
        keep new risk out, and a rollback takes risk away.

        Parameters
        ----------
        standing
            Number of the release to roll back. If it was rolled back already by the release right after it, that one
            is returned, so that a repeated command goes back once; if anything else stands by now, it is refused.
            ``None`` rolls back whatever stands.

        Raises
        ------
        LifecycleError
            If there is no champion before, its bundle no longer verifies, or another release stands.
        """
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        if standing is not None and _was_rolled_back(history, standing):
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, standing)
        champions = standing_champions(history)
        if len(champions) < 2:
            raise LifecycleError(
                f"Expected a champion of {model} before the one that stands, found none among {len(history)} releases; "
                "stop scoring at the risk engine instead"
            )
        before = champions[-2]
        champion = self._verified_champion(model, before.champion.bundle_digest)
        return self._append(model, chain, champion, by=by, reason=reason, restores=before.number)

    def withdrawn(self, model: str) -> frozenset[str]:
        """Digests of the bundles that a rollback took away and nobody brought back; raises as `history`."""
        return withdrawn_bundles(self.history(model))

    def freeze(self, *, by: str, reason: str) -> Freeze:
        """Stop all promotion, of every model, until `unfreeze`; raises `LifecycleError` if it is frozen already."""
        return self._turn(is_frozen=True, by=by, reason=reason)

    def unfreeze(self, *, by: str, reason: str) -> Freeze:
        """Allow promotion again; raises `LifecycleError` if it is not frozen."""
        return self._turn(is_frozen=False, by=by, reason=reason)

    def freeze_state(self) -> Freeze | None:
        """The last turn of the switch, ``None`` if it was never turned.

        Raises
        ------
        LifecycleError
            If it cannot be read or its signature does not hold: a switch that cannot be read must not read as off.
        """
        numbers = sorted(int(path.stem) for path in (self.root / "freezes").glob("[0-9]*.json"))
        if not numbers:
            return None
        path = self.root / "freezes" / file_name(numbers[-1])
        try:
            return open_envelope(path.read_bytes(), Freeze, self._keys.public_keys, f"{path}")
        except ContractError as error:
            raise LifecycleError(str(error)) from error

    def _chain(self, model: str) -> list[tuple[Release, str]]:
        if not _MODEL_NAME.fullmatch(model):
            raise LifecycleError("Expected a model's name: lower-case letters, digits and underscores")
        try:
            files = read_releases(self.root, model)
            return read_chain(model, files, self._keys.public_keys)
        except ContractError as error:
            raise LifecycleError(str(error)) from error

    def _verified_champion(self, model: str, bundle_digest: str) -> SlotRelease:
        bundle = verified_bundle(self.root, bundle_digest, self._keys.public_keys)
        if bundle.manifest.model != model:
            raise LifecycleError(
                f"Expected a bundle of {model}, got one of {bundle.manifest.model} - at {bundle_digest}"
            )
        return SlotRelease(bundle_digest=bundle_digest, as_of=bundle.manifest.lineage.as_of)

    def _append(
        self,
        model: str,
        chain: list[tuple[Release, str]],
        champion: SlotRelease,
        *,
        by: str,
        reason: str,
        restores: int | None = None,
        ledger_head: str | None = None,
    ) -> Release:
        number = chain[-1][0].number + 1 if chain else 1
        release = Release(
            schema_version=SCHEMA_VERSION,
            model=model,
            number=number,
            predecessor=chain[-1][1] if chain else None,
            champion=champion,
            restores=restores,
            ledger_head=ledger_head,
            released_at=dt.datetime.now(dt.UTC),
            released_by=by,
            reason=reason,
        )
        folder = self.root / "releases" / model
        if not write_new(folder / file_name(number), self._sealed(release), "release"):
            raise LifecycleError(
                f"Expected number {number} of {model} to be free, but another promotion won it: release {number} "
                f"stands; look at it with `lifecycle releases {model}` before you promote again"
            )
        self._tidy(model, number)
        return release

    def _tidy(self, model: str, number: int) -> None:
        """Remove what dead writers of numbers up to `number` left behind: nobody can win those any more."""
        remove_abandoned(self.root / "releases" / model, {file_name(old) for old in range(1, number + 1)})

    def _sealed(self, document: Release | Freeze) -> bytes:
        payload = encode(document)
        signed = self._keys.signing_key.sign(payload)
        return encode(SignedRelease(payload=payload.decode(), key_id=signed.key_id, signature=signed.signature))

    def _turn(self, *, is_frozen: bool, by: str, reason: str) -> Freeze:
        state = self.freeze_state()
        if (state is not None and state.is_frozen) == is_frozen:
            raise LifecycleError(
                f"Expected promotion to be {'allowed' if is_frozen else 'frozen'}, {_described(state)}"
            )
        freeze = Freeze(
            schema_version=SCHEMA_VERSION,
            number=state.number + 1 if state else 1,
            is_frozen=is_frozen,
            changed_at=dt.datetime.now(dt.UTC),
            changed_by=by,
            reason=reason,
        )
        if not write_new(self.root / "freezes" / file_name(freeze.number), self._sealed(freeze), "freeze"):
            raise LifecycleError("Expected to turn the switch alone, but somebody else turned it at the same moment")
        return freeze

    def _refuse_if_frozen(self, model: str) -> None:
        state = self.freeze_state()
        if state is not None and state.is_frozen:
            raise LifecycleError(
                f"Expected promotion to be allowed, {_described(state)}; `lifecycle unfreeze` allows it again "
                f"- at the promotion of {model}"
            )

    def _refuse_if_overtaken(self, model: str, history: tuple[Release, ...], after: int | None) -> None:
        standing = history[-1].number if history else _NO_RELEASE
        if after is not None and standing != after:
            raise LifecycleError(
                f"Expected release {after} of {model} to stand, but release {standing} does; look at it with "
                f"`lifecycle releases {model}` before you go on"
            )


def standing_champions(history: tuple[Release, ...]) -> list[Release]:
    """The releases a rollback can go back through, oldest first; the last one is the champion's own.

    A promotion goes on top. A rollback takes away everything above the release it restores.
    """
    champions: list[Release] = []
    for release in history:
        if release.restores is None:
            champions.append(release)
            continue
        while champions and champions[-1].number != release.restores:
            champions.pop()
    return champions


def withdrawn_bundles(history: tuple[Release, ...]) -> frozenset[str]:
    """Digests of the bundles that were champion, were rolled back, and were not promoted again since."""
    withdrawn: set[str] = set()
    for previous, release in zip((None, *history), history, strict=False):
        if release.restores is not None and previous is not None:
            withdrawn.add(previous.champion.bundle_digest)
        withdrawn.discard(release.champion.bundle_digest)
    return frozenset(withdrawn)


def _was_rolled_back(history: tuple[Release, ...], number: int) -> bool:
    return bool(history) and history[-1].number == number + 1 and history[-1].restores is not None


def _refuse_if_withdrawn(model: str, history: tuple[Release, ...], bundle_digest: str) -> None:
    if bundle_digest in withdrawn_bundles(history):
        raise LifecycleError(
            f"Expected a bundle that was not rolled back, got {bundle_digest}; a person may bring it back with "
            f"`lifecycle promote {model} {bundle_digest}`"
        )


def _described(state: Freeze | None) -> str:
    if state is None:
        return "but the switch was never turned"
    turned = "froze" if state.is_frozen else "unfroze"
    return f"but {state.changed_by} {turned} it at {state.changed_at:%Y-%m-%d %H:%M} UTC: {state.reason}"
