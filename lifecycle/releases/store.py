"""The release store: signed, numbered releases of each model, append-only.

``releases/<model>/000001.json`` and so on; each names the digest of its predecessor's file. The release with the
highest number is in force. ``freezes/000001.json`` and so on record the turns of the switch that stops promotion;
``resumes/<model>/000003.json`` ends the hold that release 3, a rollback, put on automatic promotion.
``approvals/<model>/000001.json`` and so on are the approvals of candidates and the waivers of their gates.

A number is written to a temporary file and then hard-linked: it is never torn, and of two concurrent promotions one
wins and the other is refused. After a crash the store holds either the old or the new release, and repeating the call
is safe, because promoting the champion in force is idempotent.

The ledger (``ledger/``) records a release before it is written, and its file afterwards; the release names the ledger's
head. Without a usable ledger nothing is promoted, but a rollback and the end of a challenger go on.
"""

import datetime as dt
import logging
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from lifecycle.artefacts.bundles import bundle_manifest, verified_bundle
from lifecycle.errors import LifecycleError
from lifecycle.releases.consents import Consents
from lifecycle.releases.history import (
    FilledSlots,
    active_champions,
    canary_salt,
    is_more_exposed,
    refuse_if_withdrawn,
    shadow_after_promotion,
    slots_with_champion,
    was_rolled_back,
    withdrawn_bundles,
)
from lifecycle.releases.ledger.announcing import announced_release, record_written
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.records import LedgerError
from lifecycle.releases.promotion_switches import PromotionSwitches
from lifecycle.releases.signed_files import create_signed
from lifecycle.signing.keys import Keys
from serving.artefacts.release_rules import share_violation, slots_fault
from serving.artefacts.releases import file_name, read_chain, read_releases
from serving.contract.documents import SCHEMA_VERSION, ContractError, Manifest, Release, SlotName, SlotRelease
from serving.storage.durable import remove_abandoned

