"""The hold that a rollback puts on the automatic promotion of a model, until a person resumes it."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.signing.envelope import signed_envelope
from lifecycle.signing.keys import Keys
from serving.artefacts.releases import file_name, open_envelope
from serving.contract.documents import SCHEMA_VERSION, ContractError, Release, Resume
from serving.storage.durable import create_once


class PromotionHold:
    """The holds of all models.

    The hold is the rollback itself, so that no crash can leave a rollback without one.
    ``resumes/<model>/000003.json`` below `root`, signed, ends the hold of release 3.
    """

    def __init__(self, root: Path, keys: Keys) -> None:
        self._folder = root / "resumes"
        self._keys = keys

    def in_force(self, model: str, history: Sequence[Release]) -> Release | None:
        """The last rollback, unless a person has resumed promotion since; `history` holds all releases of `model`.

        Raises
        ------
        LifecycleError
            If the order to resume cannot be read, its signature does not verify, or it is for another release.
        """
        rollback = next((release for release in reversed(history) if release.restores is not None), None)
        if rollback is None or self._read(model, rollback.number) is not None:
            return None
        return rollback

    def resume(self, model: str, history: Sequence[Release], *, by: str, reason: str) -> Resume:
        """End the hold in force; raises `LifecycleError` if there is none, or as `in_force`."""
        rollback = self.in_force(model, history)
        if rollback is None:
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
        if not create_once(path, signed_envelope(resume, self._keys), "resume"):
            raise LifecycleError(f"Expected to resume the promotion of {model} alone, but it was resumed concurrently")
        return resume

    def _read(self, model: str, number: int) -> Resume | None:
        path = self._folder / model / file_name(number)
        if not path.exists():
            return None
        try:
            resume = open_envelope(path.read_bytes(), Resume, self._keys.public_keys, f"{path}")
        except (ContractError, OSError) as error:
            raise LifecycleError(f"{error}; automatic promotion of {model} waits until it can be read") from error
        if (resume.model, resume.release_number) != (model, number):
            raise LifecycleError(
                f"Expected the order to resume {model} after release {number}, got {resume.model} after release "
                f"{resume.release_number} - at {path}"
            )
        return resume


def hold_text(rollback: Release) -> str:
    """The hold in a sentence: the person, the time, the reason, and the command that ends it."""
    return (
        f"release {rollback.number} is a rollback by {rollback.released_by} at "
        f"{rollback.released_at:%Y-%m-%d %H:%M} UTC ({rollback.reason}), which holds automatic promotion until a "
        f"person runs `lifecycle resume {rollback.model} --reason ...`"
    )
