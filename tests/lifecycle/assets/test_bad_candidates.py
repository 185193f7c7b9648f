"""Deliberately bad candidates through Dagster: the gate meant for each stops it, and none is registered."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import candidate_asset
from lifecycle.assets.validation import gate_checks, judge
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.spec.gates import GatesSpec
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.external_models import FILES, external_spec, hand_over, many_trees
from tests.harness.toy_model import AS_OF, SPEC, card_table, spec_with
from tests.harness.toy_platform import FakeRegistry, failure, freeze, keep, materialize

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("registry")]
HOLDOUT = dt.date(2024, 1, 23)
GATES = {"minimum_rows": 100, "minimum_positives": 5}
TIGHT = {"maximum_bundle_mb": 0.001}
QUICK = {"training": SPEC["training"] | {"search": {"trials": 1, "num_threads": 1}}}


def replaced(table: pa.Table, name: str, values: Any, kind: pa.DataType) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))


def leaking(table: pa.Table) -> pa.Table:
    """A risk that was computed from the outcome."""
    is_fraud = table["reported_at"].is_valid().to_numpy(zero_copy_only=False)
    return replaced(table, "risk", is_fraud + np.random.default_rng(3).normal(0, 0.05, len(is_fraud)), pa.float64())


def miscalibrated(table: pa.Table) -> pa.Table:
    """Nine of ten frauds of the holdout were never reported: the scores promise ten times what happens there."""
    days = table["occurred_at"].cast(pa.date32()).to_numpy(zero_copy_only=False)
    is_kept = (days < np.datetime64(HOLDOUT)) | (np.arange(len(days)) % 10 == 0)
    reported = table["reported_at"].to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return replaced(table, "reported_at", np.where(is_kept, reported, np.datetime64("NaT", "us")), pa.timestamp("us"))


def noise(table: pa.Table) -> pa.Table:
    """Nothing in the inputs says anything of the outcomes."""
    generator = np.random.default_rng(4)
    shuffled = generator.permutation(table["reported_at"].is_valid().to_numpy(zero_copy_only=False))
    occurred = table["occurred_at"].to_numpy(zero_copy_only=False).astype("datetime64[us]")
    reported = np.where(shuffled, occurred + np.timedelta64(1, "h"), np.datetime64("NaT", "us"))
    return replaced(table, "reported_at", reported, pa.timestamp("us"))


def worse_on_one_slice(table: pa.Table) -> pa.Table:
    """Before the holdout, the reported payments of the gold cards are small ones: the others are learnt in order."""
    days = table["occurred_at"].cast(pa.date32()).to_numpy(zero_copy_only=False)
    occurred = table["occurred_at"].to_numpy(zero_copy_only=False).astype("datetime64[us]")
    reported = table["reported_at"].to_numpy(zero_copy_only=False).astype("datetime64[us]").copy()
    early_gold = (np.array(table["segment"].to_pylist()) == "gold") & (days < np.datetime64(HOLDOUT))
    is_small = table["amount"].cast(pa.float64()).to_numpy() < 30
    swapped = early_gold & is_small & (np.random.default_rng(6).random(len(days)) < 0.5)
    reported[early_gold] = np.datetime64("NaT", "us")
    reported[swapped] = occurred[swapped] + np.timedelta64(1, "h")
    return replaced(table, "reported_at", reported, pa.timestamp("us"))


SPOILED: list[tuple[str, Callable[[pa.Table], pa.Table], dict[str, Any], str]] = [
    ("leaky", leaking, {}, "no_leaking_feature"),
    ("miscalibrated", miscalibrated, {}, "calibrated"),
    ("of noise", noise, {}, "beats_baseline"),
    ("of few frauds", lambda table: table, {"minimum_positives": 5000}, "enough_evidence"),
    ("below the floor", lambda table: table, {"floor": 0.99}, "above_floor"),
    ("of an unsteady recipe", lambda table: table, {"robustness": {"maximum_seed_change": 1e-9}}, "robust"),
    ("declining half", lambda table: table, {"maximum_decline_share": 1e-6}, "bounded_declines"),
]


@pytest.mark.parametrize(("spoil", "gates", "meant"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_a_bad_candidate_is_stopped_by_the_gate_that_is_meant_for_it(
    stores: Stores, spoil: Callable[[pa.Table], pa.Table], gates: dict[str, Any], meant: str
) -> None:
    spec = spec_with(gates=GATES | gates, **QUICK)
    freeze(stores, spec, spoil(card_table()))
    result = materialize(stores, [candidate_asset(spec), gate_checks(spec), model_version_asset(spec)], AS_OF)
    assert not result.success
    stopped = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert meant in stopped
    expect_not_registered(stores)


def test_a_candidate_that_is_worse_on_one_slice_only_is_stopped_by_the_gate_of_slices(stores: Stores) -> None:
    spec = spec_with(gates=GATES | {"slices": {"minimum_positives": 20}}, **QUICK)
    freeze(stores, spec, worse_on_one_slice(card_table()))
    result = materialize(stores, [candidate_asset(spec), gate_checks(spec), model_version_asset(spec)], AS_OF)
    assert not result.success
    verdicts = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert verdicts["beats_baseline"].passed
    assert verdicts["above_floor"].passed
    stopped = verdicts["not_worse_by_slice"]
    assert not stopped.passed
    assert "worse on segment = gold" in str(stopped.description)
    assert "segment = basic: " not in str(stopped.description)
    assert {"gain_by_slice", "observed/least_gain"} <= set(stopped.metadata)
    expect_not_registered(stores)


def test_a_candidate_whose_reviews_cost_more_than_they_save_is_stopped_by_the_gate_of_costs(stores: Stores) -> None:
    costs = {"review": 50, "wrong_decline": 50, "missed": 10}
    spec = spec_with(gates=GATES, decision=SPEC["decision"] | {"costs": costs}, **QUICK)
    freeze(stores, spec, card_table())
    result = materialize(stores, [candidate_asset(spec), gate_checks(spec), model_version_asset(spec)], AS_OF)
    assert not result.success
    stopped = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert "not_costlier" in stopped
    expect_not_registered(stores)


def stopped_by(stores: Stores, spec: RiskModelSpec, assets: list[Any]) -> dict[str, str]:
    """Summaries of the gates that stop the candidate of these assets, which is then not registered."""
    result = materialize(stores, [*assets, gate_checks(spec), model_version_asset(spec)], AS_OF)
    assert not result.success
    expect_not_registered(stores)
    checks = result.get_asset_check_evaluations()
    return {check.check_name: check.description or "" for check in checks if not check.passed}


def test_a_slow_model_is_stopped_by_its_cost_in_a_server(
    stores: Stores, table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4,000 trees from elsewhere, sound in all else."""
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path / "models"))
    hand_over(tmp_path / "models", FILES["lightgbm"], many_trees(100))
    spec = external_spec(FILES["lightgbm"], {"servability": {"maximum_explanation_ms": 0.4}})
    freeze(stores, spec, table)
    stopped = stopped_by(stores, spec, [candidate_asset(spec)])
    assert list(stopped) == ["servable"]
    assert "over the budget of 0.4" in stopped["servable"]


