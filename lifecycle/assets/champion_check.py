"""The daily check that the release store, the server, MLflow and Dagster name one champion."""

import datetime as dt
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import attempt, first_line, in_time, mirror_in_dagster, mirror_in_mlflow, newest_metadata
from lifecycle.assets.resources import Stores
from lifecycle.assets.schedules import daily, default_status
from lifecycle.monitoring.champions import NamedChampion, champion_alert, differences
from lifecycle.releases.alert_log import raise_alert
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

CHECK = "is_one_champion"
SETTLE_SECONDS = 5.0
"""A release that was published a moment ago may not be loaded and mirrored yet."""
SERVER_TIMEOUT_SECONDS = 5.0


def champion_check(spec: RiskModelSpec) -> dg.AssetChecksDefinition:
    """The check of a model's champion; a difference is an alert, and the mirrors are repaired."""
    keys = ModelKeys(spec.name)

    @dg.asset_check(
        asset=keys.release,
        name=CHECK,
        description="The release store, the server, MLflow and Dagster name the same champion.",
    )
    def is_one_champion(context: dg.AssetCheckExecutionContext, stores: Stores) -> dg.AssetCheckResult:
        release = stores.releases().latest(spec.name)
        if release is None:
            return dg.AssetCheckResult(passed=True, description="There is no release yet")
        found = differences(release, named := _named(spec, stores, context.instance))
        if found:
            time.sleep(SETTLE_SECONDS)
            release = stores.releases().latest(spec.name) or release
            found = differences(release, named := _named(spec, stores, context.instance))
        if found:
            alert = champion_alert(release, found, context.run.run_id, dt.datetime.now(dt.UTC))
            raise_alert(stores.settings, alert)
            _repair(spec, stores, context, release)
        return dg.AssetCheckResult(
            passed=not found,
            description="; ".join(found) or f"Release {release.number} everywhere",
            metadata={"release store": release.champion.bundle_digest}
            | {champion.place: champion.bundle_digest or champion.fault or "none" for champion in named},
        )

    return is_one_champion


def champion_job(spec: RiskModelSpec, check: dg.AssetChecksDefinition) -> "UnresolvedAssetJobDefinition":
    """The job that runs the check."""
    return dg.define_asset_job(
        ModelKeys(spec.name).champion_job,
        selection=dg.AssetSelection.checks(check),
        description=f"Checks that everything names the same champion of {spec.name}, and repairs the mirrors.",
    )


def champion_schedule(spec: RiskModelSpec, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """The daily run of the check, at the time of the monitoring."""
    return dg.ScheduleDefinition(
        name=f"{ModelKeys(spec.name).champion_job}_daily",
        job=job,
        cron_schedule=daily(spec.monitor_at),
        default_status=default_status(),
    )


def _named(spec: RiskModelSpec, stores: Stores, instance: dg.DagsterInstance) -> list[NamedChampion]:
    model = spec.name
    return [
        _asked("the server", lambda: _server_champion(model, stores.settings.serving_url)),
        _asked("MLflow", lambda: stores.registry().champion(model)),
        _asked("Dagster", lambda: newest_metadata(instance, ModelKeys(model).release).get("bundle_digest")),
    ]


def _asked(place: str, question: Callable[[], str | None]) -> NamedChampion:
    try:
        return NamedChampion(place, in_time(question))
    except Exception as error:
        return NamedChampion(place, None, first_line(error))


def _server_champion(model: str, url: str) -> str | None:
    import httpx

    # An answer of 503 also holds the state of every model.
    document: dict[str, Any] = httpx.get(f"{url}/readyz", timeout=SERVER_TIMEOUT_SECONDS).json()
    state = document["models"].get(model) or {}
    champion: str | None = state.get("slots", {}).get("champion")
    return champion


def _repair(spec: RiskModelSpec, stores: Stores, context: dg.AssetCheckExecutionContext, release: Release) -> None:
    run_id, as_of = context.run.run_id, release.champion.as_of
    mirrors: dict[str, Callable[[], None]] = {
        "MLflow": lambda: mirror_in_mlflow(spec, stores),
        "Dagster": lambda: mirror_in_dagster(spec.name, release, context.instance),
    }
    for place, action in mirrors.items():
        attempt(stores, spec.name, as_of, run_id, f"Mirroring the release in {place}", action)
