"""The server's cache of held releases on its own disk: a restart serves them while the store is down."""

import contextlib
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from serving.artefacts.bundle import Bundle, read_files
from serving.artefacts.releases import VerifiedRelease, open_release, servable
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError
from serving.storage.durable import write_file, write_folder
from serving.storage.locks import Lock, lock_file


class Cache:
    """Bundles by digest and the held release of each model; files have mode 0600 and are verified at every read.

    Parameters
    ----------
    root
        Folder of ``bundles/<digest>/`` and ``held/<model>.json``.
    """

    def __init__(self, root: Path) -> None:
        self._bundles = root / "bundles"
        self._held = root / "held"

    def prepare(self) -> None:
        """Create the folders; raises `ContractError` if they are not writable."""
        try:
            for folder in (self._bundles, self._held):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ContractError(f"Expected a writable folder, got {error.strerror} - at {self._held}") from error

    def held(self, keys: PublicKeys) -> dict[str, VerifiedRelease | ContractError]:
        """The held release of each model, or the error in verifying it."""
        releases: dict[str, VerifiedRelease | ContractError] = {}
        for path in sorted(self._held.glob("*.json")):
            try:
                content = path.read_bytes()
                release = servable(open_release(content, path.stem, keys, f"{path}"))
                releases[path.stem] = VerifiedRelease(release, content)
            except OSError as error:
                releases[path.stem] = ContractError(f"Expected a readable file, got {type(error).__name__} - at {path}")
            except ContractError as error:
                releases[path.stem] = error
        return releases

    def hold(
        self, held: VerifiedRelease, bundles: Sequence[Bundle], keys: PublicKeys, replacing: Set[str] = frozenset()
    ) -> None:
        """Store a release with its bundles: from now on, also after a restart, no lower number is accepted.

        The bundles are written before the release, so that a restart from it finds them. A release with a higher
        number, written by another process that shares this cache, stays.

        Parameters
        ----------
        replacing
            Digests of the bundles whose cached copy is invalid and is overwritten.
        """
        with self._lock():
            for bundle in bundles:
                write_folder(self._bundles / bundle.digest, bundle.files, is_replacing=bundle.digest in replacing)
            path = self._held / f"{held.release.model}.json"
            if _number(path, keys) > held.release.number:
                return
            write_file(path, held.content)

    def bundle(self, bundle_digest: str) -> dict[str, bytes] | None:
        """The files of a cached bundle, not verified; ``None`` if the cache has no complete copy."""
        folder = self._bundles / bundle_digest
        if not folder.is_dir():
            return None
        with contextlib.suppress(ContractError):
            return read_files(folder)
        return None

    def prune(self, wanted: Set[str]) -> None:
        """Remove all bundles except those in `wanted` and those that a held release names in any slot."""
        with self._lock():
            named = {path.read_bytes() for path in self._held.glob("*.json")}
            for folder in self._bundles.iterdir():
                if folder.name not in wanted and not any(folder.name.encode() in content for content in named):
                    shutil.rmtree(folder, ignore_errors=True)

    def _lock(self) -> Lock:
        """Exclude other processes that share this cache, as the workers of one server do."""
        return lock_file(self._held / ".lock")


def _number(path: Path, keys: PublicKeys) -> int:
    """Number of a held release; 0 if the file is missing or invalid."""
    with contextlib.suppress(OSError, ContractError):
        return open_release(path.read_bytes(), path.stem, keys, f"{path}").number
    return 0
