"""The release store: signed, numbered releases of each model, never changed and never removed.

``releases/<model>/000001.json`` and so on; each names the digest of the file before it. What stands is the release with
the highest number. ``freezes/000001.json`` and so on hold the turns of the switch that stops promotion.

A number is written whole to a temporary file and then hard-linked, so that it is never torn, and of two promotions at
the same time one wins and the other is told. Killed at any point, the store holds either the old or the new release;
calling again then comes to the same end, since promoting what stands changes nothing.
"""

import datetime as dt
import re
import secrets
from pathlib import Path
from typing import Literal

import msgspec

from lifecycle.artefacts.bundles import verified_bundle
from lifecycle.errors import LifecycleError
from lifecycle.releases.freeze_switch import FreezeSwitch
from lifecycle.releases.history import (
    FilledSlots,
    beside_champion,
    canary_salt,
    is_more_exposed,
    refuse_if_withdrawn,
    shadow_after_promotion,
    standing_champions,
    was_rolled_back,
    withdrawn_bundles,
)
from lifecycle.signing.envelope import signed_envelope
from lifecycle.signing.keys import Keys
from serving.artefacts.release_rules import share_violation, slots_fault
from serving.artefacts.releases import file_name, read_chain, read_releases
from serving.contract.documents import SCHEMA_VERSION, ContractError, Freeze, Release, SlotName, SlotRelease
from serving.storage.durable import create_once, remove_abandoned

_MODEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NO_RELEASE = 0
_SALT_BYTES = 16

