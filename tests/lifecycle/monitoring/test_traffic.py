"""Traffic is counted batch by batch, with the counts of all rows at once."""

import datetime as dt
import tracemalloc

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import SCORE, count
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import predict
from lifecycle.monitoring.traffic import ChampionInForce, count_traffic, feature_columns
from lifecycle.spec.risk_model import FeatureSpec, RiskModelSpec

OURS, OTHERS = "b" * 64, "c" * 64


@pytest.fixture(scope="module")
def champion(trained: Trained) -> ChampionInForce:
    return ChampionInForce(
        bundle_digest=OURS,
        trained_until=dt.date(2024, 1, 20),
        promised_recall=Interval(0.5, 0.4, 0.6),
        reference=trained.reference,
        deciding=trained.deciding,
        model_text=trained.model_text,
    )


def sent(feature: FeatureSpec, value: float) -> object:
    """A value as the request had it."""
    if np.isnan(value):
        return None
    return feature.categories[int(value)] if feature.categories else value


@pytest.fixture(scope="module")
def recorded(spec: RiskModelSpec, examples: Examples, trained: Trained) -> pa.Table:
    """Every example as a decision: two of three by the champion, the others with the score of another model."""
    scores = predict(trained.model_text, trained.deciding.calibration, examples.features).scores
    is_ours = np.arange(len(scores)) % 3 < 2
    values = [
        [sent(feature, value) for feature, value in zip(spec.features, row, strict=True)]
        for row in examples.features.tolist()
    ]
    return pa.table(
        {
            "bundle_digest": np.where(is_ours, OURS, OTHERS),
            "features": [msgspec.json.encode(row).decode() for row in values],
            "score": np.where(is_ours, scores, 0.999),
        }
    )


@pytest.mark.parametrize("rows", [1, 7, 1000, 10_000])
def test_batches_give_the_counts_of_all_rows_at_once(
    spec: RiskModelSpec, champion: ChampionInForce, recorded: pa.Table, examples: Examples, rows: int
) -> None:
    table = recorded.slice(0, 30 * rows) if rows < 10 else recorded
    columns = {name: examples.features[: len(table), at] for at, name in enumerate(spec.feature_names)}
    for name, column in feature_columns(table, spec).items():
        np.testing.assert_array_equal(column, columns[name])
    whole = predict(champion.model_text, champion.deciding.calibration, examples.features[: len(table)])
    expected = count(champion.reference, columns | {SCORE: whole.scores})
    empty = table.slice(0, 0).to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    assert count_traffic(spec, champion, [*empty, *table.to_batches(rows)]) == expected


def test_without_rows_there_are_no_counts(spec: RiskModelSpec, champion: ChampionInForce, recorded: pa.Table) -> None:
    assert count_traffic(spec, champion, [pa.RecordBatch.from_pylist([], schema=recorded.schema)]) is None
    assert count_traffic(spec, champion, []) is None


def test_a_category_without_a_code_is_outside(spec: RiskModelSpec) -> None:
    rows = pa.table({"features": ['[1.0, 0, "unknown", null]']})
    columns = feature_columns(rows, spec)
    assert (columns["segment"][0], np.isnan(columns["risk"][0])) == (np.inf, True)


def test_ten_times_the_batches_take_no_more_memory(
    spec: RiskModelSpec, champion: ChampionInForce, recorded: pa.Table
) -> None:
    def peak(batches: int) -> int:
        rows = (recorded.slice(200 * number, 200).to_batches()[0] for number in range(batches))
        tracemalloc.reset_peak()
        assert count_traffic(spec, champion, rows) is not None
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = peak(3), peak(30)
    finally:
        tracemalloc.stop()
    assert many < 1.2 * few
