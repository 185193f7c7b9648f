"""The stores of this installation, for assets and sensors."""

import datetime as dt
from collections.abc import Collection
from functools import cached_property

import dagster as dg

from lifecycle.artefacts.acknowledged_days import AcknowledgedDays
from lifecycle.artefacts.bundles import bundle_manifest
from lifecycle.artefacts.candidates import Candidate, CandidateStore
from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.artefacts.training_sets import TrainingSetStore
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.mlflow_registry import Registry
from lifecycle.releases.permission import Permissions
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import Step
from lifecycle.signing.keys import Keys, ensure_keys
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from serving.contract.documents import SlotRelease


class Stores(dg.ConfigurableResource[None]):
    """Everything below ``LIFECYCLE_HOME``; the settings come from the environment of the run."""

    @cached_property
    def settings(self) -> Settings:
        """Settings of this process."""
        return Settings()

    def warehouse(self, context: dg.AssetExecutionContext, step: Step = "read") -> Warehouse:
        """Open the warehouse for an asset's step. Each call may log in again, so an asset calls this once per step.

        A sensor must never call it: DuckDB's writer excludes every other process, and Snowflake bills each wake-up.
        """
        model, asset = context.asset_key.path[0], context.asset_key.path[-1]
        return open_warehouse(self.settings, Use(step, model, asset, context.run.run_id))

    def training_sets(self, model: str) -> TrainingSetStore:
        """Frozen training sets of a model."""
        return TrainingSetStore(self.settings.training_sets_dir, model)

    def candidates(self, model: str) -> CandidateStore:
        """Candidates of a model."""
        return CandidateStore(self.settings.candidates_dir, model)

    def evidence(self, model: str) -> EvidenceStore:
        """Verdicts on a model's candidates and live traffic."""
        return EvidenceStore(self.settings.evidence_dir, model)

    def acknowledged_days(self, model: str) -> frozenset[dt.date]:
        """Days whose number of transactions a person has accepted."""
        return frozenset(AcknowledgedDays(self.settings.evidence_dir, model).read())

    def registry(self) -> Registry:
        """The MLflow registry."""
        return Registry(self.settings.mlflow_dir)

    def key_ring(self) -> Keys:
        """The signing key and the public keys."""
        return ensure_keys(self.settings)

    def releases(self) -> ReleaseStore:
        """The releases of every model."""
        return ReleaseStore(self.settings.release_store, self.key_ring())

    def permissions(self, spec: RiskModelSpec, also_trained_by: Collection[str] = ()) -> Permissions:
        """What people said about the candidates of a model, up to now."""
        now = dt.datetime.now(dt.UTC)
        return Permissions(self.releases(), spec.name, spec.promotion, now, also_trained_by)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of trainings, verdicts and releases."""
        return Ledger(self.settings.release_store, self.key_ring())

    def champion_candidate(self, model: str, champion: SlotRelease) -> Candidate:
        """The candidate that a champion's bundle was sealed from.

        Raises
        ------
        LifecycleError
            If the bundle does not verify, or the candidate's files are missing.
        """
        store, keys = self.settings.release_store, self.key_ring().public_keys
        manifest = bundle_manifest(store, champion.bundle_digest, keys)
        return self.candidates(model).by_digest(manifest.candidate_digest)
