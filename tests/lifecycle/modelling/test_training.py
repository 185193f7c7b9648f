import datetime as dt

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.modelling.evaluation import paired_difference, reviewed_by
from lifecycle.modelling.fitting import margins
from lifecycle.modelling.reference import ColumnCounts, count
from lifecycle.modelling.thresholds import Traffic, count_bands
from lifecycle.modelling.training import Trained, contract_reason_texts, train
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.modelling.windows import holdout, predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.training import TrainingSpec
from lifecycle.tables.arrays import instant
from serving.contract.documents import Deciding, ReasonTexts, decode, encode
from serving.contract.features import RowEncoder
from serving.scoring.probability import probability
from serving.scoring.shap.tree_shap import TreeShap

AS_OF = dt.date(2024, 2, 1)


def test_the_same_examples_give_the_same_bytes_in_any_order_of_rows(
    spec: RiskModelSpec, table: pa.Table, trained: Trained
) -> None:
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    again = train(spec, examples_from_table(shuffled, spec), AS_OF)
    assert again == trained
    assert again.model_text == trained.model_text


def test_everything_but_the_models_is_json(trained: Trained) -> None:
    for part in (trained.evaluation, trained.reference, trained.curves, trained.trials, trained.windows):
        assert msgspec.json.decode(msgspec.json.encode(part), type=type(part) if not isinstance(part, tuple) else list)
    assert decode(encode(trained.deciding), Deciding, "test") == trained.deciding


def test_the_judged_model_has_not_seen_the_holdout_nor_what_was_learned_later(
    spec: RiskModelSpec, table: pa.Table, trained: Trained
) -> None:
    """Spoiling every feature of the holdout and every report after its start leaves the judged model as it is."""
    start = instant(dt.date(2024, 1, 23))
    late = table["occurred_at"].to_numpy() >= start
    reported = table["reported_at"].to_numpy()
    known = np.where(reported < start, reported, np.datetime64("NaT"))
    known[late] = reported[late]
    risk = np.where(late, 0.0, table["risk"].to_numpy())
    spoiled = table.set_column(table.column_names.index("risk"), "risk", pa.array(risk, from_pandas=True))
    spoiled = spoiled.set_column(
        spoiled.column_names.index("reported_at"), "reported_at", pa.array(known, pa.timestamp("us"), from_pandas=True)
    )
    again = train(spec, examples_from_table(spoiled, spec), AS_OF)
    assert again.judged_model_text == trained.judged_model_text
    assert again.judged_calibration == trained.judged_calibration
    assert again.trials == trained.trials
    assert again.model_text != trained.model_text


def test_the_evaluation_is_of_the_judged_model_on_the_holdout(
    spec: RiskModelSpec, examples: Examples, trained: Trained
) -> None:
    outcomes, features = holdout(spec, examples, AS_OF)
    ours = predict(trained.judged_model_text, trained.judged_calibration, features)
    assert [*trained.evaluation.metrics] == [
        "roc_auc", "gini", "ks", "average_precision", "card_precision", "recall_at_capacity",
        "value_recall_at_capacity", "brier", "calibration_error",
    ]  # fmt: skip
    itself = paired_difference(outcomes, ours, ours, reviewed_by(spec.decision))
    assert itself["roc_auc"].value == 0.0
    brier = float(np.mean((ours.scores - outcomes.is_positive) ** 2))
    assert trained.evaluation.metrics["brier"].value == pytest.approx(brier, abs=1e-12)
    assert trained.evaluation.rows == len(outcomes)
    difference = trained.baseline_difference["average_precision"]
    ours_minus_theirs = (
        trained.evaluation.metrics["average_precision"].value
        - trained.baseline_evaluation.metrics["average_precision"].value
    )
    assert difference.value == pytest.approx(ours_minus_theirs)
    assert difference.low > 0


def test_the_windows_are_counted_and_the_released_model_knows_the_last_mature_days(trained: Trained) -> None:
    windows = {window.name: window for window in trained.windows}
    assert sorted(windows) == ["holdout", "judged", "refit", "train_0", "train_1", "validation_0", "validation_1"]
    assert (windows["refit"].end, windows["holdout"].end) == ("2024-01-30", "2024-01-30")
    assert trained.trained_until == "2024-01-30"
    assert trained.is_refitted
    assert all(0 < window.positives < window.rows for window in windows.values())


def test_without_a_refit_the_judged_model_is_released(spec: RiskModelSpec, examples: Examples) -> None:
    training = TrainingSpec(**{**spec.training.model_dump(), "is_refitted": False})
    trained = train(spec.model_copy(update={"training": training}), examples, AS_OF)
    assert trained.model_text == trained.judged_model_text
    assert trained.deciding.calibration == trained.judged_calibration
    assert trained.trained_until == "2024-01-21"


