"""A candidate with too little evidence in the shadow: it scores copies of the traffic, and nobody can promote it."""

import dataclasses
import datetime as dt

import msgspec
import pytest
from typer.testing import CliRunner

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.mirror import mirror_in_mlflow
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.shadow_trial import try_in_shadow
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.releases.consents import Person
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.verify import verify_ledger
from lifecycle.releases.mlflow_registry import SHADOW_TAG
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release, Verdict
from serving.scoring.probability import probability
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import PASSING, REFUSING, failure, judge, keep, materialize, promote

pytestmark = pytest.mark.filterwarnings("ignore")
THIN = (Verdict.of(PASSING[0].gate, "INCONCLUSIVE", "too few positives", {}, {}), *PASSING[1:])
EARLIER = AS_OF - dt.timedelta(days=7)


@pytest.fixture
def champion(stores: Stores, spec: RiskModelSpec, model: Trained) -> Release:
    return promote(stores, spec, keep(stores, model, as_of=EARLIER))


@pytest.fixture
def thin(stores: Stores, model: Trained, champion: Release) -> Candidate:
    """Another candidate than the champion's, judged with too little evidence."""
    calibration = msgspec.structs.replace(model.deciding.calibration, intercept=0.5)
    other = dataclasses.replace(
        model,
        deciding=msgspec.structs.replace(model.deciding, calibration=calibration),
        golden=tuple(msgspec.structs.replace(row, score=probability(row.margin, calibration)) for row in model.golden),
    )
    candidate = keep(stores, other)
    judge(stores, candidate, THIN)
    return candidate


def in_shadow(stores: Stores, spec: RiskModelSpec, candidate: Candidate) -> Release:
    return try_in_shadow(spec, stores, candidate, by="anna", reason="more evidence")


def promote_bundle(stores: Stores, spec: RiskModelSpec, bundle: str) -> Release:
    return stores.releases().publish(
        "toy",
        bundle,
        by="anna",
        reason="",
        expect=lambda manifest: stores.permissions(spec).expect_promotable(manifest),
    )


def test_an_inconclusive_candidate_runs_in_the_shadow_and_is_not_promoted(
    stores: Stores, spec: RiskModelSpec, thin: Candidate, champion: Release
) -> None:
    release = in_shadow(stores, spec, thin)
    assert release.shadow is not None
    assert release.champion == champion.champion
    assert in_shadow(stores, spec, thin) == release
    with pytest.raises(LifecycleError, match=f"inconclusive: {THIN[0].gate}"):
        promote_bundle(stores, spec, release.shadow.bundle_digest)
    with pytest.raises(LifecycleError, match="inconclusive"):
        stores.releases().put_canary(
            "toy", release.shadow.bundle_digest, percent=5, salt=None, by="anna", reason="",
            expect=lambda manifest: stores.permissions(spec).expect_promotable(manifest),
        )  # fmt: skip
    assert stores.releases().latest("toy") == release
    keys = stores.key_ring().public_keys
    verification = verify_ledger(stores.settings.release_store, keys)
    assert with_releases(verification, stores.settings.release_store, keys).problems == ()


@pytest.mark.long
def test_mlflow_shows_the_version_as_one_for_the_shadow_until_a_waiver(
    stores: Stores, spec: RiskModelSpec, thin: Candidate
) -> None:
    release = in_shadow(stores, spec, thin)
    assert release.shadow is not None
    mirror_in_mlflow(spec, stores)
    with stores.registry().opened() as client:
        version = client.get_model_version_by_alias("toy", "shadow")
        assert version.tags[SHADOW_TAG] == f"inconclusive: {THIN[0].gate}"
        assert client.get_run(version.run_id).data.tags["outcome"] == "shadow"
        assert client.get_model_version_by_alias("toy", "champion").version != version.version
    now = dt.datetime.now(dt.UTC)
    until = now + dt.timedelta(days=1)
    consents = stores.releases().consents
    consents.waive("toy", thin.digest, THIN[0].gate, Person("anna", "ops"), reason="a pilot", until=until, now=now)
    with pytest.raises(LifecycleError, match=f"names the waivers of {THIN[0].gate}, .* sealed before them"):
        promote_bundle(stores, spec, release.shadow.bundle_digest)
    result = materialize(stores, [model_version_asset(spec)], AS_OF)
    assert result.success, failure(result)
    with stores.registry().opened() as client:
        newest = stores.registry().find("toy", thin.digest)
        assert newest is not None
        assert newest.version != version.version
        assert SHADOW_TAG not in client.get_model_version("toy", newest.version).tags


def test_a_refused_candidate_and_one_without_verdicts_stay_out(
    stores: Stores, spec: RiskModelSpec, thin: Candidate, model: Trained
) -> None:
    judge(stores, thin, REFUSING)
    with pytest.raises(LifecycleError, match=f"none of whose gates failed, {thin.digest[:12]} is refused"):
        in_shadow(stores, spec, thin)
    calibration = msgspec.structs.replace(model.deciding.calibration, intercept=0.25)
    unjudged = keep(
        stores, dataclasses.replace(model, deciding=msgspec.structs.replace(model.deciding, calibration=calibration))
    )
    with pytest.raises(LifecycleError, match="found none; run its gates first"):
        in_shadow(stores, spec, unjudged)
    judge(stores, unjudged, THIN[:1])
    with pytest.raises(LifecycleError, match="there is no verdict of"):
        in_shadow(stores, spec, unjudged)


def test_the_command_takes_the_digest_of_a_candidate(
    stores: Stores, spec: RiskModelSpec, thin: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.spec.model_files.read_model", lambda *_: spec)
    monkeypatch.setattr("lifecycle.spec.model_files.model_names", lambda: ["toy"])
    answer = CliRunner().invoke(app, ["shadow", "toy", thin.digest[:12], "--reason", "more evidence"])
    assert answer.exit_code == 0, answer.output
    release = stores.releases().latest("toy")
    assert release is not None
    assert release.shadow is not None
    assert release.shadow.bundle_digest in answer.output
