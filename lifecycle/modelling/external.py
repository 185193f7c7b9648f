"""An external model: its trees, where they come from, and a comparison of its margins with its own library's."""

import datetime as dt
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.fitting import Parameters, margins
from lifecycle.spec.estimator import ExternalSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import ContractError, Feature, GoldenRow, ModelFormat, digest
from serving.contract.features import encode

TOLERANCE = 1e-6
"""Largest difference of margins, relative where a margin is above 1: XGBoost's numbers have single precision."""
EXTERNAL = "external"


@dataclass(frozen=True)
class ExternalModel:
    """The content of a checked external file, its format, and what the model's file declares about it.

    `predictions` is the content of the file of the library's own margins, ``None`` without one.
    """

    content: bytes
    model_format: ModelFormat
    declared: ExternalSpec
    predictions: bytes | None = None

    @property
    def trained_until(self) -> dt.date:
        """End (exclusive) of the days it was trained on."""
        return self.declared.trained_until

    def parameters(self, comparison: str) -> Parameters:
        """Its origin, as lineage, model card and MLflow show it."""
        return {
            "estimator": EXTERNAL,
            "library": self.model_format,
            "model_file": self.declared.file,
            "model_file_digest": f"sha256:{digest(self.content)}",
            "training_data_digest": self.declared.training_data_digest,
            "trained_until": self.declared.trained_until.isoformat(),
            "margins_compared": comparison,
        }


class _Prediction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row as a caller sends it, and the margin that the library gave."""

    features: dict[str, float | int | str | None]
    margin: float


def compare_margins(model: ExternalModel, features: Sequence[Feature], golden: Sequence[GoldenRow]) -> str:
    """What a comparison of our margins with the library's own says, in one sentence.

    The rows are those of the hand-over, or else the golden rows, which the installed library scores. LightGBM is always
    installed; without XGBoost and without rows the comparison is inconclusive, and says so.

    Raises
    ------
    LifecycleError
        If a margin differs by more than `TOLERANCE`, or a handed-over row cannot be read; the message has its number.
    """
    if model.predictions is not None:
        where = f"{model.declared.predictions}"
        rows, theirs = _handed_over(model.predictions, features, where)
        by = f"those in {where}"
    elif importlib.util.find_spec(model.model_format) is not None:
        rows = np.array([encode(row.features, features) for row in golden], np.float64)
        theirs, by = _own(model, rows), f"{model.model_format} {_version(model.model_format)}"
        where = "golden rows"
    else:
        return (
            f"INCONCLUSIVE: {model.model_format} is not installed and no `predictions` were handed over; the "
            "margins are those of our own reading of the trees"
        )
    ours = margins(model.content, rows)
    wrong = np.flatnonzero(~(np.abs(ours - theirs) <= TOLERANCE * np.maximum(1.0, np.abs(theirs))))
    if len(wrong):
        first = int(wrong[0])
        raise LifecycleError(
            f"Expected the margin {float(theirs[first])!r}, got {float(ours[first])!r} in row {first + 1}, and "
            f"{len(wrong)} of {len(rows)} rows differ; were they made by all trees of this very file, with NaN for "
            f"missing values? - at {where} of {model.declared.file}"
        )
    return f"{len(rows)} rows, equal to {by} to {TOLERANCE:g}"


def _handed_over(content: bytes, features: Sequence[Feature], where: str) -> tuple[FloatArray, FloatArray]:
    decoder = msgspec.json.Decoder(_Prediction)
    rows, found = [], []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            prediction = decoder.decode(line)
            rows.append(encode(prediction.features, features))
        except (msgspec.DecodeError, UnicodeDecodeError, ContractError) as error:
            kind = str(error) if isinstance(error, ContractError) else type(error).__name__
            raise LifecycleError(
                f'Expected {{"features": {{...}}, "margin": number}}, got {kind} - at {where}, line {number}'
            ) from None
        found.append(prediction.margin)
    if not rows:
        raise LifecycleError(f"Expected at least one row, got an empty file - at {where}")
    return np.array(rows, np.float64), np.array(found, np.float64)


def _own(model: ExternalModel, rows: FloatArray) -> FloatArray:
    """The margins of the library itself."""
    if model.model_format == "lightgbm":
        import lightgbm

        own = lightgbm.Booster(model_str=model.content.decode()).predict(rows, raw_score=True)
        return np.asarray(own, np.float64)
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(model.content))
    return np.asarray(booster.inplace_predict(rows, predict_type="margin", validate_features=False), np.float64)


def _version(model_format: ModelFormat) -> str:
    library = importlib.import_module(model_format)
    return str(library.__version__)
