"""Names of a model's assets and jobs."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

Materialized = dg.MaterializeResult[Any]
"""Result of an asset: digests and metadata, never the object."""
WAREHOUSE_POOL = "warehouse"
"""Dagster's pool of size one: DuckDB's writer excludes every other process, so steps queue instead of blocking."""


@dataclass(frozen=True)
class ModelKeys:
    """Asset keys and job names of one model."""

    model: str

    def _key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([self.model, name])

    @property
    def training_set(self) -> dg.AssetKey:
        """Frozen examples."""
        return self._key("training_set")

    @property
    def candidate(self) -> dg.AssetKey:
        """Fitted model, before its gates."""
        return self._key("candidate")

    @property
    def backtest(self) -> dg.AssetKey:
        """Latest backtest by the command line."""
        return self._key("backtest")

    @property
    def model_version(self) -> dg.AssetKey:
        """Registered model and sealed bundle."""
        return self._key("model_version")

    @property
    def release(self) -> dg.AssetKey:
        """Signed release that servers poll for."""
        return self._key("release")

    @property
    def decisions(self) -> dg.AssetKey:
        """The server's decision log in the warehouse."""
        return self._key("decisions")

    @property
    def decision_load(self) -> dg.AssetKey:
        """Cards stopped a day, against the capacity."""
        return self._key("decision_load")

    @property
    def live_performance(self) -> dg.AssetKey:
        """Recall at capacity on matured outcomes."""
        return self._key("live_performance")

    @property
    def drift(self) -> dg.AssetKey:
        """Verdict on live traffic."""
        return self._key("drift")

    @property
    def drift_report(self) -> dg.AssetKey:
        """Evidently's pages, for information only."""
        return self._key("drift_report")

    @property
    def retrain_job(self) -> str:
        """From the training set to the release."""
        return f"{self.model}_retrain"

    @property
    def approve_job(self) -> str:
        """Approves a candidate."""
        return f"{self.model}_approve"

    @property
    def release_job(self) -> str:
        """Registers and releases a judged candidate."""
        return f"{self.model}_release"

    @property
    def champion_job(self) -> str:
        """Compares the champion that everything names."""
        return f"{self.model}_champion"

    @property
    def monitor_job(self) -> str:
        """From the decision log to the drift verdict."""
        return f"{self.model}_monitor"
