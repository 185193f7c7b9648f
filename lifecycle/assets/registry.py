"""From a candidate that passed its gates to a registered version: a sealed bundle and a version in MLflow."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from lifecycle.artefacts.bundles import bundle_folder, write_bundle
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.asked_runs import why_backtest
from lifecycle.assets.keys import Materialized, ModelKeys
from lifecycle.assets.labels import labels
from lifecycle.assets.mirror import attempt, record_backtest, register
from lifecycle.assets.partitions import as_of_dates, date_of
from lifecycle.assets.recording import record_version
from lifecycle.assets.resources import Stores
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.promotion import JudgedVersion, missing_verdicts
from lifecycle.releases.ledger.events import run_actor
from lifecycle.releases.mlflow_registry import RegisteredVersion
from lifecycle.releases.permission import Permission
from lifecycle.reports.model_card import model_card
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.mart_contract import feature_descriptions
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import CARD_FILE, DECIDING_FILE, GOLDEN_FILE


def model_version_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that registers a candidate."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.model_version,
        deps=[keys.candidate],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        **labels(spec, "release", "mlflow"),
        output_required=False,
        description="Version in MLflow and sealed bundle of a candidate; only if this very candidate passed its gates.",
    )
    def model_version(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        as_of, run_id = context.partition_key, context.run.run_id
        candidate = stores.candidates(spec.name).current(as_of)
        reason = why_backtest(spec, stores, context.instance, context.run, as_of)
        evidence = stores.evidence(spec.name).gates(candidate.digest, is_backtest=reason is not None)
        if reason is not None:
            show_backtest(context, spec, candidate.digest, evidence, reason)
            record_backtest(spec, stores, candidate, evidence, context.run, context.log.warning)
            return
        permission = permission_to_register(spec, stores, candidate, evidence)
        bundle_digest = seal(spec, stores, candidate, evidence, permission)
        step = "Registering the candidate in MLflow"
        version = attempt(
            stores,
            spec.name,
            as_of,
            run_id,
            step,
            lambda: register(spec, stores, candidate, evidence, run_id, permission),
        )
        number = None if version is None else version.version
        record_version(stores, spec.name, bundle_digest, candidate.digest, number, run_actor(run_id))
        card = bundle_folder(stores.settings.release_store, bundle_digest) / CARD_FILE
        sealed = {
            "bundle_digest": bundle_digest,
            "candidate_digest": candidate.digest,
            "model_card_file": dg.MetadataValue.path(str(card)),
        }
        yield dg.MaterializeResult(metadata=_version_metadata(stores, version) | sealed | consent_metadata(permission))

    return model_version


def show_backtest(
    context: dg.AssetExecutionContext, spec: RiskModelSpec, candidate_digest: str, evidence: GateEvidence, reason: str
) -> None:
    """Show on the asset's page why a candidate stops at the gates, and the command that releases a first model."""
    context.log.info(f"This is a backtest: {reason}. It stops at the gates")
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key,
            description=f"Not registered: {reason}",
            metadata={
                "backtest": reason,
                "candidate_digest": candidate_digest,
                "gates": evidence.outcome_text,
                "first_release_with": f"lifecycle release --first {spec.name} {candidate_digest} --reason ...",
            },
        )
    )


def permission_to_register(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, evidence: GateEvidence
) -> Permission:
    """The waivers and approvals of a candidate that may be registered; all verdicts are read again.

    Raises
    ------
    dagster.Failure
        If the verdicts are another candidate's, one of them is missing, a gate neither passed nor is waived, or the
        ledger recorded other verdicts.
    """
    permissions = stores.permissions(spec)
    permission = permissions.of(candidate.digest, evidence.verdicts)
    version = judged_version(candidate, evidence, permission)
    refusal = permission.waivers.refusal or missing_verdicts(version, GATES)
    if refusal is not None:
        raise dg.Failure(f"Candidate {candidate.digest} is not registered: {refusal}", allow_retries=False)
    permissions.expect_judged(evidence)
    return permission


def judged_version(
    candidate: Candidate, evidence: GateEvidence, permission: Permission, bundle_digest: str = ""
) -> JudgedVersion:
    """A candidate with the verdicts and waivers on it; `bundle_digest` is empty before it is sealed."""
    return JudgedVersion(
        bundle_digest=bundle_digest,
        candidate_digest=candidate.digest,
        as_of=date_of(candidate.lineage.as_of),
        verdicts_for=evidence.candidate_digest,
        verdicts=evidence.verdicts,
        waived=permission.waivers.gates,
    )


def consent_metadata(permission: Permission) -> dict[str, str]:
    """Waivers in force, and the approvals that a candidate waits for with the command, for the asset's page."""
    waived = "; ".join(
        f"{one.gate} by {one.name} until {one.expires_at:%Y-%m-%d %H:%M} UTC: {one.reason}"
        for one in permission.sealed_waivers
    )
    shown = {"waived": waived} if waived else {}
    if permission.approvals.refusal is not None:
        shown |= {"waits_for_approval": permission.approvals.refusal, "approve_with": permission.approvals.command}
    return shown


def seal(
    spec: RiskModelSpec,
    stores: Stores,
    candidate: Candidate,
    evidence: GateEvidence,
    permission: Permission | None = None,
    *,
    is_for_shadow: bool = False,
) -> str:
    """Write the candidate's bundle to the release store.

    The same candidate, verdicts, waivers and approvals give the same digest. Without `permission` they are read.
    """
    permission = permission or stores.permissions(spec).of(candidate.digest, evidence.verdicts)
    files = {name: candidate.read(name) for name in (candidate.model_file, DECIDING_FILE, GOLDEN_FILE)}
    files[CARD_FILE] = model_card(
        spec, candidate, evidence, permission.approvals.counted, permission.waivers.used
    ).encode()
    return write_bundle(
        stores.settings.release_store,
        files,
        lineage=candidate.lineage,
        verdicts=evidence.verdicts,
        keys=stores.key_ring(),
        descriptions=feature_descriptions(spec, dbt_projects(stores.settings)),
        waivers=permission.sealed_waivers,
        is_for_shadow=is_for_shadow,
    )


def _version_metadata(stores: Stores, version: RegisteredVersion | None) -> dict[str, Any]:
    if version is None:
        return {"not_registered": "MLflow failed, see the alert; the bundle can be released without it"}
    url = f"{stores.settings.mlflow_url}/#/models/{version.name}/versions/{version.version}"
    card = f"{stores.settings.mlflow_url}/get-artifact?path={CARD_FILE}&run_id={version.run_id}"
    return {
        "model_card": dg.MetadataValue.url(card),
        "mlflow_version": version.version,
        "mlflow_run_id": version.run_id,
        "mlflow_url": dg.MetadataValue.url(url),
    }