def test_a_model_whose_served_scores_differ_in_a_bit_is_stopped_by_the_answers_alone(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next double after a golden score: within the tolerance that servers and replays have for scores."""
    first, *others = model.golden
    changed = msgspec.structs.replace(first, score=float(np.nextafter(first.score, 1)))
    other = dataclasses.replace(model, golden=(changed, *others))
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: other)
    freeze(stores, spec, table)
    stopped = stopped_by(stores, spec, [candidate_asset(spec)])
    assert list(stopped) == ["consistent"]
    assert stopped["consistent"].startswith("of 24 golden rows 1 scores differ; first row 1: +0 of the margin")


def test_a_bundle_that_a_server_refuses_is_stopped_with_its_own_words(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden margin that the trees do not have."""
    first, *others = model.golden
    changed = msgspec.structs.replace(first, margin=first.margin + 1)
    other = dataclasses.replace(model, golden=(changed, *others))
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: other)
    freeze(stores, spec, table)
    stopped = stopped_by(stores, spec, [candidate_asset(spec)])
    assert list(stopped) == ["consistent", "servable"]
    assert "golden row 1" in stopped["consistent"]


def test_a_candidate_that_is_judged_again_keeps_its_verdicts_and_with_them_the_name_of_its_bundle(
    stores: Stores, spec: RiskModelSpec, sound: str
) -> None:
    judge_and_keep(stores, spec)
    kept = stores.evidence("toy").gates(sound)
    assert judge(spec, stores, AS_OF.isoformat()) == kept
    shown = {verdict.gate: verdict for verdict in kept.verdicts}
    assert shown["consistent"].observed["holdout/asked"] == shown["consistent"].observed["holdout_rows"] > 1000
    assert 0 < shown["servable"].observed["decision_ms"] <= shown["servable"].required["maximum_decision_ms"]
    stricter = spec.model_copy(update={"gates": GatesSpec.model_validate(GATES | {"servability": TIGHT})})
    assert judge(stricter, stores, AS_OF.isoformat()).outcome_text == "refused by servable"


