"""Releases as the server sees them: read from a store, verified, and never older than the held one."""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from serving.artefacts.bundle import read_files
from serving.artefacts.release_rules import newer_fault, slots_fault
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import (
    Consent,
    ContractError,
    Freeze,
    Release,
    Resume,
    Signed,
    SignedRelease,
    decode,
    digest,
)

logger = logging.getLogger(__name__)

Payload = TypeVar("Payload", Release, Freeze, Resume, Consent)


class StoreError(ContractError):
    """The release store cannot be read; what is released is unknown."""


class Reader(Protocol):
    """A source of releases and bundles; it verifies nothing."""

    def models(self) -> list[str]:
        """Names of the models that have releases."""
        ...

    def numbers(self, model: str) -> list[int]:
        """Numbers of a model's releases, ascending."""
        ...

    def release(self, model: str, number: int) -> bytes:
        """One release's file."""
        ...

    def resume(self, model: str, number: int) -> bytes | None:
        """The order that ends the hold of a rollback; ``None`` without one."""
        ...

    def bundle(self, bundle_digest: str) -> dict[str, bytes]:
        """The files of a bundle, by name."""
        ...


class DirectoryReader:
    """A release store in a folder: ``releases/<model>/<number>.json`` and ``bundles/<digest>/``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def models(self) -> list[str]:
        """Names of the models that have releases; raises `StoreError` if the store is missing or unreadable."""
        try:
            if not self._root.is_dir():
                raise StoreError(f"Expected a release store, found no folder - at {self._root}")
            folder = self._root / "releases"
            return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        except OSError as error:
            raise StoreError(
                f"Expected a readable release store, got {type(error).__name__} - at {self._root}"
            ) from error

    def numbers(self, model: str) -> list[int]:
        """Numbers of a model's releases, ascending; raises `StoreError` if they cannot be listed."""
        return release_numbers(self._root, model)

    def release(self, model: str, number: int) -> bytes:
        """One release's file; raises `StoreError` if it cannot be read."""
        path = self._root / "releases" / model / file_name(number)
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"Expected release {number} of {model}, got {type(error).__name__} - at {path}") from error

    def resume(self, model: str, number: int) -> bytes | None:
        """The order that ends the hold of a rollback; raises `StoreError` if it cannot be read."""
        path = self._root / "resumes" / model / file_name(number)
        try:
            return path.read_bytes() if path.exists() else None
        except OSError as error:
            raise StoreError(f"Expected the end of a hold, got {type(error).__name__} - at {path}") from error

    def bundle(self, bundle_digest: str) -> dict[str, bytes]:
        """The files of a bundle, by name; raises `ContractError` if one is missing."""
        return read_files(self._root / "bundles" / bundle_digest)


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A verified release with the bytes that it was read from."""

    release: Release
    content: bytes

    @property
    def digest(self) -> str:
        """Digest of the file; the next release names it as its predecessor."""
        return digest(self.content)


def file_name(number: int) -> str:
    """Name of a numbered file.

    Examples
    --------
    >>> file_name(7)
    '000007.json'
    """
    return f"{number:06d}.json"


def release_numbers(root: Path, model: str) -> list[int]:
    """Numbers of a model's releases below `root`, ascending; empty if it has no releases.

    Raises
    ------
    StoreError
        If they cannot be listed.
    """
    folder = root / "releases" / model
    try:
        return sorted(
            int(path.stem) for path in folder.glob("[0-9]*.json") if path.stem.isascii() and path.stem.isdigit()
        )
    except OSError as error:
        raise StoreError(f"Expected a readable folder, got {type(error).__name__} - at {folder}") from error


def read_releases(root: Path, model: str) -> dict[int, bytes]:
    """Every release of a model by number, not verified; raises `StoreError` if one cannot be read."""
    reader = DirectoryReader(root)
    return {number: reader.release(model, number) for number in reader.numbers(model)}


def open_envelope(content: bytes, payload_type: type[Payload], keys: PublicKeys, where: str) -> Payload:
    """Verify a signed document and return its payload.

    Raises
    ------
    ContractError
        If the envelope or the payload cannot be read, or the signature is invalid.
    """
    envelope = decode(content, SignedRelease, where)
    payload = envelope.payload.encode()
    keys.verify(payload, Signed(key_id=envelope.key_id, signature=envelope.signature), where)
    return decode(payload, payload_type, where)


def is_resumed(content: bytes | None, rollback: Release, keys: PublicKeys, where: str) -> bool:
    """Whether an order ends the hold of a rollback; ``None`` is no order.

    Raises
    ------
    ContractError
        If it cannot be read, its signature is invalid, or it is for another release.
    """
    if content is None:
        return False
    resume = open_envelope(content, Resume, keys, where)
    if (resume.model, resume.release_number) != (rollback.model, rollback.number):
        raise ContractError(
            f"Expected the order to resume {rollback.model} after release {rollback.number}, got {resume.model} after "
            f"release {resume.release_number} - at {where}"
        )
    return True


def open_release(content: bytes, model: str, keys: PublicKeys, where: str) -> Release:
    """Verify one release; raises as `open_envelope`, and if it is another model's."""
    release = open_envelope(content, Release, keys, where)
    if release.model != model:
        raise ContractError(f"Expected a release of {model}, got one of {release.model} - at {where}")
    return release


