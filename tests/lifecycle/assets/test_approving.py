"""Approvals and waivers through Dagster: what waits, what is released, what is refused."""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from lifecycle.artefacts.bundles import bundle_manifest, verified_bundle
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import evidence_content
from lifecycle.assets.approving import approval_sensor, approve_job, release_job
from lifecycle.assets.asked_runs import USER_TAG
from lifecycle.assets.consent_pages import show_consents_in_dagster
from lifecycle.assets.expired_waivers import tell_expired_waivers
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.recording import record_training
from lifecycle.assets.registry import model_version_asset, seal
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import release_asset
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import GATES
from lifecycle.modelling.training import Trained
from lifecycle.releases.consents import Person
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.events import run_actor
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.verify import verify_ledger
from lifecycle.spec.risk_model import PromotionSpec, RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import (
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

DAY = dt.timedelta(days=1)
WAIVED = REFUSING[0].gate


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def two(spec: RiskModelSpec) -> RiskModelSpec:
    """The toy model with two approvals."""
    return spec.model_copy(update={"promotion": PromotionSpec(mode="auto", approvals="two")})


@pytest.fixture
def candidate(stores: Stores, two: RiskModelSpec, model: Trained, registry: FakeRegistry) -> Candidate:
    """A judged candidate that tina trained."""
    candidate = keep(stores, model)
    record_training(two, stores, candidate, run_actor("run"), "tina")
    judge(stores, candidate)
    return candidate


def approve(stores: Stores, spec: RiskModelSpec, candidate: Candidate, name: str, **tags: str) -> Any:
    """Approve by the model's job in Dagster."""
    config = {"digest": candidate.digest[:10], "reason": "looked at it", "name": name}
    return approve_job(spec).execute_in_process(
        run_config={"ops": {"toy_approve_candidate": {"config": config}}},
        resources={"stores": stores},
        tags=tags,
        raise_on_error=False,
    )


def observed(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Plain metadata of the refusal that the asset shows."""
    [event] = result.get_asset_observation_events()
    return {key: entry.value for key, entry in event.asset_observation_data.asset_observation.metadata.items()}


def expect_waiting(stores: Stores, spec: RiskModelSpec, given: str) -> dict[str, Any]:
    """The asset `release` releases nothing and shows how many approvals there are, and the command."""
    before = stores.releases().history("toy")
    result = materialize(stores, [release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    shown = observed(result)
    assert f"waits for approval: {given}" in shown["not_released"]
    assert shown["approve_with"].startswith("lifecycle approve toy ")
    assert stores.releases().history("toy") == before
    return shown


def test_a_candidate_is_released_once_two_people_approved_it(
    stores: Stores, two: RiskModelSpec, candidate: Candidate
) -> None:
    expect_waiting(stores, two, "0 of 2 given")
    assert approve(stores, two, candidate, "anna").success
    expect_waiting(stores, two, "1 of 2 given (anna)")
    assert approve(stores, two, candidate, "ANNA ").success
    expect_waiting(stores, two, "1 of 2 given (ANNA)")
    refused = approve(stores, two, candidate, "Tina")
    assert not refused.success
    assert "Expected a person who did not train candidate" in failure(refused)
    assert approve(stores, two, candidate, "", **{USER_TAG: "ben"}).success
    result = materialize(stores, [release_asset(two)], AS_OF)
    assert result.success, failure(result)
    [release] = stores.releases().history("toy")
    assert metadata(result, "release")["release_number"] == 1
    keys = stores.key_ring().public_keys
    card = verified_bundle(stores.settings.release_store, release.champion.bundle_digest, keys).files["card.html"]
    assert all(
        text in card.decode()
        for text in ("Two people", "once it is approved", "<td>ANNA</td>", "<td>ben</td>", "looked at it")
    )
    records = [record for record in read_records(stores.settings.release_store) if record.kind == "approval"]
    assert [(record.actor.name, record.facts["is_written"]) for record in records] == [
        (name, is_written) for name in ("anna", "ANNA", "ben") for is_written in (False, True)
    ]
    [*_, ben] = stores.releases().consents.of("toy")
    assert (ben.account, ben.account_from) == ("ben", "single_sign_on")
    # Another approval changes the card that would be sealed, not the champion.
    assert approve(stores, two, candidate, "carl").success
    assert materialize(stores, [release_asset(two)], AS_OF).success
    assert stores.releases().history("toy") == (release,)
    verification = verify_ledger(stores.settings.release_store, keys)
    assert with_releases(verification, stores.settings.release_store, keys).problems == ()


def test_expired_and_withdrawn_approvals_no_longer_count(
    stores: Stores, two: RiskModelSpec, candidate: Candidate
) -> None:
    consents = stores.releases().consents
    anna, ben = Person("anna", "ops"), Person("ben", "ops")
    consents.approve("toy", candidate.digest, anna, reason="early", days=30, now=now() - 31 * DAY)
    consents.approve("toy", candidate.digest, ben, reason="late", days=30, now=now())
    expect_waiting(stores, two, "1 of 2 given (ben), not counted: anna (expired)")
    consents.approve("toy", candidate.digest, anna, reason="again", days=30, now=now())
    consents.withdraw("toy", candidate.digest, None, ben, reason="a doubt", now=now())
    expect_waiting(stores, two, "1 of 2 given (anna), not counted: ben (withdrawn)")
    with pytest.raises(LifecycleError, match=r"Expected an approval by carl of candidate .* to withdraw, found none"):
        consents.withdraw("toy", candidate.digest, None, Person("carl", "ops"), reason="none", now=now())


def test_the_moment_of_promotion_asks_again(
    stores: Stores, two: RiskModelSpec, candidate: Candidate, model: Trained
) -> None:
    bundle = seal(two, stores, candidate, stores.evidence("toy").gates(candidate.digest))
    releases = stores.releases()
    order: dict[str, Any] = {
        "by": "test",
        "reason": "r",
        "expect": lambda manifest: stores.permissions(two).expect_promotable(manifest),
    }
    with pytest.raises(LifecycleError, match=r"Expected enough approvals of candidate .* waits for approval: 0 of 2"):
        releases.publish("toy", bundle, **order)
    assert releases.history("toy") == ()
    for name in ("anna", "ben"):
        approve(stores, two, candidate, name)
    assert releases.publish("toy", bundle, **order).number == 1
    releases.consents.withdraw("toy", candidate.digest, None, Person("ben", "ops"), reason="doubt", now=now())
    second = seal(two, stores, keep(stores, model, as_of=AS_OF + 7 * DAY), evidence_of(candidate))
    releases.put_shadow("toy", second, by="test", reason="a shadow decides nothing")
    with pytest.raises(LifecycleError, match="Expected enough approvals"):
        releases.put_canary("toy", second, percent=5, **order)
    approve(stores, two, candidate, "carl")
    assert releases.put_canary("toy", second, percent=5, **order).canary is not None
    releases.consents.withdraw("toy", candidate.digest, None, Person("carl", "ops"), reason="doubt", now=now())
    with pytest.raises(LifecycleError, match="Expected enough approvals"):
        releases.put_canary("toy", second, percent=9, **order)
    assert releases.put_canary("toy", second, percent=1, **order).canary is not None


def refused(stores: Stores, spec: RiskModelSpec, model: Trained) -> Candidate:
    """A candidate that a gate refused."""
    candidate = keep(stores, model)
    judge(stores, candidate, REFUSING)
    return candidate


def test_a_waiver_registers_and_releases_a_refused_candidate_until_it_expires(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate, consents = refused(stores, spec, model), stores.releases().consents
    assets = [model_version_asset(spec), release_asset(spec)]
    expired: dict[str, Any] = {"reason": "early", "until": now() - DAY, "now": now() - 2 * DAY}
    consents.waive("toy", candidate.digest, WAIVED, Person("anna", "ops"), **expired)
    result = materialize(stores, assets[:1], AS_OF)
    assert f"refused by {WAIVED}; the waiver of {WAIVED} by anna is expired" in failure(result)
    result = materialize(stores, assets[1:], AS_OF)
    assert observed(result)["not_released"] == f"refused by {WAIVED}; the waiver of {WAIVED} by anna is expired"
    until = now() + DAY
    consents.waive("toy", candidate.digest, WAIVED, Person("anna", "ops"), reason="a pilot", until=until, now=now())
    result = materialize(stores, assets, AS_OF)
    assert result.success, failure(result)
    assert f"{WAIVED} by anna until" in metadata(result, "model_version")["waived"]
    [release] = stores.releases().history("toy")
    assert release.reason == f"promoted automatically: {len(GATES) - 1} gates passed, waived {WAIVED}"
    store, keys = stores.settings.release_store, stores.key_ring().public_keys
    bundle = verified_bundle(store, release.champion.bundle_digest, keys)
    assert bundle.manifest.schema_version == 3
    [sealed] = bundle.manifest.waivers
    assert (sealed.gate, sealed.name, sealed.reason, sealed.expires_at) == (WAIVED, "anna", "a pilot", until)
    assert not bundle.manifest.verdicts[0].is_passed
    card = bundle.files["card.html"].decode()
    assert all(text in card for text in ("refused, waived", "a pilot", f"{until:%Y-%m-%d %H:%M} UTC"))
    # Its waiver withdrawn, the champion stays, and the bundle cannot return.
    consents.withdraw("toy", candidate.digest, WAIVED, Person("ben", "ops"), reason="over", now=now())
    assert materialize(stores, assets[1:], AS_OF).success
    with pytest.raises(LifecycleError, match=f"is refused by {WAIVED}; the waiver of {WAIVED} by ben is withdrawn"):
        stores.permissions(spec).expect_promotable(bundle.manifest)


def test_the_sensor_releases_what_was_approved_and_only_that(
    stores: Stores, two: RiskModelSpec, candidate: Candidate
) -> None:
    job = dg.Definitions(
        assets=[model_version_asset(two), release_asset(two)],
        jobs=[release_job(two)],
        resources={"stores": stores},
    ).resolve_job_def("toy_release")

    def tick(cursor: str | None) -> Any:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"stores": stores})
            return approval_sensor(two, job)(context)

    assert tick(None).skip_message == "There is no new approval or waiver"
    approve(stores, two, candidate, "anna")
    one = tick(None)
    assert (one.run_requests, one.cursor) == ([], "1")
    approve(stores, two, candidate, "ben")
    both = tick(one.cursor)
    [request] = both.run_requests
    assert (request.partition_key, both.cursor) == (AS_OF.isoformat(), "2")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(partition_key=request.partition_key, instance=instance)
    assert result.success
    assert len(stores.releases().history("toy")) == 1
    assert tick(both.cursor).skip_message == "There is no new approval or waiver"


def test_the_sensor_tells_an_expired_waiver_once_and_where_its_candidate_is_in_force(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate, consents = refused(stores, spec, model), stores.releases().consents
    until = now() + dt.timedelta(seconds=20)
    anna = Person("anna", "ops")
    consents.waive("toy", candidate.digest, WAIVED, anna, reason="a pilot", until=until, now=now())
    assert materialize(stores, [model_version_asset(spec), release_asset(spec)], AS_OF).success
    acts, told = consents.of("toy"), raised_alerts(stores)
    with dg.DagsterInstance.ephemeral() as instance:
        assert tell_expired_waivers("toy", stores, acts, instance, until - dt.timedelta(microseconds=1)) == []
        [alert] = tell_expired_waivers("toy", stores, acts, instance, until)
        assert tell_expired_waivers("toy", stores, acts, instance, until + DAY) == []
        [shown] = instance.fetch_observations(ModelKeys("toy").release, limit=5).records
    assert (alert.kind, alert.as_of, alert.keys) == ("waiver_expired", "2024-02-01", ("toy:waiver_expired:1",))
    assert alert.message.startswith(f"The waiver of {WAIVED} by anna on candidate {candidate.digest[:12]} expired at ")
    assert alert.message.endswith("It is the champion in force, and stays so.")
    again = f"lifecycle waive toy {candidate.digest[:12]} {WAIVED} --until DATE"
    assert again in alert.remedy
    assert "lifecycle rollback toy" in alert.remedy
    assert [line["kind"] for line in raised_alerts(stores)[len(told) :]] == ["waiver_expired"]
    assert shown.asset_observation is not None
    assert shown.asset_observation.description == alert.message
    # Another waiver that expires is another alert; one that was renewed or withdrawn is none.
    later, early = until + 2 * DAY, until + DAY
    consents.waive("toy", candidate.digest, WAIVED, anna, reason="again", until=later, now=now())
    with dg.DagsterInstance.ephemeral() as instance:
        assert tell_expired_waivers("toy", stores, consents.of("toy"), instance, early) == []
        [second] = tell_expired_waivers("toy", stores, consents.of("toy"), instance, later)
        assert second.keys == ("toy:waiver_expired:2",)
        consents.withdraw("toy", candidate.digest, WAIVED, anna, reason="over", now=now())
        assert tell_expired_waivers("toy", stores, consents.of("toy"), instance, later) == []


def test_a_tick_of_the_sensor_tells_what_expired(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = refused(stores, spec, model)
    expired: dict[str, Any] = {"reason": "early", "until": now() - DAY, "now": now() - 2 * DAY}
    stores.releases().consents.waive("toy", candidate.digest, WAIVED, Person("anna", "ops"), **expired)
    with dg.DagsterInstance.ephemeral() as instance:
        for cursor in (None, "1", "1"):
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"stores": stores})
            approval_sensor(spec, approve_job(spec))(context)
    [alert] = [line for line in raised_alerts(stores) if line["kind"] == "waiver_expired"]
    assert "in force" not in alert["message"]
    assert alert["runbook_url"].endswith("docs/alerts.md#waiver_expired")


def raised_alerts(stores: Stores) -> list[dict[str, Any]]:
    path = stores.settings.root / "alerts.jsonl"
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_evidence_that_was_changed_after_judging_registers_nothing(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = refused(stores, spec, model)
    path = stores.settings.evidence_dir / "toy" / "gates" / f"{candidate.digest}.json"
    path.write_bytes(evidence_content(evidence_of(candidate)))
    for asset in (model_version_asset(spec), release_asset(spec)):
        result = materialize(stores, [asset], AS_OF)
        assert not result.success
        assert "Expected the verdicts on candidate" in failure(result)
    assert registry.versions == {}
    bundle = seal(spec, stores, candidate, evidence_of(candidate))
    manifest = bundle_manifest(stores.settings.release_store, bundle, stores.key_ring().public_keys)
    with pytest.raises(LifecycleError, match="Expected verdicts that the ledger recorded"):
        stores.permissions(spec).expect_promotable(manifest)


def test_a_bundle_whose_candidate_was_refused_since_is_not_promoted(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = keep(stores, model)
    bundle = seal(spec, stores, candidate, judge(stores, candidate))
    manifest = bundle_manifest(stores.settings.release_store, bundle, stores.key_ring().public_keys)
    stores.permissions(spec).expect_promotable(manifest)
    judge(stores, candidate, REFUSING)
    with pytest.raises(LifecycleError, match=f"is refused by {WAIVED}"):
        stores.permissions(spec).expect_promotable(manifest)


@pytest.mark.parametrize("damage", ["changed", "removed", "copied"])
def test_a_tampered_approval_is_refused_by_name(
    stores: Stores, two: RiskModelSpec, candidate: Candidate, damage: str
) -> None:
    for name in ("anna", "ben"):
        approve(stores, two, candidate, name)
    folder: Path = stores.settings.release_store / "approvals" / "toy"
    if damage == "changed":
        path = folder / "000002.json"
        path.write_bytes(path.read_bytes().replace(b"looked at it", b"never saw it"))
    elif damage == "removed":
        (folder / "000002.json").unlink()
    else:
        (folder / "000003.json").write_bytes((folder / "000002.json").read_bytes())
    named = "000003.json" if damage == "copied" else "000002.json"
    result = materialize(stores, [release_asset(two)], AS_OF)
    assert not result.success
    assert f"approvals/toy/{named}" in failure(result)
    assert stores.releases().history("toy") == ()
    keys = stores.key_ring().public_keys
    verification = with_releases(
        verify_ledger(stores.settings.release_store, keys), stores.settings.release_store, keys
    )
    [problem] = verification.problems
    assert problem.damage == ("missing_approval" if damage == "removed" else "other_approval")
    assert named in problem.message


def test_a_run_that_claims_another_name_than_the_single_sign_on_approves_nothing(
    stores: Stores, two: RiskModelSpec, candidate: Candidate
) -> None:
    result = approve(stores, two, candidate, "ben", **{USER_TAG: "anna"})
    assert not result.success
    assert "Expected the name of the single sign-on, anna, or none" in failure(result)
    assert stores.releases().consents.of("toy") == ()


def test_an_approval_is_shown_on_the_card_in_mlflow_and_on_the_page_in_dagster(
    stores: Stores, two: RiskModelSpec, candidate: Candidate, registry: FakeRegistry
) -> None:
    approve(stores, two, candidate, "anna")
    [(digest, shown)] = registry.refreshed
    assert (digest, shown.approved_by, shown.waived) == (candidate.digest, ("anna",), ())
    assert b"looked at it" in shown.card
    with dg.DagsterInstance.ephemeral() as instance:
        show_consents_in_dagster(two, stores, candidate.digest, instance)
        [record] = instance.fetch_observations(ModelKeys("toy").model_version, limit=5).records
    observation = record.asset_observation
    assert observation is not None
    assert (observation.partition, observation.metadata["approved_by"].value) == ("2024-02-01", "anna")
    assert "it waits for approval: 1 of 2 given (anna)" in (observation.description or "")
    assert "lifecycle approve toy" in str(observation.metadata["approve_with"].value)


def test_an_approval_stands_while_mlflow_fails(
    stores: Stores, two: RiskModelSpec, candidate: Candidate, registry: FakeRegistry
) -> None:
    registry.fault = OSError("the disk is full")
    assert approve(stores, two, candidate, "anna").success
    assert [act.name for act in stores.releases().consents.of("toy")] == ["anna"]
    [alert] = raised_alerts(stores)
    assert alert["kind"] == "registry_failed"
    assert "Showing the approval in MLflow failed: OSError: the disk is full" in alert["message"]
    assert f"`lifecycle mirror toy --candidate {candidate.digest[:12]}`" in alert["remedy"]


def test_a_candidate_without_verdicts_has_no_card_to_refresh(
    stores: Stores, two: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    unjudged = keep(stores, model)
    approve(stores, two, unjudged, "anna")
    assert registry.refreshed == []
    assert raised_alerts(stores) == []


def test_a_rollback_needs_no_approval(
    stores: Stores, two: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    for as_of in (AS_OF, AS_OF + 7 * DAY):
        promote(stores, two, keep(stores, model, as_of=as_of))
    assert stores.releases().rollback("toy", by="tester", reason="worse").restores == 1
