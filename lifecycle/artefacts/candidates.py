"""Candidates: the output of a training, before its gates; named by the digest of the files that decide."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from lifecycle.artefacts.earlier_names import decode_document
from lifecycle.errors import LifecycleError
from lifecycle.modelling.curves import Curves
from lifecycle.modelling.evaluation import Evaluation, Interval
from lifecycle.modelling.external import EXTERNAL
from lifecycle.modelling.reference import Reference
from lifecycle.modelling.search import Trial
from lifecycle.modelling.search_choice import Choice
from lifecycle.modelling.training import Trained
from lifecycle.modelling.windows import WindowCount
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import (
    DECIDING_FILE,
    GOLDEN_FILE,
    MODEL_FILES,
    Calibration,
    Deciding,
    GoldenRow,
    Lineage,
    ModelFormat,
    candidate_digest,
    decode,
    encode,
)
from serving.contract.documents import digest as sha256
from serving.scoring.model_text import format_of
from serving.storage.crash_points import crash_point
from serving.storage.durable import write_file, write_folder

JUDGED_MODEL_FILES: dict[ModelFormat, str] = {"lightgbm": "judged_model.txt", "xgboost": "judged_model.json"}
EVALUATION_FILE = "evaluation.json"
REFERENCE_FILE = "reference.json"
LINEAGE_FILE = "lineage.json"
SPEC_FILE = "spec.json"
_Document = TypeVar("_Document")


class CandidateEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a training measured: ``evaluation.json``.

    `holdout` evaluates the judged model, whose calibration is `judged_calibration`; `baseline` evaluates logistic
    regression; `baseline_difference` is the first minus the second over the same bootstrap draws. `trained_until` is
    the end (exclusive) of the days that the released model was fitted on.
    """

    holdout: Evaluation
    baseline: Evaluation
    baseline_difference: dict[str, Interval]
    judged_calibration: Calibration
    windows: tuple[WindowCount, ...]
    trials: tuple[Trial, ...]
    importance: dict[str, float]
    curves: Curves
    is_refitted: bool
    trained_until: str
    choice: Choice | None = None
    """``None`` for an external model, and for a candidate of before, which took the trial of highest score."""


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
        """Origin of the candidate."""
        return decode(self.read(LINEAGE_FILE), Lineage, str(self.folder / LINEAGE_FILE))

    @property
    def evaluation(self) -> CandidateEvaluation:
        """Metrics of the holdout, of the baseline and of the search."""
        return self._json(EVALUATION_FILE, CandidateEvaluation)

    @property
    def reference(self) -> Reference:
        """Its training traffic in bins, which live traffic is compared with."""
        return self._json(REFERENCE_FILE, Reference)

    @property
    def spec(self) -> RiskModelSpec | None:
        """The model's file that it was trained by; ``None`` for a candidate of an earlier version."""
        path = self.folder / SPEC_FILE
        return RiskModelSpec.model_validate_json(path.read_bytes()) if path.exists() else None

    @property
    def is_external(self) -> bool:
        """Whether the trees were trained elsewhere."""
        return self.lineage.parameters.get("estimator") == EXTERNAL

    @property
    def model_format(self) -> ModelFormat:
        """The library whose text or JSON holds the trees."""
        return "xgboost" if (self.folder / MODEL_FILES["xgboost"]).exists() else "lightgbm"

    @property
    def model_file(self) -> str:
        """Name of the file with the trees."""
        return MODEL_FILES[self.model_format]

    @property
    def model_text(self) -> bytes:
        """The trees, as their library writes them."""
        return self.read(self.model_file)

    @property
    def judged_model_text(self) -> bytes:
        """The trees that the holdout judged; those of `model_text` if the model was not refitted."""
        return self.read(JUDGED_MODEL_FILES[self.model_format])

    def expect_whole(self) -> None:
        """Verify every file, those that do not decide included.

        Raises
        ------
        LifecycleError
            If one is missing, additional or other than what was written.
        """
        files = {file.name: file.read_bytes() for file in self.folder.iterdir() if not file.name.startswith(".")}
        expected, actual = self.folder.name.rpartition("-")[2], _content_digest(files)[:16]
        if actual != expected:
            raise LifecycleError(f"Expected files with the digest {expected}, got {actual} - in {self.folder}")

    def read(self, name: str) -> bytes:
        """One of the candidate's files."""
        return (self.folder / name).read_bytes()

    def _json(self, name: str, document: type[_Document]) -> _Document:
        try:
            return decode_document(self.read(name), document)
        except msgspec.DecodeError as error:
            raise LifecycleError(f"{error}; train the candidate again - in {self.folder / name}") from error