def servable(release: Release) -> Release:
    """Return the release; raises `ContractError` if its slots cannot be served."""
    fault = slots_fault(release)
    if fault is not None:
        raise ContractError(fault)
    return release


def read_chain(
    model: str, files: Mapping[int, bytes], keys: PublicKeys, before: VerifiedRelease | None = None
) -> list[tuple[Release, str]]:
    """Verify consecutive releases, each with the digest of its file.

    Parameters
    ----------
    files
        The releases' files by number, from the one after `before` (from 1 if that is ``None``).

    Raises
    ------
    ContractError
        If a number is missing, a signature or a predecessor's digest is invalid, or a release has another model or
        number.
    """
    chain: list[tuple[Release, str]] = []
    number, predecessor = (before.release.number, before.digest) if before else (0, None)
    for file_number in sorted(files):
        number += 1
        where = f"release {file_number} of {model}"
        if file_number != number:
            raise ContractError(f"Expected release {number} of {model}, found none before {file_number}")
        release = open_release(files[file_number], model, keys, where)
        if release.number != number:
            raise ContractError(f"Expected release {number} of {model}, got release {release.number} - at {where}")
        if release.predecessor != predecessor:
            raise ContractError(f"Expected predecessor {predecessor}, got {release.predecessor} - at {where}")
        predecessor = digest(files[file_number])
        chain.append((release, predecessor))
    return chain


class ReleaseSource:
    """Finds the aspired release of each model in a store, given the releases that are held already."""

    def __init__(self, reader: Reader, keys: PublicKeys) -> None:
        self._reader = reader
        self._keys = keys

    def poll(self, held: Mapping[str, VerifiedRelease]) -> dict[str, VerifiedRelease | ContractError]:
        """The aspired release of each model, or its error if its releases are invalid or cannot be read.

        No error of one model affects another.

        Parameters
        ----------
        held
            The releases served now: no lower number and no other history replaces them.

        Raises
        ------
        StoreError
            If the store, or no model in it, can be read, which must not be taken for an empty store.
        """
        aspired: dict[str, VerifiedRelease | ContractError] = {}
        unreadable: dict[str, StoreError] = {}
        for model in self._reader.models():
            try:
                numbers = self._reader.numbers(model)
                if numbers or model in held:
                    aspired[model] = self._newest(model, numbers, held.get(model))
            except StoreError as error:
                unreadable[model] = error
            except ContractError as error:
                aspired[model] = error
            except Exception as error:
                # Only the type and the lines: a message may hold a file's content.
                lines = "".join(traceback.format_tb(error.__traceback__))
                logger.error("%s: the releases cannot be read, %s:\n%s", model, type(error).__name__, lines)
                aspired[model] = ContractError(
                    f"Expected readable releases, got {type(error).__name__}; the server's log says where - at {model}"
                )
        if unreadable and not aspired:
            raise next(iter(unreadable.values()))
        return aspired | unreadable

    def bundle(self, bundle_digest: str) -> dict[str, bytes]:
        """The files of a bundle, not verified; raises `ContractError` if one is missing."""
        return self._reader.bundle(bundle_digest)

    def _newest(self, model: str, numbers: list[int], held: VerifiedRelease | None) -> VerifiedRelease:
        highest = max(numbers, default=0)
        if held is not None:
            is_unchanged = highest >= held.release.number and (
                digest(self._reader.release(model, held.release.number)) == held.digest
            )
            fault = newer_fault(model, held.release.number, highest, is_held_unchanged=is_unchanged)
            if fault is not None:
                raise ContractError(fault)
            if highest == held.release.number:
                return held
        first = held.release.number + 1 if held else 1
        files = {number: self._reader.release(model, number) for number in numbers if number >= first}
        newest, _ = read_chain(model, files, self._keys, before=held)[-1]
        return VerifiedRelease(servable(newest), files[highest])