_log = logging.getLogger(__name__)
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
        self.ledger = Ledger(root, keys)
        self.switches = PromotionSwitches(root, keys, self.ledger)
        self.consents = Consents(root, keys, self.ledger)

    def history(self, model: str) -> tuple[Release, ...]:
        """Every release of a model, oldest first.

        Raises
        ------
        LifecycleError
            If a number is missing, a signature or a predecessor's digest does not verify, or a release is another
            model's.
        """
        return tuple(release for release, _ in self._chain(model))

    def latest(self, model: str) -> Release | None:
        """The release in force, ``None`` before the first; raises as `history`."""
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
        expect: Callable[[Manifest], None] | None = None,
    ) -> Release:
        """Make a bundle the champion, as the next release; idempotent for the champion in force.

        Promoting the canary's bundle ends the canary; during a canary any other bundle is refused. A shadow continues.

        Parameters
        ----------
        model, bundle_digest
            The model, and a bundle of this store that belongs to it and verifies, its golden rows included.
        by, reason
            Person or policy that promotes it, and the reason; recorded in the release.
        after
            Number of the release that the decision is based on, 0 for no release: if another is in force by now, this
            is refused. ``None`` skips the check.
        is_withdrawn_allowed
            Whether a withdrawn bundle may return. Leave it off for automatic promotions: otherwise the next run of the
            same partition undoes a person's rollback.
        expect
            Called with the bundle's manifest last, before the release is written; raises `LifecycleError` to refuse it
            (`permission`).

        Raises
        ------
        LifecycleError
            If promotion is frozen, the bundle is missing, does not verify, is another model's or was withdrawn, another
            bundle is the canary, or another release won.
        """
        self.switches.refuse_if_frozen(model)
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        if history and history[-1].champion.bundle_digest == bundle_digest:
            self._settle(model, chain)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        if not is_withdrawn_allowed:
            refuse_if_withdrawn(model, history, bundle_digest)
        shadow = shadow_after_promotion(model, _slots_in_force(history), bundle_digest)
        champion = self._verified(model, bundle_digest)
        self._verify_challenger(model, shadow, "shadow")
        self.switches.refuse_if_frozen(model)
        self._expect(bundle_digest, expect)
        return self._append(model, chain, FilledSlots(champion, None, shadow), by=by, reason=reason)

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
        expect: Callable[[Manifest], None] | None = None,
    ) -> Release:
        """Let a bundle answer a share of the entities, as the next release; idempotent for the same canary.

        Another percent of the same canary is a new release under the same salt, so that raising it only adds entities.
        Another bundle replaces the canary. The shadow's bundle leaves the shadow's slot.

        Parameters
        ----------
        percent
            Share of the entities, in [0, 100].
        salt
            Selects the entities, 1 to 64 bytes; by default the current canary's, or random for another bundle.
        by, reason, after, is_withdrawn_allowed, expect
            As for `publish`; a smaller percent is not asked about.

        Raises
        ------
        LifecycleError
            If there is no champion, or the bundle is the champion's; if the percent or the salt is out of bounds; and
            as for `publish`. A smaller percent of the same canary reduces risk and is possible under a freeze.
        """
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        standing = slots_with_champion(model, _slots_in_force(history), bundle_digest, "canary")
        wanted = _wanted_canary(model, standing, bundle_digest, percent, salt)
        if _is_same(wanted, standing.canary):
            self._settle(model, chain)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        is_more = is_more_exposed(standing, wanted)
        if is_more:
            self.switches.refuse_if_frozen(model)
            if not is_withdrawn_allowed:
                refuse_if_withdrawn(model, history, bundle_digest)
        verified = self._verified(model, bundle_digest)
        self._verify_challenger(model, standing.shadow, "shadow")
        canary = msgspec.structs.replace(wanted, as_of=verified.as_of)
        if is_more:
            self.switches.refuse_if_frozen(model)
            self._expect(bundle_digest, expect)
        return self._append(
            model, chain, standing._replace(canary=canary), by=by, reason=reason, is_reducing=not is_more
        )

    def put_shadow(self, model: str, bundle_digest: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Let a bundle score copies of the traffic, as the next release; idempotent for the same shadow.

        It never answers, so a bundle that was rolled back is allowed here. Another bundle replaces the shadow.

        Raises
        ------
        LifecycleError
            If there is no champion, or the bundle is the champion's or the canary's; if promotion is frozen, the bundle
            is missing, does not verify or is another model's, or another release won.
        """
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        standing = slots_with_champion(model, _slots_in_force(history), bundle_digest, "shadow")
        if standing.shadow is not None and standing.shadow.bundle_digest == bundle_digest:
            self._settle(model, chain)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        self.switches.refuse_if_frozen(model)
        shadow = self._verified(model, bundle_digest)
        self._verify_challenger(model, standing.canary, "canary")
        self.switches.refuse_if_frozen(model)
        return self._append(model, chain, standing._replace(shadow=shadow), by=by, reason=reason)

    def end_canary(self, model: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Let the champion answer all entities again, as the next release; without a canary, the release in force.

        Possible under a freeze, and with bundles that no longer verify. The bundle is withdrawn: only a person can
        bring it back.

        Raises
        ------
        LifecycleError
            If there is no release, or another release won.
        """
        return self._end(model, "canary", by=by, reason=reason, after=after)

    def end_shadow(self, model: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Stop the shadow, as the next release; without one, the release in force. Raises as `end_canary`."""
        return self._end(model, "shadow", by=by, reason=reason, after=after)

    def rollback(self, model: str, *, by: str, reason: str, after: int | None = None) -> Release:
        """Restore the previous champion, as a new release without canary and shadow.

        It holds automatic promotion of the model until a person resumes it (`switches`). Rolling back twice goes back
        twice: a rollback withdraws the champion that it replaces, and withdrawn champions are skipped. It is possible
        while promotion is frozen, because it reduces risk.

        Parameters
        ----------
        after
            Number of the release to roll back. If the next release already rolled it back, that release is returned, so
            that a repeated command goes back once; if any other release is in force, the call is refused. ``None``
            rolls back the release in force.

        Raises
        ------
        LifecycleError
            If there is no previous champion, its bundle no longer verifies, or another release is in force.
        """
        chain = self._chain(model)
        history = tuple(release for release, _ in chain)
        if after is not None and was_rolled_back(history, after):
            self._settle(model, chain)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        champions = active_champions(history)
        if len(champions) < 2:
            has_canary = bool(history) and history[-1].canary is not None
            instead = f"end the canary with `lifecycle end-canary {model}`, or " if has_canary else ""
            raise LifecycleError(
                f"Expected a previous champion of {model}, found no other among {len(history)} releases; "
                f"{instead}stop scoring at the risk engine instead"
            )
        previous = champions[-2]
        champion = self._verified(model, previous.champion.bundle_digest)
        return self._append(
            model, chain, FilledSlots(champion), by=by, reason=reason, restores=previous.number, is_reducing=True
        )

    def withdrawn(self, model: str) -> frozenset[str]:
        """Digests of the bundles that are withdrawn; raises as `history`."""
        return withdrawn_bundles(self.history(model))

    def _chain(self, model: str) -> _Chain:
        if not _MODEL_NAME.fullmatch(model):
            raise LifecycleError("Expected the name of a model: lower-case letters, digits and underscores")
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
        standing = _slots_in_force(history)
        if standing is None:
            raise LifecycleError(f"Expected a release of {model} to end its {slot}, found no release")
        if getattr(standing, slot) is None:
            self._settle(model, chain)
            return history[-1]
        self._refuse_if_overtaken(model, history, after)
        remaining = standing._replace(canary=None) if slot == "canary" else standing._replace(shadow=None)
        return self._append(model, chain, remaining, by=by, reason=reason, is_reducing=True)

    def _verified(self, model: str, bundle_digest: str) -> SlotRelease:
        bundle = verified_bundle(self.root, bundle_digest, self._keys.public_keys)
        if bundle.manifest.model != model:
            raise LifecycleError(
                f"Expected a bundle of {model}, got one of {bundle.manifest.model} - at {bundle_digest}"
            )
        return SlotRelease(bundle_digest=bundle_digest, as_of=bundle.manifest.lineage.as_of)

    def _expect(self, bundle_digest: str, expect: Callable[[Manifest], None] | None) -> None:
        if expect is not None:
            expect(bundle_manifest(self.root, bundle_digest, self._keys.public_keys))

    def _verify_challenger(self, model: str, challenger: SlotRelease | None, slot: SlotName) -> None:
        """Verify a challenger that continues: servers refuse the whole release if one of its bundles fails."""
        if challenger is None:
            return
        try:
            self._verified(model, challenger.bundle_digest)
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
        is_reducing: bool = False,
    ) -> Release:
        """Write the next release; one that reduces risk does not need a usable ledger."""
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
            released_at=dt.datetime.now(dt.UTC),
            released_by=by,
            reason=reason,
        )
        fault = slots_fault(release)
        if fault is not None:
            raise LifecycleError(fault)
        path = self.root / "releases" / model / file_name(number)
        with announced_release(self.ledger, release, chain, path, is_required=not is_reducing) as announced:
            if not create_signed(path, announced, self._keys, "release"):
                raise LifecycleError(
                    f"Expected to write release {number} of {model}, but another promotion wrote it first; look at it "
                    f"with `lifecycle releases {model}` before you promote again"
                )
        self._tidy(model, number)
        return announced

    def _settle(self, model: str, chain: _Chain) -> None:
        """Complete what a killed command left: its temporary files, and the records of the releases' files."""
        self._tidy(model, chain[-1][0].number)
        try:
            with self.ledger.locked() as writer:
                record_written(writer, model, chain)
        except LedgerError as error:
            _log.warning("The release is in force; it is not recorded in the ledger. %s", error)

    def _tidy(self, model: str, number: int) -> None:
        """Remove temporary files that crashed writers of numbers up to `number` left; those numbers are taken."""
        remove_abandoned(self.root / "releases" / model, {file_name(old) for old in range(1, number + 1)})

    def _refuse_if_overtaken(self, model: str, history: tuple[Release, ...], after: int | None) -> None:
        current = history[-1].number if history else _NO_RELEASE
        if after is not None and current != after:
            raise LifecycleError(
                f"Expected release {after} of {model} to be in force, got release {current}; look at it with "
                f"`lifecycle releases {model}` before you continue"
            )


def _slots_in_force(history: tuple[Release, ...]) -> FilledSlots | None:
    return FilledSlots.of(history[-1]) if history else None


def _wanted_canary(
    model: str, standing: FilledSlots, bundle_digest: str, percent: float, salt: str | None
) -> SlotRelease:
    """The requested canary; its `as_of` is filled in once its bundle is read."""
    chosen = canary_salt(standing, bundle_digest, salt, secrets.token_hex(_SALT_BYTES))
    violation = share_violation(percent, chosen)
    if violation is not None:
        raise LifecycleError(f"{violation} - at the canary of {model}")
    return SlotRelease(bundle_digest=bundle_digest, as_of="", percent=float(percent), salt=chosen)


def _is_same(wanted: SlotRelease, canary: SlotRelease | None) -> bool:
    """Whether the wanted canary is in force already; only `as_of` may differ."""
    return canary is not None and msgspec.structs.replace(wanted, as_of=canary.as_of) == canary
