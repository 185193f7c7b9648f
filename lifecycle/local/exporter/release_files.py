"""The releases of one model, verified again only after a file of theirs changed."""

from collections.abc import Mapping
from pathlib import Path

from lifecycle.local.exporter.evidence_files import Version, json_files, version_of
from serving.artefacts.releases import read_chain, read_releases
from serving.artefacts.signatures import PublicKeys
from serving.contract.documents import ContractError, Release


class ReleaseFiles:
    """The verified history of a model in the release store `root`."""

    def __init__(self, root: Path, model: str) -> None:
        self._root = root
        self._model = model
        self._seen: tuple[list[str], dict[str, Version]] | None = None
        self._history: tuple[Release, ...] = ()
        self._fault: str | None = None

    def history(self, keys: PublicKeys) -> tuple[Release, ...]:
        """Every release, oldest first.

        Raises
        ------
        ContractError
            If the files do not verify (`StoreError` if they cannot be read; the next call tries again).
        """
        files = {entry.name: version_of(entry) for entry in json_files(self._root / "releases" / self._model)}
        if self._seen != (keys.ids, files):
            self._history, self._fault = self._verified(read_releases(self._root, self._model), keys)
            self._seen = (keys.ids, files)
        if self._fault is not None:
            raise ContractError(self._fault)
        return self._history

    def _verified(self, files: Mapping[int, bytes], keys: PublicKeys) -> tuple[tuple[Release, ...], str | None]:
        try:
            return tuple(release for release, _ in read_chain(self._model, files, keys)), None
        except ContractError as error:
            return (), str(error)
