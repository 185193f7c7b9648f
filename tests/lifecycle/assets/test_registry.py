import datetime as dt

from lifecycle.artefacts.bundles import verified_bundle
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.modelling.training import Trained
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import (
    REFUSING,
    FakeRegistry,
    failure,
    judge,
    keep,
    materialize,
    metadata,
    promote,
)


def test_a_candidate_that_passed_is_sealed_and_registered(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = keep(stores, model)
    evidence = judge(stores, candidate)
    result = materialize(stores, [model_version_asset(spec)], AS_OF)
    assert result.success, failure(result)
    shown = metadata(result, "model_version")
    assert (shown["candidate_digest"], shown["mlflow_version"]) == (candidate.digest, "1")
    assert shown["mlflow_url"] == "http://127.0.0.1:5000/#/models/toy/versions/1"
    keys = stores.key_ring().public_keys
    bundle = verified_bundle(stores.settings.release_store, shown["bundle_digest"], keys)
    assert bundle.manifest.candidate_digest == candidate.digest
    assert bundle.manifest.verdicts == evidence.verdicts
    assert b"toy: model card" in bundle.files["card.html"]


def test_a_refused_candidate_is_not_registered(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    judge(stores, keep(stores, model), REFUSING)
    result = materialize(stores, [model_version_asset(spec)], AS_OF)
    assert not result.success
    assert "was refused by enough_evidence: it is not registered" in failure(result)
    assert registry.versions == {}


def test_a_backtest_stops_before_the_registration(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    promote(stores, spec, keep(stores, model))
    past = AS_OF - dt.timedelta(days=1)
    judge(stores, keep(stores, model, as_of=past))
    result = materialize(stores, [model_version_asset(spec)], past)
    assert result.success, failure(result)
    assert not result.asset_materializations_for_node("toy__model_version")
    assert registry.versions == {}
