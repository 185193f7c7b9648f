"""From a registered version to the signed release that servers read."""

from collections.abc import Iterator

import dagster as dg

from lifecycle.assets.keys import Materialized, ModelKeys
from lifecycle.assets.partitions import as_of_dates, date_of
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.promotion import Champion, JudgedVersion, PromotionState, Refusal, decide_promotion
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release

RELEASED_BY = "promotion policy"


def release_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that promotes a registered version if the model's policy allows it."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.release,
        deps=[keys.model_version],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        kinds={"release"},
        output_required=False,
        description="Signed release that makes the registered version the champion; servers poll for it.",
    )
    def release(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        version = judged_version(spec, stores, context.partition_key)
        releases = stores.releases()
        history = releases.history(spec.name)
        freeze = releases.freeze_state()
        champion = history[-1].champion if history else None
        state = PromotionState(
            version=version,
            champion=Champion(champion.bundle_digest, date_of(champion.as_of)) if champion else None,
            is_frozen=freeze is not None and freeze.is_frozen,
            is_requested_by_person=False,
            canary_bundle=history[-1].canary.bundle_digest if history and history[-1].canary else None,
        )
        decision = decide_promotion(state, spec.promotion, GATES)
        if isinstance(decision, Refusal) and not decision.is_settled:
            context.log.warning(f"Not released: {decision.reason}. Bundle {version.bundle_digest}")
            return
        published = releases.publish(
            spec.name,
            version.bundle_digest,
            by=RELEASED_BY,
            reason=decision.reason,
            after=history[-1].number if history else 0,
        )
        _mirror(spec, stores, version)
        yield dg.MaterializeResult(metadata=_metadata(published))

    return release


def judged_version(spec: RiskModelSpec, stores: Stores, as_of: str) -> JudgedVersion:
    """The bundle of the current candidate of `as_of`, with the verdicts on this very candidate."""
    candidate = stores.candidates(spec.name).current(as_of)
    evidence = stores.evidence(spec.name).gates(candidate.digest)
    return JudgedVersion(
        bundle_digest=seal(spec, stores, candidate, evidence),
        candidate_digest=candidate.digest,
        as_of=date_of(candidate.lineage.as_of),
        verdicts_for=evidence.candidate_digest,
        verdicts=evidence.verdicts,
    )


def _mirror(spec: RiskModelSpec, stores: Stores, version: JudgedVersion) -> None:
    """Point MLflow's alias at the released version."""
    registry = stores.registry()
    registered = registry.find(spec.name, version.candidate_digest)
    if registered is not None:
        registry.mirror_champion(spec.name, registered.version, version.bundle_digest)


def _metadata(published: Release) -> dict[str, str | int]:
    return {
        "release_number": published.number,
        "bundle_digest": published.champion.bundle_digest,
        "as_of": published.champion.as_of,
        "released_by": published.released_by,
        "reason": published.reason,
    }
