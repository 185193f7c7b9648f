"""What this server holds, on its own disk: with the store down, a restart serves the last release."""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from serving.artefacts.bundle import Bundle, read_files
from serving.artefacts.releases import VerifiedRelease, open_release, servable
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError
from serving.storage.durable import flush_folder, write_flushed


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
        with self._locked():
            for bundle in bundles:
                if bundle.digest in replacing or not (self._bundles / bundle.digest).is_dir():
                    self._keep(bundle.digest, bundle.files)
            path = self._held / f"{held.release.model}.json"
            if _number(path, keys) > held.release.number:
                return
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            try:
                write_flushed(temporary, held.content)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            flush_folder(self._held)

    def bundle(self, bundle_digest: str) -> dict[str, bytes] | None:
        """The files of a cached bundle, nothing verified; ``None`` if it is not here whole."""
        folder = self._bundles / bundle_digest
        if not folder.is_dir():
            return None
        with contextlib.suppress(ContractError):
            return read_files(folder)
        return None

    def _keep(self, bundle_digest: str, files: Mapping[str, bytes]) -> None:
        folder = self._bundles / bundle_digest
        temporary = self._bundles / f".{bundle_digest}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir(mode=0o700)
        try:
            for name, content in files.items():
                write_flushed(temporary / name, content)
            flush_folder(temporary)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        flush_folder(self._bundles)

    def prune(self, wanted: Set[str]) -> None:
        """Remove all bundles but those `wanted` and those that a held release names, loaded or not, in any slot."""
        with self._locked():
            named = {path.read_bytes() for path in self._held.glob("*.json")}
            for folder in self._bundles.iterdir():
                if folder.name not in wanted and not any(folder.name.encode() in content for content in named):
                    shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes that share this cache, as the workers of one server do."""
        lock = os.open(self._held / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _number(path: Path, keys: PublicKeys) -> int:
    """Number of a held release; 0 where there is none that can be believed."""
    with contextlib.suppress(OSError, ContractError):
        return open_release(path.read_bytes(), path.stem, keys, f"{path}").number
    return 0
