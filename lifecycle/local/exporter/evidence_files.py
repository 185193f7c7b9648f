"""Folders of evidence that are read at every scrape: a file is decoded again only after it changed."""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from lifecycle.artefacts.evidence import read_evidence
from lifecycle.errors import LifecycleError

Document = TypeVar("Document")
Kept = TypeVar("Kept")

Version = tuple[int, int, int]
"""Changes whenever a file or its mode does: inode, size, time of the last change of its state in nanoseconds."""


def version_of(entry: "os.DirEntry[str]") -> Version:
    """The version of a file."""
    stat = entry.stat()
    return stat.st_ino, stat.st_size, stat.st_ctime_ns


def json_files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """The finished JSON files of a folder; none if there is no folder."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    yield from (entry for entry in entries if entry.name.endswith(".json") and not entry.name.startswith("."))


class _File(NamedTuple, Generic[Kept]):
    version: Version | None
    is_readable: bool
    kept: Kept | None = None


class EvidenceFiles(Generic[Document, Kept]):
    """The files of one kind of evidence of one model.

    Parameters
    ----------
    folder
        Folder of the files.
    document
        Type of each.
    keep
        What to remember of a document; the rest is forgotten, so that years of evidence need little memory.
    """

    def __init__(self, folder: Path, document: type[Document], keep: Callable[[Document], Kept]) -> None:
        self._folder = folder
        self._document = document
        self._keep = keep
        self._files: dict[str, _File[Kept]] = {}

    def refresh(self) -> None:
        """Read what is new or changed; raises `OSError` if the folder cannot be listed."""
        found = {}
        for entry in json_files(self._folder):
            version, known = version_of(entry), self._files.get(entry.name)
            is_known = known is not None and known.version == version
            found[entry.name] = known if known is not None and is_known else self._read(Path(entry.path), version)
        self._files = found

    @property
    def unreadable(self) -> int:
        """Number of files that are damaged or cannot be read."""
        return sum(not file.is_readable for file in self._files.values())

    @property
    def kept(self) -> list[Kept]:
        """What was kept of every readable file."""
        return [file.kept for file in self._files.values() if file.is_readable and file.kept is not None]

    def newest(self) -> Document | None:
        """The document of the newest date; ``None`` without one, or if it is damaged.

        An older one is no replacement: it would show a day that is over as the newest.

        Raises
        ------
        LifecycleError
            If the file was damaged since `refresh`; `OSError` if it cannot be read.
        """
        name = max(filter(_is_dated, self._files), default=None)
        if name is None or not self._files[name].is_readable:
            return None
        return read_evidence(self._folder / name, self._document)

    def _read(self, path: Path, version: Version) -> _File[Kept]:
        try:
            return _File(version, is_readable=True, kept=self._keep(read_evidence(path, self._document)))
        except LifecycleError:
            return _File(version, is_readable=False)
        except OSError:
            return _File(None, is_readable=False)  # tried again at the next scrape


def _is_dated(name: str) -> bool:
    try:
        dt.date.fromisoformat(name.removesuffix(".json"))
    except ValueError:
        return False
    return True
