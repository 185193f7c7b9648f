"""Evidently's drift report: it renders, our own statistics decide."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.monitoring.traffic import feature_columns
from lifecycle.spec.risk_model import RiskModelSpec
from serving.storage.atomic import write_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SAMPLE_ROWS = 5_000
SEED = 20180401
STABLE_VALUES = 2
"""A whole-number feature with at most this many values is shown as categories."""


def write_drift_report(spec: RiskModelSpec, reference: "pa.Table", current: "pa.Table", path: Path) -> int:
    """Write the report of a window of decisions against the champion's training set; returns the rows it shows of each.

    Column types are declared, never guessed. Both windows are sampled, the same rows every time.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before = _sample({name: _floats(reference, name) for name in spec.feature_names})
    after = _sample(feature_columns(current, spec))
    flags = [name for name in spec.feature_names if before[name].nunique() <= STABLE_VALUES]
    definition = DataDefinition(
        numerical_columns=[name for name in spec.feature_names if name not in flags], categorical_columns=flags
    )
    report = Report([DataDriftPreset(method="psi")])
    # Evidently takes the current window first.
    snapshot = report.run(
        Dataset.from_pandas(after, data_definition=definition), Dataset.from_pandas(before, data_definition=definition)
    )
    write_file(path, snapshot.get_html_str(as_iframe=False).encode())
    return len(after)


def _floats(table: "pa.Table", name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.asarray(table.column(name).cast("float64").to_numpy(), dtype=np.float64)


def _sample(columns: "dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]") -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(columns)
    return frame.sample(SAMPLE_ROWS, random_state=SEED) if len(frame) > SAMPLE_ROWS else frame
