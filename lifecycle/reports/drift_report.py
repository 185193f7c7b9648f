"""Evidently's drift report, for information only; the verdict uses our own statistics."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.monitoring.traffic import feature_columns
from lifecycle.spec.risk_model import RiskModelSpec
from serving.storage.durable import write_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SAMPLE_ROWS = 5_000
SEED = 20180401
STABLE_VALUES = 2
"""A feature with at most this many distinct values is shown as categories."""


def write_drift_report(spec: RiskModelSpec, reference: "pa.Table", current: "pa.Table", path: Path) -> int:
    """Write the report of a window of decisions against the champion's training set; returns the sampled decisions.

    Column types are declared, not inferred. Both windows are sampled with a fixed seed.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    training = _sample({name: _floats(reference, name) for name in spec.feature_names})
    live = _sample(feature_columns(current, spec))
    flags = [name for name in spec.feature_names if training[name].nunique() <= STABLE_VALUES]
    definition = DataDefinition(
        numerical_columns=[name for name in spec.feature_names if name not in flags], categorical_columns=flags
    )
    report = Report([DataDriftPreset(method="psi")])
    # Evidently takes the current window first.
    snapshot = report.run(
        Dataset.from_pandas(live, data_definition=definition), Dataset.from_pandas(training, data_definition=definition)
    )
    write_file(path, snapshot.get_html_str(as_iframe=False).encode())
    return len(live)


def _floats(table: "pa.Table", name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.asarray(table.column(name).cast("float64").to_numpy(), dtype=np.float64)


def _sample(columns: "dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]") -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(columns)
    return frame.sample(SAMPLE_ROWS, random_state=SEED) if len(frame) > SAMPLE_ROWS else frame
