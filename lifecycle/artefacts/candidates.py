"""Candidates: what a training made, named by the digest of what decides, before anybody judged it."""

from pathlib import Path
from typing import Any

import msgspec

from lifecycle.errors import LifecycleError
from serving.contract.documents import (
    DECIDING_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    Deciding,
    GoldenRow,
    Lineage,
    candidate_digest,
    decode,
    encode,
)
from serving.contract.documents import digest as sha256
from serving.storage.crash_points import crash_point
from serving.storage.durable import write_file, write_folder

JUDGED_MODEL_FILE = "judged_model.txt"
EVALUATION_FILE = "evaluation.json"
REFERENCE_FILE = "reference.json"
LINEAGE_FILE = "lineage.json"


class Candidate:
    """One candidate's folder, read on demand."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest

    @property
    def deciding(self) -> Deciding:
        """Feature schema, calibration and bands."""
        return decode(self.read(DECIDING_FILE), Deciding, str(self.folder / DECIDING_FILE))

    @property
    def lineage(self) -> Lineage:
        """Where the candidate comes from."""
        return decode(self.read(LINEAGE_FILE), Lineage, str(self.folder / LINEAGE_FILE))

    @property
    def evaluation(self) -> dict[str, Any]:
        """Metrics of the holdout, of the baseline and of the search, as JSON."""
        return msgspec.json.decode(self.read(EVALUATION_FILE), type=dict[str, Any])

    def read(self, name: str) -> bytes:
        """One of the candidate's files."""
        return (self.folder / name).read_bytes()


class CandidateStore:
    """The candidates of one model: a folder a digest, and for each `as_of` the one that stands."""

    def __init__(self, root: Path, model: str) -> None:
        self._model = model
        self._root = root / model

    def write(
        self,
        model_text: bytes,
        deciding: Deciding,
        golden: tuple[GoldenRow, ...],
        lineage: Lineage,
        extra: dict[str, bytes],
    ) -> Candidate:
        """Keep a candidate and let it stand for its `as_of`; the same candidate again changes nothing.

        `extra` holds further files of the folder by name: evaluation, reference, the model that was judged.
        """
        files = {MODEL_FILE: model_text, DECIDING_FILE: encode(deciding)}
        digest = candidate_digest(files)
        files[GOLDEN_FILE] = b"".join(msgspec.json.encode(row) + b"\n" for row in golden)
        files[LINEAGE_FILE] = encode(lineage)
        files |= extra
        content_digest = sha256("".join(f"{name} {sha256(files[name])}\n" for name in sorted(files)).encode())
        folder = self._root / f"{lineage.as_of}-{content_digest[:16]}"
        write_folder(folder, files)
        crash_point("candidate.kept")
        pointer = f"{folder.name} {digest}".encode()
        write_file(self._root / "by_digest" / digest, pointer)
        crash_point("candidate.named")
        write_file(self._root / "as_of" / lineage.as_of, pointer)
        return Candidate(folder, digest)

    def standing(self, as_of: str) -> Candidate:
        """The candidate that stands for `as_of`, its files checked against its name.

        Raises
        ------
        LifecycleError
            If there is none, or its files are not the ones it is named by.
        """
        return self._pointed_at(self._root / "as_of" / as_of, f"as of {as_of}")

    def by_digest(self, digest: str) -> Candidate:
        """The candidate with this digest.

        Raises
        ------
        LifecycleError
            If there is none, or its files are not the ones it is named by.
        """
        return self._pointed_at(self._root / "by_digest" / digest, f"with digest {digest}")

    def _pointed_at(self, pointer: Path, which: str) -> Candidate:
        try:
            name, digest = pointer.read_text().split()
        except FileNotFoundError:
            raise LifecycleError(
                f"Expected a candidate of {self._model} {which}, found none; materialise the asset "
                f"{self._model}/candidate for its partition - in {self._root}"
            ) from None
        return self._checked(Candidate(self._root / name, digest))

    def _checked(self, candidate: Candidate) -> Candidate:
        files = {name: candidate.read(name) for name in (MODEL_FILE, DECIDING_FILE)}
        found = candidate_digest(files)
        if found != candidate.digest:
            raise LifecycleError(
                f"Expected files with digest {candidate.digest}, got {found}; train the candidate again "
                f"- in {candidate.folder}"
            )
        return candidate
