import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import candidate_asset, training_set_asset
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import failure, fill_warehouse, freeze, materialize, metadata


def test_a_training_set_freezes_its_windows_and_the_days_up_to_its_date(
    stores: Stores, spec: RiskModelSpec, table: pa.Table
) -> None:
    fill_warehouse(stores, spec, table, table)
    result = materialize(stores, [training_set_asset(spec)], AS_OF)
    assert result.success, failure(result)
    description = stores.training_sets("toy").describe(AS_OF.isoformat())
    shown = metadata(result, "training_set")
    assert shown["training_set_digest"] == description.digest
    assert (shown["dagster/row_count"], shown["reported_positives"]) == (description.rows, description.reported)
    assert (shown["first_day"], shown["end_day"]) == ("2024-01-03", "2024-02-01")
    newest = pc.max(stores.training_sets("toy").read(AS_OF.isoformat())["occurred_at"]).as_py()
    assert newest.date() == dt.date(2024, 1, 31)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("raw", "the newest transaction is 48"), ("mart", r"2 of 29 days of toy_features differ from the raw data")],
)
def test_no_training_set_is_frozen_from_incomplete_input(
    stores: Stores, spec: RiskModelSpec, table: pa.Table, missing: str, message: str
) -> None:
    complete = table.filter(pc.less(table["occurred_at"], pa.scalar(dt.datetime(2024, 1, 30), pa.timestamp("us"))))  # noqa: DTZ001
    fill_warehouse(stores, spec, complete if missing == "raw" else table, complete)
    result = materialize(stores, [training_set_asset(spec)], AS_OF)
    assert not result.success
    assert "No training set was frozen as of 2024-02-01" in failure(result)
    assert message in failure(result)
    with pytest.raises(LifecycleError, match="Expected a training set of toy as of 2024-02-01"):
        stores.training_sets("toy").describe(AS_OF.isoformat())


def test_a_candidate_names_its_training_set_and_shows_its_metrics(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = freeze(stores, spec, table)
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)
    result = materialize(stores, [candidate_asset(spec)], AS_OF)
    assert result.success, failure(result)
    candidate: Candidate = stores.candidates("toy").current(AS_OF.isoformat())
    assert candidate.lineage.training_set_digest == frozen.description.digest
    assert candidate.lineage.parameters == model.parameters | {"rounds": model.rounds}
    assert candidate.evaluation.holdout == model.evaluation
    shown = metadata(result, "candidate")
    assert shown["candidate_digest"] == candidate.digest
    assert shown["training_set_digest"] == frozen.description.digest
    assert shown["average_precision"] == model.evaluation.metrics["average_precision"].value
    assert shown["trials"] == len(model.trials)
    best = max(trial.score for trial in model.trials)
    assert shown["search_gain"] == pytest.approx(best - model.trials[0].score)
    assert shown["search_gain_by_fold"].count(",") == len(model.trials[0].fold_scores) - 1
    assert shown["windows"].count("\n") == 1 + len(model.windows)
    assert shown["roc"].startswith("![roc](data:image/png;base64,")
