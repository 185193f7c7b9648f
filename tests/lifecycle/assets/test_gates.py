import dataclasses
import datetime as dt

import dagster as dg
import msgspec
import pyarrow as pa
import pytest

from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import candidate_asset
from lifecycle.assets.validation import gate_checks, judge
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import GATES, enough_evidence, not_worse_than_champion
from lifecycle.gates.comparison import ChampionModel, JudgedModel, compare_with_champion
from lifecycle.modelling.golden import golden_rows
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import FakeRegistry, failure, freeze, keep, materialize, promote


def gated(stores: Stores, spec: RiskModelSpec) -> dg.ExecuteInProcessResult:
    """Train, judge and register the toy model."""
    return materialize(stores, [candidate_asset(spec), gate_checks(spec), model_version_asset(spec)], AS_OF)


@pytest.fixture
def champion(model: Trained, examples: Examples, spec: RiskModelSpec) -> Trained:
    """The judged model as a champion that has not seen the holdout."""
    golden = golden_rows(
        examples.features, spec.contract_features, model.judged_model_text, model.deciding.calibration, 1
    )
    return dataclasses.replace(
        model,
        model_text=model.judged_model_text,
        golden=tuple(msgspec.structs.replace(row, contributions=None) for row in golden),
        trained_until="2024-01-23",
    )


@pytest.mark.long
def test_the_verdicts_are_kept_for_the_candidate_and_shown_on_it(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    freeze(stores, spec, table)
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)
    result = gated(stores, spec)
    assert result.success, failure(result)
    candidate = stores.candidates("toy").current(AS_OF.isoformat())
    evidence = stores.evidence("toy").gates(candidate.digest)
    assert [verdict.gate for verdict in evidence.verdicts] == list(GATES)
    assert evidence.is_passed
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(checks) == set(GATES)
    assert checks[enough_evidence.NAME].metadata["candidate_digest"].value == candidate.digest
    assert checks[enough_evidence.NAME].metadata["required/minimum_rows"].value == 100
    assert checks[enough_evidence.NAME].metadata["required/minimum_positives"].value == 5
    assert {check.partition for check in checks.values()} == {AS_OF.isoformat()}
    assert list(registry.versions) == [candidate.digest]


def test_a_failed_gate_blocks_the_registration(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    freeze(stores, spec, table)
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)
    strict = spec.model_copy(update={"gates": spec.gates.model_copy(update={"minimum_positives": 100_000})})
    result = gated(stores, strict)
    assert not result.success
    failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    assert failed == [enough_evidence.NAME]
    shown = {check.check_name: check.metadata["outcome"].value for check in result.get_asset_check_evaluations()}
    assert shown.pop(enough_evidence.NAME) == "INCONCLUSIVE"
    assert set(shown.values()) == {"PASS"}
    assert not result.asset_materializations_for_node("toy__model_version")
    assert registry.versions == {}
    assert registry.outcomes == [(stores.candidates("toy").current(AS_OF.isoformat()).digest, "inconclusive")]
    candidate = stores.candidates("toy").current(AS_OF.isoformat())
    assert [verdict.gate for verdict in stores.evidence("toy").gates(candidate.digest).refusals] == failed


def test_a_candidate_is_compared_with_the_champion_on_the_days_that_it_has_not_seen(
    stores: Stores, spec: RiskModelSpec, model: Trained, champion: Trained, table: pa.Table
) -> None:
    digest = freeze(stores, spec, table).description.digest
    promote(stores, spec, keep(stores, champion, as_of=AS_OF - dt.timedelta(days=1)))
    keep(stores, model, digest)
    [verdict] = [v for v in judge(spec, stores, AS_OF.isoformat()).verdicts if v.gate == not_worse_than_champion.NAME]
    assert verdict.is_passed
    assert (verdict.observed["unseen_start"], verdict.observed["unseen_end"]) == ("2024-01-23", "2024-01-30")
    assert verdict.observed["positives"] == model.evaluation.positives
    assert verdict.observed["difference"] == 0.0


def test_a_candidate_of_another_training_set_is_not_judged(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table
) -> None:
    freeze(stores, spec, table)
    keep(stores, model, "another")
    with pytest.raises(LifecycleError, match="got one trained on another; materialise toy/candidate again"):
        judge(spec, stores, AS_OF.isoformat())


def test_a_champion_with_a_feature_that_the_model_has_lost_is_not_compared(
    spec: RiskModelSpec, model: Trained, examples: Examples
) -> None:
    judged = JudgedModel(model.judged_model_text, model.judged_calibration)
    names = (*spec.feature_names, "gone")
    deciding = model.deciding
    champion = ChampionModel("b", dt.date(2024, 1, 1), model.model_text, deciding.calibration, names, deciding.bands)
    with pytest.raises(LifecycleError, match=r"the champion's 5 features to compare with it, missing \['gone'\]"):
        compare_with_champion(spec, examples, AS_OF, judged, champion)
    seen = dataclasses.replace(champion, trained_until=dt.date(2024, 1, 30))
    assert compare_with_champion(spec, examples, AS_OF, judged, seen) is None