def spec_file(spec: RiskModelSpec) -> dict[str, bytes]:
    """The model's file as a candidate keeps it, so that a later edit of it changes no rebuild."""
    return {SPEC_FILE: spec.model_dump_json(by_alias=True, indent=2).encode()}


def golden_file(golden: tuple[GoldenRow, ...]) -> bytes:
    """Golden rows, one a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in golden)


def training_files(trained: Trained) -> dict[str, bytes]:
    """The files of a candidate that do not decide: evaluation, drift reference, judged model."""
    evaluation = CandidateEvaluation(
        holdout=trained.evaluation,
        baseline=trained.baseline_evaluation,
        baseline_difference=trained.baseline_difference,
        judged_calibration=trained.judged_calibration,
        windows=trained.windows,
        trials=trained.trials,
        importance=trained.importance,
        curves=trained.curves,
        is_refitted=trained.is_refitted,
        trained_until=trained.trained_until,
        choice=trained.choice,
    )
    return {
        EVALUATION_FILE: msgspec.json.format(msgspec.json.encode(evaluation), indent=2),
        REFERENCE_FILE: msgspec.json.encode(trained.reference),
        JUDGED_MODEL_FILES[format_of(trained.judged_model_text)]: trained.judged_model_text,
    }


def _content_digest(files: Mapping[str, bytes]) -> str:
    return sha256("".join(f"{name} {sha256(files[name])}\n" for name in sorted(files)).encode())


class CandidateStore:
    """The candidates of one model: a folder for each, and pointers to them by `as_of` and by digest."""

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
        *,
        is_current: bool = True,
    ) -> Candidate:
        """Write a candidate and make it the current one of its `as_of`; idempotent.

        `extra` holds the files that do not decide, by name (`training_files`). Without `is_current` the candidate is
        found by its digest alone.
        """
        files = {MODEL_FILES[format_of(model_text)]: model_text, DECIDING_FILE: encode(deciding)}
        digest = candidate_digest(files)
        files[GOLDEN_FILE] = golden_file(golden)
        files[LINEAGE_FILE] = encode(lineage)
        files |= extra
        folder = self._root / f"{lineage.as_of}-{_content_digest(files)[:16]}"
        write_folder(folder, files)
        crash_point("candidate.kept")
        pointer = f"{folder.name} {digest}".encode()
        write_file(self._root / "by_digest" / digest, pointer)
        crash_point("candidate.named")
        if is_current:
            write_file(self._root / "as_of" / lineage.as_of, pointer)
        return Candidate(folder, digest)

    def dates(self) -> dict[str, str]:
        """The `as_of` of every candidate by its digest."""
        return {path.name: path.read_text().split()[0][:10] for path in (self._root / "by_digest").glob("[0-9a-f]*")}

    def current(self, as_of: str) -> Candidate:
        """The current candidate of an `as_of`, verified by its digest.

        Raises
        ------
        LifecycleError
            If it does not exist, or its files do not match its digest.
        """
        return self._pointed_at(self._root / "as_of" / as_of, f"as of {as_of}", self._nearest(as_of))

    def has(self, as_of: str) -> bool:
        """Whether there is a candidate of an `as_of`."""
        return (self._root / "as_of" / as_of).exists()

    def newest_as_of(self) -> str | None:
        """The newest `as_of` that has a current candidate; ``None`` without one."""
        return max((path.name for path in (self._root / "as_of").glob("[0-9]*")), default=None)

    def by_digest(self, digest: str) -> Candidate:
        """The candidate with this digest.

        Raises
        ------
        LifecycleError
            If it does not exist, or its files do not match its digest.
        """
        return self._pointed_at(self._root / "by_digest" / digest, f"with digest {digest}")

    def _nearest(self, as_of: str) -> str:
        """The end of an error about a date without a candidate: the nearest dates that have one."""
        day = dt.date.fromisoformat(as_of)
        dates = [path.name for path in (self._root / "as_of").glob("[0-9]*")]
        nearest = sorted(sorted(dates, key=lambda date: abs(dt.date.fromisoformat(date) - day))[:3])
        return f"; there are candidates as of {', '.join(nearest)}" if nearest else ""

    def _pointed_at(self, pointer: Path, which: str, hint: str = "") -> Candidate:
        try:
            name, digest = pointer.read_text().split()
        except FileNotFoundError:
            raise LifecycleError(
                f"Expected a candidate of {self._model} {which}, found none; materialise the asset "
                f"{self._model}/candidate for its partition{hint} - in {self._root}"
            ) from None
        candidate = Candidate(self._root / name, digest)
        actual = candidate_digest({file: candidate.read(file) for file in (candidate.model_file, DECIDING_FILE)})
        if actual != digest:
            raise LifecycleError(
                f"Expected files with digest {digest}, got {actual}; train the candidate again - in {candidate.folder}"
            )
        return candidate