_Chain = list[tuple[Release, str]]


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
        self._switch = FreezeSwitch(root, keys)

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
        """Make a bundle the champion, as the next release; a champion that stands already is returned unchanged.

        Promoting the canary's bundle ends the canary; while it stands, any other is refused. A shadow goes on.

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
            Whether a bundle may come back that was taken away. Leave it off wherever nobody looks: otherwise the next
            run of the same partition undoes a person's rollback.
        ledger_head
            Digest of the ledger's last event, once there is one.

        Raises
        ------
        LifecycleError
            If promotion is frozen, the bundle is missing, does not verify, is another model's or was withdrawn, another
            bundle's canary stands, or another release won.
        """
        self._switch.refuse_if_frozen(model)
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        if history and history[-1].champion.bundle_digest == bundle_digest:
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        if not is_withdrawn_allowed:
            refuse_if_withdrawn(model, history, bundle_digest)
        shadow = shadow_after_promotion(model, _standing(history), bundle_digest)
        champion = self._verified(model, bundle_digest)
        self._verify_beside(model, shadow, "shadow")
        self._switch.refuse_if_frozen(model)
        after_it = FilledSlots(champion, None, shadow)
        return self._append(model, chain, after_it, by=by, reason=reason, ledger_head=ledger_head)

    def put_canary(
        self,
        model: str,
        bundle_digest: str,
        *,
        percent: float,
        by: str,
        reason: str,
        salt: str | None = None,
        after: int | None = None,
        is_withdrawn_allowed: bool = False,
    ) -> Release:
        """Let a bundle answer a share of the entities beside the champion, as the next release.

        The same canary again is returned unchanged; another percent of it is a new release under the same salt, so
        that raising it only adds entities. A canary that stands is replaced by another bundle's.

        Parameters
        ----------
        percent
            Share of the entities, in [0, 100].
        salt
            Chooses the entities, 1 to 64 bytes; drawn at random for another bundle if not given.
        by, reason, after, is_withdrawn_allowed
            As for `publish`.

        Raises
        ------
        LifecycleError
            If there is no champion, or the bundle is the champion's; if the percent or the salt is out of bounds; and
            as `publish` does. A smaller percent of the canary that stands takes risk away, and is possible under a
            freeze.
        """
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        standing = beside_champion(model, _standing(history), bundle_digest, "canary")
        wanted = _wanted_canary(model, standing, bundle_digest, percent, salt)
        if _is_same(wanted, standing.canary):
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        is_more = is_more_exposed(standing, wanted)
        if is_more:
            self._switch.refuse_if_frozen(model)
            if not is_withdrawn_allowed:
                refuse_if_withdrawn(model, history, bundle_digest)
        verified = self._verified(model, bundle_digest)
        self._verify_beside(model, standing.shadow, "shadow")
        canary = msgspec.structs.replace(wanted, as_of=verified.as_of)
        if is_more:
            self._switch.refuse_if_frozen(model)
        return self._append(model, chain, standing._replace(canary=canary), by=by, reason=reason)

    def put_shadow(self, model: str, bundle_digest: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Let a bundle score copies of the traffic beside the champion, as the next release.

        It answers nobody, so that a bundle which was rolled back may be watched here. The same shadow again is
        returned unchanged; a shadow that stands is replaced.

        Raises
        ------
        LifecycleError
            If there is no champion, or the bundle is the champion's; if promotion is frozen, the bundle is missing,
            does not verify or is another model's, or another release won.
        """
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        standing = beside_champion(model, _standing(history), bundle_digest, "shadow")
        if standing.shadow is not None and standing.shadow.bundle_digest == bundle_digest:
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        self._switch.refuse_if_frozen(model)
        shadow = self._verified(model, bundle_digest)
        self._verify_beside(model, standing.canary, "canary")
        self._switch.refuse_if_frozen(model)
        return self._append(model, chain, standing._replace(shadow=shadow), by=by, reason=reason)

    def end_canary(self, model: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Let the champion answer everybody again, as the next release; what stands if there is no canary.

        Possible under a freeze, and whatever has become of the bundles. The bundle is withdrawn: only a person brings
        it back.

        Raises
        ------
        LifecycleError
            If there is no release, or another release won.
        """
        return self._end(model, "canary", by=by, reason=reason, after=after)

    def end_shadow(self, model: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Stop scoring copies, as the next release; what stands if there is no shadow. Raises as `end_canary`."""
        return self._end(model, "shadow", by=by, reason=reason, after=after)

    def rollback(self, model: str, *, by: str, reason: str, standing: int | None = None) -> Release:
        """Bring back the champion before the one that stands, as a new release without canary and shadow.

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
        if standing is not None and was_rolled_back(history, standing):
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, standing)
        champions = standing_champions(history)
        if len(champions) < 2:
            has_canary = bool(history) and history[-1].canary is not None
            instead = f"end the canary with `lifecycle end-canary {model}`, or " if has_canary else ""
            raise LifecycleError(
                f"Expected a champion of {model} before the one that stands, found none among {len(history)} releases; "
                f"{instead}stop scoring at the risk engine instead"
            )
        before = champions[-2]
        champion = self._verified(model, before.champion.bundle_digest)
        return self._append(model, chain, FilledSlots(champion), by=by, reason=reason, restores=before.number)

    def withdrawn(self, model: str) -> frozenset[str]:
        """Digests of the bundles that answered, were taken away and not brought back; raises as `history`."""
        return withdrawn_bundles(self.history(model))

    def freeze(self, *, by: str, reason: str) -> Freeze:
        """Stop all promotion, of every model, until `unfreeze`; raises `LifecycleError` if it is frozen already."""
        return self._switch.turn(is_frozen=True, by=by, reason=reason)

    def unfreeze(self, *, by: str, reason: str) -> Freeze:
        """Allow promotion again; raises `LifecycleError` if it is not frozen."""
        return self._switch.turn(is_frozen=False, by=by, reason=reason)

    def freeze_state(self) -> Freeze | None:
        """The last turn of the switch, ``None`` if it was never turned.

        Raises
        ------
        LifecycleError
            If it cannot be read or its signature does not hold.
        """
        return self._switch.state()

    def _chain(self, model: str) -> _Chain:
        if not _MODEL_NAME.fullmatch(model):
            raise LifecycleError("Expected a model's name: lower-case letters, digits and underscores")
        try:
            files = read_releases(self.root, model)
            return read_chain(model, files, self._keys.public_keys)
        except ContractError as error:
            raise LifecycleError(str(error)) from error

    def _end(
        self, model: str, slot: Literal["canary", "shadow"], *, by: str, reason: str, after: int | None
    ) -> Release:
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        standing = _standing(history)
        if standing is None:
            raise LifecycleError(f"Expected a release of {model}, found none - at the end of its {slot}")
        if getattr(standing, slot) is None:
            self._tidy(model, history[-1].number)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        left = standing._replace(canary=None) if slot == "canary" else standing._replace(shadow=None)
        return self._append(model, chain, left, by=by, reason=reason)

    def _verified(self, model: str, bundle_digest: str) -> SlotRelease:
        bundle = verified_bundle(self.root, bundle_digest, self._keys.public_keys)
        if bundle.manifest.model != model:
            raise LifecycleError(
                f"Expected a bundle of {model}, got one of {bundle.manifest.model} - at {bundle_digest}"
            )
        return SlotRelease(bundle_digest=bundle_digest, as_of=bundle.manifest.lineage.as_of)

    def _verify_beside(self, model: str, stands: SlotRelease | None, slot: SlotName) -> None:
        """Check what goes on beside: servers refuse a release as a whole if a bundle of it does not hold."""
        if stands is None:
            return
        try:
            self._verified(model, stands.bundle_digest)
        except LifecycleError as error:
            raise LifecycleError(f"{error}; end the {slot} first with `lifecycle end-{slot} {model}`") from error

    def _append(
        self,
        model: str,
        chain: _Chain,
        standing: FilledSlots,
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
            champion=standing.champion,
            canary=standing.canary,
            shadow=standing.shadow,
            restores=restores,
            ledger_head=ledger_head,
            released_at=dt.datetime.now(dt.UTC),
            released_by=by,
            reason=reason,
        )
        fault = slots_fault(release)
        if fault is not None:
            raise LifecycleError(fault)
        folder = self.root / "releases" / model
        if not create_once(folder / file_name(number), signed_envelope(release, self._keys), "release"):
            raise LifecycleError(
                f"Expected number {number} of {model} to be free, but another promotion won it: release {number} "
                f"stands; look at it with `lifecycle releases {model}` before you promote again"
            )
        self._tidy(model, number)
        return release

    def _tidy(self, model: str, number: int) -> None:
        """Remove what dead writers of numbers up to `number` left behind: nobody can win those any more."""
        remove_abandoned(self.root / "releases" / model, {file_name(old) for old in range(1, number + 1)})

    def _refuse_if_overtaken(self, model: str, history: tuple[Release, ...], after: int | None) -> None:
        standing = history[-1].number if history else _NO_RELEASE
        if after is not None and standing != after:
            raise LifecycleError(
                f"Expected release {after} of {model} to stand, but release {standing} does; look at it with "
                f"`lifecycle releases {model}` before you go on"
            )


def _standing(history: tuple[Release, ...]) -> FilledSlots | None:
    return FilledSlots.of(history[-1]) if history else None


def _wanted_canary(
    model: str, standing: FilledSlots, bundle_digest: str, percent: float, salt: str | None
) -> SlotRelease:
    """The canary that is asked for; its `as_of` stays open until its bundle is read."""
    chosen = canary_salt(standing, bundle_digest, salt, secrets.token_hex(_SALT_BYTES))
    violation = share_violation(percent, chosen)
    if violation is not None:
        raise LifecycleError(f"{violation} - at the canary of {model}")
    return SlotRelease(bundle_digest=bundle_digest, as_of="", percent=float(percent), salt=chosen)


def _is_same(wanted: SlotRelease, stands: SlotRelease | None) -> bool:
    """Whether a canary is wanted that stands already; its bundle says the `as_of`."""
    return stands is not None and msgspec.structs.replace(wanted, as_of=stands.as_of) == stands
