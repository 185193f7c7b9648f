"""What this server holds, on its own disk: with the store down, a restart serves the last release."""

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
    """Bundles by digest and the held release of each model; files of mode 0600, verified whenever they are read.

    Parameters
    ----------
    root
        ``bundles/<digest>/`` and ``held/<model>.json`` lie below it.
    """

    def __init__(self, root: Path) -> None:
        self._bundles = root / "bundles"
        self._held = root / "held"

    def prepare(self) -> None:
        """Make the folders; raises `ContractError` if they cannot be written to."""
        try:
            for folder in (self._bundles, self._held):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ContractError(
                f"Expected a folder that can be written to, got {error.strerror} - at {self._held}"
            ) from error

    def held(self, keys: PublicKeys) -> dict[str, VerifiedRelease | ContractError]:
        """The held release of each model, or why it cannot be believed."""
        found: dict[str, VerifiedRelease | ContractError] = {}
        for path in sorted(self._held.glob("*.json")):
            try:
                content = path.read_bytes()
                found[path.stem] = VerifiedRelease(servable(open_release(content, path.stem, keys, f"{path}")), content)
            except OSError as error:
                found[path.stem] = ContractError(f"Expected a readable file, got {type(error).__name__} - at {path}")
            except ContractError as error:
                found[path.stem] = error
        return found

    def hold(
        self, held: VerifiedRelease, bundles: Sequence[Bundle], keys: PublicKeys, replacing: Set[str] = frozenset()
    ) -> None:
        """Remember a release with its bundles: from now on no lower number is accepted, also after a restart.

        The bundles are there before the release is, so that whoever restarts from it finds them. A higher number that
        another process with this cache holds already stays.

        Parameters
        ----------
        replacing
            Digests of the bundles to be written also where the cache has one of this name, which did not hold.
        """
        with self._lock():
            for bundle in bundles:
                write_folder(self._bundles / bundle.digest, bundle.files, is_replacing=bundle.digest in replacing)
            path = self._held / f"{held.release.model}.json"
            if _number(path, keys) > held.release.number:
                return
            write_file(path, held.content)

    def bundle(self, bundle_digest: str) -> dict[str, bytes] | None:
        """The files of a cached bundle, nothing verified; ``None`` if it is not here whole."""
        folder = self._bundles / bundle_digest
        if not folder.is_dir():
            return None
        with contextlib.suppress(ContractError):
            return read_files(folder)
        return None

    def prune(self, wanted: Set[str]) -> None:
        """Remove all bundles but those `wanted` and those that a held release names, loaded or not, in any slot."""
        with self._lock():
            named = {path.read_bytes() for path in self._held.glob("*.json")}
            for folder in self._bundles.iterdir():
                if folder.name not in wanted and not any(folder.name.encode() in content for content in named):
                    shutil.rmtree(folder, ignore_errors=True)

    def _lock(self) -> Lock:
        """Exclude other processes that share this cache, as the workers of one server do."""
        return lock_file(self._held / ".lock")


def _number(path: Path, keys: PublicKeys) -> int:
    """Number of a held release; 0 where there is none that can be believed."""
    with contextlib.suppress(OSError, ContractError):
        return open_release(path.read_bytes(), path.stem, keys, f"{path}").number
    return 0
