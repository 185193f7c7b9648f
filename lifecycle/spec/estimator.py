"""`training.estimator`: who fits the trees, this platform or somebody else."""

import datetime as dt
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_serializer, model_validator

from lifecycle.spec.base import SpecModel

LIGHTGBM: Final = "lightgbm"
POSSIBLE: Final = (
    "possible are `lightgbm`, searched and fitted here, and `external: {file, training_data_digest, trained_until}`, a "
    "binary classifier of LightGBM (model.txt) or XGBoost (model.json) that was trained elsewhere. Other estimators, "
    "regression, several classes, pickle, ONNX and Python code are not"
)


RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")]
"""A path below the folder of the model's `defs.yaml`."""


class ExternalSpec(SpecModel):
    """A model trained elsewhere, handed over as the file that its own library writes.

    It is neither searched nor fitted here: the gates judge these very trees.
    """

    file: RelativePath
    """Path relative to the folder of the model's `defs.yaml`: LightGBM's text or XGBoost's JSON."""
    training_data_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """Digest of the data it was trained on, as the people who trained it declare it."""
    trained_until: dt.date
    """End (exclusive) of the days that it was trained or tuned on. Calibration and holdout must be later."""
    predictions: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")] | None
    ) = None
    """Path of a file with rows and the margins that the library itself gave there; a line is ``{"features": {...},
    "margin": ...}``. Without it they are compared with the library where that is installed."""


class EstimatorSpec(SpecModel):
    """``lightgbm``, or ``external: {...}``."""

    external: ExternalSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_possible(cls, value: Any) -> Any:
        if value == LIGHTGBM:
            return {}
        if isinstance(value, dict) and set(value) == {"external"} and value["external"] is not None:
            return value
        if isinstance(value, cls):
            return value
        got = f"the keys {sorted(map(str, value))}" if isinstance(value, dict) else repr(value)
        raise ValueError(f"Expected an estimator that this platform has, got {got}; {POSSIBLE}")

    @model_serializer
    def _as_written(self) -> str | dict[str, Any]:
        return LIGHTGBM if self.external is None else {"external": self.external.model_dump()}


def estimator_schema(schema: dict[str, Any]) -> None:
    """Adds the short form to the JSON schema of a field of this type."""
    reference = schema.pop("$ref", None) or schema.pop("allOf")[0]["$ref"]
    schema["anyOf"] = [{"const": LIGHTGBM}, {"$ref": reference}]
    schema["default"] = LIGHTGBM


class EstimatedSpec(SpecModel):
    """Base of a model's `training`: what an external estimator excludes."""

    estimator: Annotated[EstimatorSpec, Field(json_schema_extra=estimator_schema)] = EstimatorSpec.model_validate(
        LIGHTGBM
    )
    is_refitted: bool = True
    """After the judgement, fit the released model on the `train` periods up to the last mature one. An external model
    cannot be refitted."""

    @model_validator(mode="before")
    @classmethod
    def _external_is_not_refitted(cls, value: Any) -> Any:
        estimator = value.get("estimator") if isinstance(value, dict) else None
        if isinstance(estimator, dict) and estimator.get("external") is not None and "is_refitted" not in value:
            return {**value, "is_refitted": False}
        return value

    @model_validator(mode="after")
    def _external_has_no_refit(self) -> Self:
        if self.estimator.external and self.is_refitted:
            raise ValueError(
                "Expected is_refitted: false, got true; an external model is judged and released as it is - at "
                "`training.is_refitted`"
            )
        return self
