"""From a candidate that passed its gates to a registered version: a sealed bundle and a version in MLflow."""

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
        description="Version in MLflow and sealed bundle of a candidate; only if this very candidate passed its gates.",
    )
    def model_version(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        as_of = context.partition_key
        candidate = stores.candidates(spec.name).current(as_of)
        evidence = stores.evidence(spec.name).gates(candidate.digest)
        if not evidence.is_passed:
            refused = ", ".join(verdict.gate for verdict in evidence.refusals)
            raise dg.Failure(f"Candidate {candidate.digest} was refused by {refused}: it is not registered")
        if is_backtest(stores.releases().history(spec.name), as_of):
            context.log.info(f"The champion is at least as new as {as_of}: a backtest stops at the gates")
            return
        bundle_digest = seal(spec, stores, candidate, evidence)
        version = stores.registry().register(spec.name, candidate, evidence)
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
    """Write the candidate's bundle to the release store; the same candidate and verdicts give the same digest."""
    files = {name: candidate.read(name) for name in (MODEL_FILE, DECIDING_FILE, GOLDEN_FILE)}
    files[CARD_FILE] = model_card(spec, candidate, evidence).encode()
    return write_bundle(
        stores.settings.release_store,
        files,
        lineage=candidate.lineage,
        verdicts=evidence.verdicts,
        signing_key=stores.key_ring().signing_key,
    )


def _mlflow_url(model: str, version: str) -> str:
    base = os.environ.get("LIFECYCLE_MLFLOW_URL", "http://127.0.0.1:5000")
    return f"{base}/#/models/{model}/versions/{version}"