def expect_not_registered(stores: Stores) -> None:
    registry = stores.registry()
    assert isinstance(registry, FakeRegistry)
    assert registry.versions == {}
    assert list((stores.settings.release_store / "bundles").glob("*")) == []
    assert stores.releases().history("toy") == ()


@pytest.fixture
def sound(stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, patched: None) -> str:
    """Digest of a sound candidate, not judged yet."""
    freeze(stores, spec, table)
    result = materialize(stores, [candidate_asset(spec)], AS_OF)
    assert result.success, failure(result)
    return stores.candidates("toy").current(AS_OF.isoformat()).digest


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch, model: Trained) -> None:
    """The training of the session, once for all tests."""
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)


def judge_and_keep(stores: Stores, spec: RiskModelSpec) -> None:
    evidence = judge(spec, stores, AS_OF.isoformat())
    assert evidence.is_passed, evidence.outcome_text
    stores.evidence("toy").write_gates(evidence)


def tamper_with_the_trees(stores: Stores) -> None:
    """A leaf of the judged candidate's file is another one."""
    file = stores.candidates("toy").current(AS_OF.isoformat()).folder / "model.txt"
    file.chmod(0o600)
    text = file.read_text()
    start = text.index("leaf_value=") + len("leaf_value=")
    digit = next(place for place in range(start, len(text)) if text[place] in "12345678")
    file.write_text(text[:digit] + str(int(text[digit]) + 1) + text[digit + 1 :])


def register(stores: Stores, spec: RiskModelSpec) -> str:
    """Materialise the version alone; its error."""
    result = materialize(stores, [model_version_asset(spec)], AS_OF)
    assert not result.success
    expect_not_registered(stores)
    return failure(result)


def test_a_candidate_that_was_tampered_with_after_its_verdicts_is_not_registered(
    stores: Stores, spec: RiskModelSpec, sound: str
) -> None:
    judge_and_keep(stores, spec)
    tamper_with_the_trees(stores)
    assert "digest" in register(stores, spec)
    assert sound


def test_a_candidate_without_verdicts_is_not_registered(stores: Stores, spec: RiskModelSpec, sound: str) -> None:
    assert f"verdicts on candidate {sound}, found none; run its gates first" in register(stores, spec)


def test_a_candidate_of_another_training_set_is_neither_judged_nor_registered(
    stores: Stores, spec: RiskModelSpec, sound: str
) -> None:
    freeze(stores, spec, card_table(seed=1))
    with pytest.raises(LifecycleError, match="materialise toy/candidate again"):
        judge(spec, stores, AS_OF.isoformat())
    assert f"verdicts on candidate {sound}, found none" in register(stores, spec)


def test_the_verdicts_of_another_candidate_register_nothing(
    stores: Stores, spec: RiskModelSpec, model: Trained, sound: str
) -> None:
    judge_and_keep(stores, spec)
    calibration = msgspec.structs.replace(model.deciding.calibration, intercept=0.5)
    other = dataclasses.replace(model, deciding=msgspec.structs.replace(model.deciding, calibration=calibration))
    candidate = keep(stores, other)
    assert candidate.digest != sound
    assert f"verdicts on candidate {candidate.digest}, found none" in register(stores, spec)


def test_a_report_from_after_as_of_is_no_label(stores: Stores) -> None:
    """No training set holds one; a candidate of one that does is stopped by `point_in_time`."""
    spec, table = spec_with(**QUICK), card_table()
    reported = table["reported_at"].to_numpy(zero_copy_only=False).astype("datetime64[us]").copy()
    first = int(np.flatnonzero(reported > np.datetime64("2024-01-15"))[0])
    reported[first] = np.datetime64(AS_OF, "us") + np.timedelta64(1, "D")
    freeze(stores, spec, replaced(table, "reported_at", reported, pa.timestamp("us")))
    result = materialize(stores, [candidate_asset(spec), gate_checks(spec), model_version_asset(spec)], AS_OF)
    assert not result.success
    assert "point_in_time" in {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    expect_not_registered(stores)


def test_a_schema_that_the_training_set_lacks_gives_no_candidate(stores: Stores) -> None:
    spec = spec_with(**QUICK)
    freeze(stores, spec, card_table())
    unknown = {"name": "unknown", "dtype": "float", "reason_group": "amount"}
    other = spec_with(features=[*SPEC["features"], unknown], **QUICK)
    result = materialize(stores, [candidate_asset(other), gate_checks(other), model_version_asset(other)], AS_OF)
    assert "unknown" in failure(result)
    assert stores.candidates("toy").dates() == {}
    assert list((stores.settings.release_store / "bundles").glob("*")) == []
