"""From a candidate that passed to a registered version: sealed as a bundle, shown in MLflow."""

import os
from collections.abc import Iterator

import dagster as dg

from lifecycle.artefacts.bundles import write_bundle
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.keys import Materialized, ModelKeys
from lifecycle.assets.partitions import as_of_dates
from lifecycle.assets.resources import Stores
from lifecycle.gates.champion import is_backtest
from lifecycle.reports.model_card import model_card
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import CARD_FILE, DECIDING_FILE, GOLDEN_FILE, MODEL_FILE


def model_version_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that registers a candidate."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.model_version,
        deps=[keys.candidate],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        kinds={"mlflow"},
        output_required=False,
        description="Version in MLflow and sealed bundle of the candidate; only with passing verdicts for exactly it.",
    )
    def model_version(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        as_of = context.partition_key
        candidate = stores.candidates(spec.name).standing(as_of)
        evidence = stores.evidence(spec.name).gates(candidate.digest)
        if not evidence.is_passed:
            refused = ", ".join(verdict.gate for verdict in evidence.refusals)
            raise dg.Failure(f"Candidate {candidate.digest} was refused by {refused}: nothing is registered")
        if is_backtest(stores.releases().history(spec.name), as_of):
            context.log.info(f"A champion at least as new as {as_of} stands: a backtest stops at the gates")
            return
        bundle_digest = seal(spec, stores, candidate, evidence)
        version = stores.registry().register(spec.name, candidate, evidence, candidate_metrics(candidate))
        yield dg.MaterializeResult(
            metadata={
                "mlflow_version": version.version,
                "mlflow_run_id": version.run_id,
                "mlflow_url": dg.MetadataValue.url(_mlflow_url(spec.name, version.version)),
                "bundle_digest": bundle_digest,
                "candidate_digest": candidate.digest,
            }
        )

    return model_version


def seal(spec: RiskModelSpec, stores: Stores, candidate: Candidate, evidence: GateEvidence) -> str:
    """Write the candidate's bundle into the release store; the same candidate and verdicts give the same digest."""
    files = {name: candidate.read(name) for name in (MODEL_FILE, DECIDING_FILE, GOLDEN_FILE)}
    files[CARD_FILE] = model_card(spec, candidate, evidence).encode()
    return write_bundle(
        stores.settings.release_store,
        files,
        lineage=candidate.lineage,
        verdicts=evidence.verdicts,
        signing_key=stores.key_ring().signing_key,
    )


def candidate_metrics(candidate: Candidate) -> dict[str, float]:
    """The holdout's metrics by name."""
    return {name: interval["value"] for name, interval in candidate.evaluation["holdout"]["metrics"].items()}


def _mlflow_url(model: str, version: str) -> str:
    base = os.environ.get("LIFECYCLE_MLFLOW_URL", "http://127.0.0.1:5000")
    return f"{base}/#/models/{model}/versions/{version}"
