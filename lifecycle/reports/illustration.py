"""Evidently's view of a sample: distributions only, without a test or a verdict, so that it contradicts none."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.modelling.reference import SCORE
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.modelling.windows import predict
from lifecycle.monitoring.traffic import ChampionInForce, champion_scores, feature_columns
from lifecycle.reports.drift_report import NOT_LISTED, Illustration
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray
from serving.storage.durable import write_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SAMPLE_ROWS = 5_000
SEED = 20180401
FEW_VALUES = 10
"""A column with at most this many distinct values is shown as categories."""


def write_illustration(
    spec: RiskModelSpec, champion: ChampionInForce, training_set: "pa.Table", sample: "pa.Table", path: Path
) -> Illustration:
    """Write the page of a sample of decisions beside one of the verdict's reference window, features and score.

    Evidently's errors contain values of customers: of an error only the type is kept.

    Parameters
    ----------
    training_set
        The champion's training set.
    sample
        Columns bundle_digest, features, score.
    """
    columns = feature_columns(sample, spec)
    columns[SCORE] = champion_scores(sample, champion, columns)
    reference = _reference_sample(spec, champion, training_set, sample.num_rows)
    try:
        write_file(path, _rendered(_frame(spec, columns), _frame(spec, reference)))
    except Exception as error:
        return Illustration(None, 0, f"Evidently ended with {type(error).__name__}")
    return Illustration(path.name, sample.num_rows)


def _reference_sample(
    spec: RiskModelSpec, champion: ChampionInForce, training_set: "pa.Table", rows: int
) -> dict[str, FloatArray]:
    """Rows of the reference window with the champion's own scores, drawn with a fixed seed."""
    examples = examples_from_table(training_set, spec)
    days = examples.occurred_at.astype("datetime64[D]")
    window = np.flatnonzero(
        (days >= np.datetime64(champion.reference.start)) & (days < np.datetime64(champion.reference.end))
    )
    drawn = np.random.default_rng(SEED).permutation(window)[:rows]
    features = np.ascontiguousarray(examples.features[drawn])
    columns = {name: features[:, at] for at, name in enumerate(spec.feature_names)}
    columns[SCORE] = predict(champion.model_text, champion.deciding.calibration, features).scores
    return columns


def _frame(spec: RiskModelSpec, columns: dict[str, FloatArray]) -> "pd.DataFrame":
    """The columns for people: categories by name."""
    import pandas as pd

    categories = {feature.name: feature.categories for feature in spec.features if feature.categories}
    return pd.DataFrame(
        {name: _named(values, categories[name]) if name in categories else values for name, values in columns.items()}
    )


def _named(codes: FloatArray, categories: tuple[str, ...]) -> list[str]:
    names = dict(enumerate(categories))
    return [
        "missing" if np.isnan(code) else names.get(int(code), NOT_LISTED) if np.isfinite(code) else NOT_LISTED
        for code in codes
    ]


def _rendered(current: "pd.DataFrame", reference: "pd.DataFrame") -> bytes:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataSummaryPreset

    texts = [name for name in current if current[name].dtype == object]
    few = [name for name in current if name not in texts and _distinct(current, reference, name) <= FEW_VALUES]
    for frame in (current, reference):
        frame[few] = frame[few].astype(str)
    categorical = [*texts, *few]
    definition = DataDefinition(
        numerical_columns=[name for name in current if name not in categorical], categorical_columns=categorical
    )
    # Evidently takes the current window first.
    snapshot = Report([DataSummaryPreset()]).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    page: str = snapshot.get_html_str(as_iframe=False)
    return page.encode()


def _distinct(current: "pd.DataFrame", reference: "pd.DataFrame", name: str) -> int:
    return max(int(frame[name].nunique(dropna=False)) for frame in (current, reference))
