import datetime as dt
from pathlib import Path

import msgspec
import pytest

from lifecycle.artefacts.bundles import verified_bundle
from lifecycle.assets.mirror import mirror_in_mlflow
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import release_asset
from lifecycle.gates.candidate_gates import GATES
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.alerts import Alert
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Verdict
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import (
    PASSING,
    REFUSING,
    FakeRegistry,
    evidence_of,
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
    assert Path(shown["model_card_file"]).read_bytes() == bundle.files["card.html"]
    assert shown["model_card"] == f"http://127.0.0.1:5000/get-artifact?path=card.html&run_id={shown['mlflow_run_id']}"


def test_a_refused_candidate_is_not_registered(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    judge(stores, keep(stores, model), REFUSING)
    result = materialize(stores, [model_version_asset(spec)], AS_OF)
    assert not result.success
    assert "is not registered: refused by enough_evidence" in failure(result)
    assert registry.versions == {}


def test_an_inconclusive_candidate_is_not_registered(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    judge(stores, keep(stores, model), (Verdict.of(GATES[0], "INCONCLUSIVE", "", {}, {}), *PASSING[1:]))
    result = materialize(stores, [model_version_asset(spec)], AS_OF)
    assert not result.success
    assert "is not registered: inconclusive: enough_evidence" in failure(result)
    assert registry.versions == {}


@pytest.mark.parametrize("fault", [OSError("disk full"), TimeoutError("locked")])
def test_a_registry_that_is_down_is_an_alert_and_holds_up_neither_the_version_nor_the_release(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry, fault: Exception
) -> None:
    candidate = keep(stores, model)
    judge(stores, candidate)
    registry.fault = fault
    result = materialize(stores, [model_version_asset(spec), release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    shown = metadata(result, "model_version")
    assert shown["not_registered"].startswith("MLflow failed")
    [release] = stores.releases().history("toy")
    assert (shown["bundle_digest"], shown["candidate_digest"]) == (release.champion.bundle_digest, candidate.digest)
    lines = (stores.settings.root / "alerts.jsonl").read_bytes().splitlines()
    alerts = [msgspec.json.decode(line, type=Alert) for line in lines]
    assert [(alert.kind, alert.as_of, alert.run_id) for alert in alerts] == [
        ("registry_failed", AS_OF.isoformat(), result.run_id)
    ] * 2
    assert f"{type(fault).__name__}: {fault}" in alerts[0].message
    registry.fault = None
    mirror_in_mlflow(spec, stores)
    assert registry.slots["champion"].bundle_digest == release.champion.bundle_digest


@pytest.mark.parametrize(("verdicts", "outcome"), [(PASSING, "backtest"), (REFUSING, "refused")])
def test_a_backtest_stops_before_the_registration(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry,
    verdicts: tuple[Verdict, ...], outcome: str,
) -> None:  # fmt: skip
    promote(stores, spec, keep(stores, model))
    past = AS_OF - dt.timedelta(days=1)
    evidence = evidence_of(keep(stores, model, as_of=past), verdicts)
    stores.evidence("toy").write_gates(evidence, is_backtest=True)
    result = materialize(stores, [model_version_asset(spec)], past)
    assert result.success, failure(result)
    assert not result.asset_materializations_for_node("toy__model_version")
    assert registry.versions == {}
    assert [shown for _, shown in registry.outcomes] == [outcome]
    registry.fault = OSError("disk full")
    assert materialize(stores, [model_version_asset(spec)], past).success
    assert not (stores.settings.root / "alerts.jsonl").exists()
