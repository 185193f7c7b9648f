"""The hold that a rollback puts on the automatic promotion of a model, until a person resumes it."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.monitoring.alerts import Alert
from lifecycle.releases.ledger.announcing import announced, settle_order
from lifecycle.releases.ledger.events import promotion_resumed
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.signed_files import create_signed
from lifecycle.signing.keys import Keys
from serving.artefacts.release_rules import last_rollback
from serving.artefacts.releases import file_name, is_resumed, open_envelope
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import SCHEMA_VERSION, ContractError, Release, Resume


class PromotionHold:
    """The holds of all models.

    The hold is the rollback itself, so that no crash can leave a rollback without one.
    ``resumes/<model>/000003.json`` below `root`, signed, ends the hold of release 3.
    """

    def __init__(self, root: Path, keys: Keys, ledger: Ledger) -> None:
        self._folder = root / "resumes"
        self._keys = keys
        self._ledger = ledger

    def in_force(self, history: Sequence[Release]) -> Release | None:
        """The last rollback, unless a person has resumed promotion since; `history` holds all releases of a model.

        Raises
        ------
        LifecycleError
            If the order to resume cannot be read, its signature does not verify, or it is for another release.
        """
        return hold_in_force(self._folder.parent, self._keys.public_keys, history)

    def resume(self, model: str, history: Sequence[Release], *, by: str, reason: str) -> Resume:
        """End the hold in force, recorded before and after; raises `LifecycleError` without one, or as `in_force`."""
        rollback = self.in_force(history)
        if rollback is None:
            self._settle(history)
            raise LifecycleError(
                f"Expected a rollback of {model} that holds automatic promotion, found none; "
                f"`lifecycle releases {model}` shows the releases"
            )
        resume = Resume(
            schema_version=SCHEMA_VERSION,
            model=model,
            release_number=rollback.number,
            resumed_at=dt.datetime.now(dt.UTC),
            resumed_by=by,
            reason=reason,
        )
        path = self._folder / model / file_name(rollback.number)
        with announced(self._ledger, promotion_resumed(model, rollback.number, by), path, is_required=True):
            if not create_signed(path, resume, self._keys, "resume"):
                raise LifecycleError(
                    f"Expected to resume the promotion of {model} alone, but it was resumed concurrently"
                )
        return resume

    def _settle(self, history: Sequence[Release]) -> None:
        """Record the file of the last order if its command was killed before it did."""
        rollback = last_rollback(history)
        if rollback is None:
            return
        path = self._folder / rollback.model / file_name(rollback.number)
        where = str(path)
        try:
            order = open_envelope(path.read_bytes(), Resume, self._keys.public_keys, where)
        except (ContractError, OSError) as error:
            raise LifecycleError(str(error)) from error
        event = promotion_resumed(order.model, order.release_number, order.resumed_by)
        settle_order(self._ledger, self._folder.parent, event, path)


def hold_in_force(root: Path, keys: PublicKeys, history: Sequence[Release]) -> Release | None:
    """The rollback that holds a model of the release store `root`; raises as `PromotionHold.in_force`."""
    rollback = last_rollback(history)
    if rollback is None:
        return None
    path = root / "resumes" / rollback.model / file_name(rollback.number)
    try:
        content = path.read_bytes() if path.exists() else None
        return None if is_resumed(content, rollback, keys, f"{path}") else rollback
    except (ContractError, OSError) as error:
        raise LifecycleError(f"{error}; automatic promotion of {rollback.model} waits until it can be read") from error


def hold_text(rollback: Release) -> str:
    """The hold in a sentence: the person, the time, the reason, and the command that ends it."""
    return (
        f"release {rollback.number} is a rollback by {rollback.released_by} at "
        f"{rollback.released_at:%Y-%m-%d %H:%M} UTC ({rollback.reason}), which holds automatic promotion until a "
        f"person runs `lifecycle resume {rollback.model} --reason ...`"
    )


def hold_alert(rollback: Release, raised_at: dt.datetime) -> Alert:
    """The alert that a hold begins; its key names the release, so that a repeated rollback tells it once."""
    return Alert(
        kind="promotion_held",
        model=rollback.model,
        as_of=rollback.champion.as_of,
        run_id=None,
        message=f"{hold_text(rollback)}.",
        remedy=f"Find and correct the cause, then run `lifecycle resume {rollback.model} --reason ...`.",
        raised_at=raised_at,
        keys=(f"{rollback.model}:hold:{rollback.number}",),
    )


def hold_document(rollback: Release | None) -> dict[str, object] | None:
    """The hold as JSON types, ``None`` without one."""
    if rollback is None:
        return None
    return {
        "release_number": rollback.number,
        "held_by": rollback.released_by,
        "held_since": rollback.released_at.isoformat(),
        "reason": rollback.reason,
        "resume_with": f"lifecycle resume {rollback.model} --reason ...",
    }
