"""Files of keys: private ones readable only by their owner, public ones next to them, none ever overwritten."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard, TypeVar

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lifecycle.errors import LifecycleError
from serving.storage.durable import create_once

_Private = TypeVar("_Private", bound=PrivateKeyTypes)


@contextmanager
def key_folder(folder: Path) -> Iterator[Path]:
    """The folder of the keys, created if it is missing; an `OSError` in the block becomes a `LifecycleError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield folder
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise LifecycleError(
            f"Expected to read the installation's keys, and to write missing ones, got {cause} - at "
            f"{error.filename or folder}; run the command as the owner of LIFECYCLE_HOME"
        ) from error


def ensure_key_pair(
    private_path: Path,
    public_path: Path,
    new_pem: Callable[[], bytes],
    is_kind: Callable[[PrivateKeyTypes], TypeGuard[_Private]],
    kind_name: str,
) -> _Private:
    """The private key of a pair; creates the missing files.

    Safe under concurrency and after a crash at any point: the first process creates a file, and the others read it.

    Parameters
    ----------
    new_pem
        Makes a new private key, as PEM.
    is_kind, kind_name
        Whether a key is of the kind that is kept there, and the kind's name with its article, ``an Ed25519``.

    Raises
    ------
    LifecycleError
        If there is a public key without its private one; or the private one is another kind of key, or is readable by
        others than its owner.
    """
    if public_path.exists() and not private_path.exists():
        raise LifecycleError(
            f"Expected the signing key of {public_path}, found no file; restore it from the backup, or remove the "
            f"public key to start with new keys (then distribute the new public key to the servers) - at {private_path}"
        )
    if not private_path.exists():
        create_once(private_path, new_pem(), f"keys.{private_path.stem}")
    private = _read_private(private_path, is_kind, kind_name)
    if not public_path.exists():
        public_pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        create_once(public_path, public_pem, f"keys.{public_path.stem}")
    return private


def check_mode(path: Path) -> None:
    """Raise `LifecycleError` for a secret that others than its owner can read."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise LifecycleError(f"Expected mode 0600, got {mode:04o}; run chmod 600 - at {path}")


def _read_private(path: Path, is_kind: Callable[[PrivateKeyTypes], TypeGuard[_Private]], kind_name: str) -> _Private:
    check_mode(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        # Without the cause: a parser's message may quote the content, which is secret.
        raise LifecycleError(f"Expected an unencrypted PEM private key, got another content - at {path}") from None
    if not is_kind(key):
        raise LifecycleError(f"Expected {kind_name} private key, got {type(key).__name__} - at {path}")
    return key
