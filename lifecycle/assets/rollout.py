"""From a registered version to the signed release that servers read."""

from collections.abc import Iterator

import dagster as dg

from lifecycle.artefacts.bundles import bundle_fields, bundle_manifest
from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.asked_runs import asked_run
from lifecycle.assets.keys import Materialized, ModelKeys
from lifecycle.assets.labels import labels
from lifecycle.assets.mirror import attempt, mirror_in_mlflow, release_metadata
from lifecycle.assets.partitions import as_of_dates, date_of
from lifecycle.assets.registry import consent_metadata, judged_version, seal
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.champion import backtest_reason, newest_as_of
from lifecycle.gates.promotion import Champion, JudgedVersion, PromotionState, Refusal, decide_promotion
from lifecycle.releases.ledger.events import POLICY_NAME
from lifecycle.releases.promotion_hold import hold_text
from lifecycle.releases.store import ReleaseStore
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release

RELEASED_BY = POLICY_NAME


def release_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that promotes a registered version if the model's policy allows it."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.release,
        deps=[keys.model_version],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        **labels(spec, "release", "json"),
        output_required=False,
        description="Signed release that makes the registered version the champion; servers poll for it.",
    )
    def release(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        releases, as_of = stores.releases(), context.partition_key
        history = releases.history(spec.name)
        run = asked_run(spec, stores, context.instance, context.run, as_of, is_first=not history)
        reason = backtest_reason(history, run)
        # A date that is no newer than a champion's may be the champion's own, which the policy below recognises.
        if reason is not None and (run.is_backfill or not history):
            _show_refusal(context, reason, {})
            return
        candidate = stores.candidates(spec.name).current(as_of)
        evidence = stores.evidence(spec.name).gates(candidate.digest)
        permissions = stores.permissions(spec)
        permission = permissions.of(candidate.digest, evidence.verdicts)
        champion = _bundle_of_champion(stores, history, candidate)
        if champion is None and permission.waivers.refusal is not None:
            _show_refusal(context, permission.waivers.refusal, {"candidate_digest": candidate.digest})
            return
        permissions.expect_judged(evidence)
        bundle = champion or seal(spec, stores, candidate, evidence, permission)
        version = judged_version(candidate, evidence, permission, bundle)
        state = _promotion_state(stores, releases, history, version, permission.approvals.refusal)
        decision = decide_promotion(state, spec.promotion, GATES)
        if isinstance(decision, Refusal) and not decision.is_settled:
            shown = {"bundle_digest": bundle, "promote_with": f"lifecycle promote {spec.name} {bundle} --reason ..."}
            _show_refusal(context, decision.reason, shown | consent_metadata(permission))
            return
        published = releases.publish(
            spec.name,
            version.bundle_digest,
            by=RELEASED_BY,
            reason=decision.reason,
            after=history[-1].number if history else 0,
            expect=lambda manifest: stores.permissions(spec).expect_promotable(manifest),
        )
        step = "Mirroring the release in MLflow"
        attempt(
            stores,
            spec.name,
            version.as_of.isoformat(),
            context.run.run_id,
            step,
            lambda: mirror_in_mlflow(spec, stores),
        )
        yield dg.MaterializeResult(metadata=release_metadata(published))

    return release


def _promotion_state(
    stores: Stores,
    releases: ReleaseStore,
    history: tuple[Release, ...],
    version: JudgedVersion,
    approval_refusal: str | None,
) -> PromotionState:
    champion = history[-1].champion if history else None
    canary = history[-1].canary if history else None
    rollback = releases.switches.hold(history)
    newest = newest_as_of(history)
    return PromotionState(
        version=version,
        champion=Champion(champion.bundle_digest, date_of(champion.as_of)) if champion else None,
        is_frozen=releases.switches.freeze_in_force() is not None,
        is_requested_by_person=False,
        canary_bundle=canary.bundle_digest if canary else None,
        newest_as_of=date_of(newest) if newest else None,
        hold=hold_text(rollback) if rollback else None,
        new_fields=_new_fields(stores, champion.bundle_digest, version.bundle_digest) if champion else (),
        approval_refusal=approval_refusal,
    )


def _new_fields(stores: Stores, champion: str, version: str) -> tuple[str, ...]:
    """Fields that a request to a bundle carries and one to the champion does not.

    Empty if the champion's bundle cannot be read: its damage must not hold up what replaces it.
    """
    store, keys = stores.settings.release_store, stores.key_ring().public_keys
    try:
        known = bundle_fields(store, champion, keys)
    except LifecycleError:
        return ()
    return tuple(name for name in bundle_fields(store, version, keys) if name not in known)


def _show_refusal(context: dg.AssetExecutionContext, reason: str, metadata: dict[str, str]) -> None:
    """Log the refusal, and show it on the asset's page as an observation, with the command that releases anyway."""
    context.log.warning(f"Not released: {reason}. {metadata}" if metadata else f"Not released: {reason}")
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key,
            description=f"Not released: {reason}",
            metadata={"not_released": reason} | metadata,
        )
    )


def _bundle_of_champion(stores: Stores, history: tuple[Release, ...], candidate: Candidate) -> str | None:
    """The champion's bundle if it was sealed from this candidate: approvals since then would seal another one."""
    if not history:
        return None
    champion = history[-1].champion.bundle_digest
    try:
        manifest = bundle_manifest(stores.settings.release_store, champion, stores.key_ring().public_keys)
    except LifecycleError:
        return None  # its damage must not hold up what replaces it
    # Two dates may have the same candidate.
    is_same = (manifest.candidate_digest, manifest.lineage.as_of) == (candidate.digest, candidate.lineage.as_of)
    return champion if is_same else None
