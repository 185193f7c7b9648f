import datetime as dt
from pathlib import Path

import pytest

from lifecycle.assets.partitions import BACKFILL_TAG
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import RELEASED_BY, release_asset
from lifecycle.gates.candidate_gates import GATES, fair_by_group
from lifecycle.modelling.training import Trained
from lifecycle.spec.risk_model import PromotionSpec, RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import PASSING, FakeRegistry, failure, judge, keep, materialize, metadata, promote

DAY = dt.timedelta(days=1)


def test_a_registered_version_is_released_and_mirrored_once(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = keep(stores, model)
    judge(stores, candidate)
    result = materialize(stores, [release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    [release] = stores.releases().history("toy")
    shown = metadata(result, "release")
    assert (shown["release_number"], shown["bundle_digest"]) == (1, release.champion.bundle_digest)
    assert (shown["as_of"], shown["released_by"]) == (AS_OF.isoformat(), RELEASED_BY)
    assert shown["reason"] == f"promoted automatically: {len(GATES)} gates passed"
    assert registry.slots == {"champion": ("1", release.champion.bundle_digest)}
    assert materialize(stores, [release_asset(spec)], AS_OF).success
    assert stores.releases().history("toy") == (release,)


def test_a_candidate_judged_before_a_gate_existed_is_promoted_by_a_person_only(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = keep(stores, model)
    earlier = tuple(verdict for verdict in PASSING if verdict.gate != fair_by_group.NAME)
    evidence = judge(stores, candidate, earlier)
    result = materialize(stores, [release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    assert stores.releases().history("toy") == ()
    [shown] = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    assert "there is no verdict of fair_by_group" in str(shown.event_specific_data)
    bundle = seal(spec, stores, candidate, evidence)
    released = stores.releases().publish("toy", bundle, by="tester", reason="judged before the gate existed")
    assert stores.releases().history("toy") == (released,)
    assert registry.slots == {}


@pytest.mark.parametrize("obstacle", ["freeze", "manual"])
def test_without_leave_nothing_is_released_and_the_run_succeeds(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry, obstacle: str
) -> None:
    judge(stores, keep(stores, model))
    if obstacle == "freeze":
        stores.releases().switches.freeze(by="test", reason="audit")
    else:
        spec = spec.model_copy(update={"promotion": PromotionSpec(mode="manual")})
    result = materialize(stores, [release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    assert not result.asset_materializations_for_node("toy__release")
    assert stores.releases().history("toy") == ()
    assert registry.slots == {}


def test_after_a_rollback_nothing_is_promoted_until_a_person_resumes(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    releases = stores.releases()
    for as_of in (AS_OF, AS_OF + 7 * DAY):
        promote(stores, spec, keep(stores, model, as_of=as_of))
    releases.rollback("toy", by="tester", reason="declines too many")
    history = releases.history("toy")
    for as_of, reason in (
        (AS_OF + 3 * DAY, "its as_of 2024-02-04 is not newer than 2024-02-08, that of a champion that was rolled back"),
        (AS_OF + 9 * DAY, "release 3 is a rollback by tester at "),
    ):
        judge(stores, keep(stores, model, as_of=as_of))
        result = materialize(stores, [release_asset(spec)], as_of)
        assert result.success, failure(result)
        [observed] = result.get_asset_observation_events()
        description = observed.asset_observation_data.asset_observation.description
        assert (description or "").startswith(f"Not released: {reason}")
        assert releases.history("toy") == history
    releases.switches.resume("toy", releases.history("toy"), by="tester", reason="a fix was trained")
    assert materialize(stores, [release_asset(spec)], AS_OF + 9 * DAY).success
    assert [release.champion.as_of for release in releases.history("toy")][3:] == ["2024-02-10"]
    assert materialize(stores, [release_asset(spec)], AS_OF + 3 * DAY).success
    assert len(releases.history("toy")) == 4


@pytest.mark.parametrize("is_champion_older", [False, True])
def test_a_backfill_never_promotes_and_seals_nothing(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry, is_champion_older: bool
) -> None:
    if is_champion_older:
        promote(stores, spec, keep(stores, model, as_of=AS_OF - 7 * DAY))
    judge(stores, keep(stores, model))
    before = everything(stores.settings.release_store)
    result = materialize(stores, [release_asset(spec)], AS_OF, tags={BACKFILL_TAG: "abcd"})
    assert result.success, failure(result)
    assert everything(stores.settings.release_store) == before
    [observed] = result.get_asset_observation_events()
    metadata = observed.asset_observation_data.asset_observation.metadata
    assert metadata["not_released"].value == "a backfill is a backtest"


def everything(folder: Path) -> set[Path]:
    """Every file and folder below a folder."""
    return set(folder.rglob("*"))
