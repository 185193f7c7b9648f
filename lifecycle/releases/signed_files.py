"""Writes signed documents into the release store."""

from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.signing.envelope import signed_envelope
from lifecycle.signing.keys import Keys
from serving.contract.documents import Consent, Freeze, Release, Resume
from serving.storage.durable import create_once


def create_signed(path: Path, document: Release | Freeze | Resume | Consent, keys: Keys, point: str) -> bool:
    """Create a file of a signed document; ``False`` if it exists, which changes nothing.

    Parameters
    ----------
    point
        Prefix of the crash points (`create_once`).

    Raises
    ------
    LifecycleError
        If the release store cannot be written: its file system is read-only or full, or this user may not.
    """
    try:
        return create_once(path, signed_envelope(document, keys), point)
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise LifecycleError(
            f"Expected to write to the release store, got {cause} - at {path.parent}; run the command as its owner on "
            "a machine that can write there. Until then the servers go on with the releases that are there; in an "
            "emergency stop scoring at the risk engine"
        ) from error
