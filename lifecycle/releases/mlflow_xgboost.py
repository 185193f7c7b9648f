"""XGBoost's JSON as a model that MLflow loads without XGBoost and without pickle: MLflow imports this module for it.

`mlflow.pyfunc.load_model` then predicts as XGBoost does: a probability, which the server calibrates.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lifecycle.modelling.fitting import margins
from lifecycle.tables.arrays import FloatArray

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_MODULE = "lifecycle.releases.mlflow_xgboost"


def log_model(content: bytes, signature: "ModelSignature", requirements: list[str]) -> None:
    """Log the model in the active run."""
    import tempfile

    import mlflow.pyfunc

    from serving.contract.documents import MODEL_JSON_FILE

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_JSON_FILE
        path.write_bytes(content)
        mlflow.pyfunc.log_model(
            name="model",
            loader_module=_MODULE,
            data_path=str(path),
            signature=signature,
            pip_requirements=requirements,
        )


class _Loaded:
    """What MLflow calls: rows in, XGBoost's probabilities out."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> FloatArray:  # noqa: ARG002
        """The probability of each row, shape ``(n,)``."""
        values: FloatArray = 1 / (1 + np.exp(-margins(self._content, np.asarray(rows, np.float64))))
        return values


def _load_pyfunc(path: str) -> _Loaded:
    """MLflow's entry point; its name is MLflow's."""
    return _Loaded(Path(path).read_bytes())
