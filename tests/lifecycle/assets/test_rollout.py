import pytest

from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import RELEASED_BY, release_asset
from lifecycle.modelling.training import Trained
from lifecycle.spec.risk_model import PromotionSpec, RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import FakeRegistry, failure, judge, keep, materialize, metadata


def test_a_registered_version_is_released_and_mirrored_once(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry
) -> None:
    candidate = keep(stores, model)
    version = registry.register("toy", candidate, judge(stores, candidate))
    result = materialize(stores, [release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    [release] = stores.releases().history("toy")
    shown = metadata(result, "release")
    assert (shown["release_number"], shown["bundle_digest"]) == (1, release.champion.bundle_digest)
    assert (shown["as_of"], shown["released_by"]) == (AS_OF.isoformat(), RELEASED_BY)
    assert shown["reason"] == "promoted automatically: 4 gates passed"
    assert registry.champion == (version.version, release.champion.bundle_digest)
    assert materialize(stores, [release_asset(spec)], AS_OF).success
    assert stores.releases().history("toy") == (release,)


@pytest.mark.parametrize("obstacle", ["freeze", "manual"])
def test_without_leave_nothing_is_released_and_the_run_succeeds(
    stores: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry, obstacle: str
) -> None:
    judge(stores, keep(stores, model))
    if obstacle == "freeze":
        stores.releases().freeze(by="test", reason="audit")
    else:
        spec = spec.model_copy(update={"promotion": PromotionSpec(mode="manual")})
    result = materialize(stores, [release_asset(spec)], AS_OF)
    assert result.success, failure(result)
    assert not result.asset_materializations_for_node("toy__release")
    assert stores.releases().history("toy") == ()
    assert registry.champion is None