def test_golden_rows_are_the_released_models_and_nobodys(
    spec: RiskModelSpec, examples: Examples, trained: Trained
) -> None:
    assert 16 <= len(trained.golden) <= 32
    real = {tuple(row) for row in examples.features.tolist()}
    segments = ["basic", "gold", "never"]
    rows = []
    for golden in trained.golden:
        values = golden.features
        assert isinstance(values["is_weekend"], int)
        segment, risk = values["segment"], values["risk"]
        assert isinstance(segment, str)
        rows.append([values["amount"], values["is_weekend"], segments.index(segment), np.nan if risk is None else risk])
        assert golden.score == probability(golden.margin, trained.deciding.calibration)
    assert margins(trained.model_text, np.array(rows, dtype=np.float64)).tolist() == [g.margin for g in trained.golden]
    assert not real & {tuple(row) for row in rows}
    assert any(golden.features["risk"] is None for golden in trained.golden)
    amounts = np.array(rows, dtype=np.float64)[:, 0]
    days = (examples.occurred_at >= instant(dt.date(2024, 1, 22))) & (
        examples.occurred_at < instant(dt.date(2024, 1, 30))
    )
    refitted = examples.features[days, 0]
    assert amounts.max() == refitted.max()
    assert len({golden.margin for golden in trained.golden}) > 10


def test_golden_rows_hold_what_lightgbm_says_each_feature_added(trained: Trained) -> None:
    explained = TreeShap.from_model_text(trained.model_text)
    encoder = RowEncoder(trained.deciding.features)
    for golden in trained.golden:
        assert golden.contributions is not None
        assert abs(sum(golden.contributions) - golden.margin) < 1e-9
        found = explained.contributions(encoder.row(tuple(golden.features.values())))
        assert np.abs(found - golden.contributions).max() < 1e-9


def test_reason_texts_decide_and_are_sealed_with_what_decides(spec: RiskModelSpec, trained: Trained) -> None:
    assert trained.deciding.reason_texts == ReasonTexts(
        version="1", texts={"amount": "Amount", "time": "Time", "customer": "Customer"}
    )
    assert [feature.reason_group for feature in trained.deciding.features] == ["amount", "time", "customer", "customer"]
    assert contract_reason_texts(spec.model_copy(update={"reason_texts": None})) is None


def test_bands_let_the_capacity_through_on_the_released_models_scores_of_the_last_days(
    spec: RiskModelSpec, examples: Examples, trained: Trained
) -> None:
    rows = np.flatnonzero(examples.occurred_at >= instant(dt.date(2024, 1, 25)))
    scores = predict(trained.model_text, trained.deciding.calibration, examples.features[rows]).scores
    bands = trained.deciding.bands
    counts = count_bands(Traffic(examples.occurred_at[rows], examples.entity[rows], scores), bands)
    assert counts.days == 7
    assert 0.8 * 6 * 7 <= counts.reviewed_entity_days <= 6 * 7
    assert 0.5 * 2 * 7 <= counts.declined_entity_days <= 2 * 7
    assert bands.decline_from is not None
    assert bands.decline_from >= spec.decision.minimum_decline_score


def test_bands_need_no_label_of_the_last_days(spec: RiskModelSpec, table: pa.Table, trained: Trained) -> None:
    """The outcomes of the days after the holdout change nothing: they are not mature."""
    reported = table["reported_at"].to_numpy().copy()
    reported[table["occurred_at"].to_numpy() >= instant(dt.date(2024, 1, 30))] = np.datetime64("NaT")
    position = table.column_names.index("reported_at")
    silent = table.set_column(position, "reported_at", pa.array(reported, pa.timestamp("us"), from_pandas=True))
    again = train(spec, examples_from_table(silent, spec), AS_OF)
    assert again.deciding == trained.deciding


def test_the_reference_holds_the_last_whole_weeks_and_the_released_models_scores(
    spec: RiskModelSpec, examples: Examples, trained: Trained
) -> None:
    reference = trained.reference
    assert (reference.start, reference.end) == ("2024-01-23", "2024-01-30")
    assert set(reference.columns) == {*spec.feature_names, "score"}
    rows = (examples.occurred_at >= instant(dt.date(2024, 1, 23))) & (
        examples.occurred_at < instant(dt.date(2024, 1, 30))
    )
    columns = {name: examples.features[rows, i] for i, name in enumerate(spec.feature_names)}
    calibration = trained.deciding.calibration
    columns["score"] = predict(trained.model_text, calibration, examples.features[rows]).scores
    counts = count(reference, columns)
    for name in (*spec.feature_names, "score"):
        assert counts[name] == ColumnCounts(reference.columns[name].counts)
    assert len(reference.columns["segment"].counts) == 5
    # Its one week is cut into days: the lowest and the highest amount of all days are each of one day.
    assert reference.columns["amount"].outside >= 2
    assert reference.columns["is_weekend"].outside == 0


def test_a_date_without_enough_history_is_refused(spec: RiskModelSpec, examples: Examples) -> None:
    with pytest.raises(LifecycleError, match=r"possible from as_of 2024-01-30 on"):
        train(spec, examples, dt.date(2024, 1, 20))
