"""The Dagster definitions of a model, and those of a model whose file cannot be used."""

import datetime as dt
import hashlib
import re
from collections.abc import Sequence

import dagster as dg

from lifecycle.assets.approving import approval_sensor, approve_job, release_job
from lifecycle.assets.backtest import backtest_spec
from lifecycle.assets.champion_check import champion_check, champion_job, champion_schedule
from lifecycle.assets.monitoring import monitoring_assets
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.retraining import jobs, monitor_schedule, retrain_sensor
from lifecycle.assets.rollout import release_asset
from lifecycle.assets.training import candidate_asset, training_set_asset
from lifecycle.assets.validation import gate_checks
from lifecycle.monitoring.alerts import faulty_model_alert
from lifecycle.releases.alert_log import raise_once
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import FaultyModel
from lifecycle.spec.risk_model import RiskModelSpec

IS_VALID = "is_valid"


def model_definitions(spec: RiskModelSpec) -> dg.Definitions:
    """Assets, checks, jobs, schedules and the sensors of a model."""
    gates = gate_checks(spec)
    retrain, monitor = jobs(spec, gates)
    release = release_job(spec)
    check = champion_check(spec)
    champion = champion_job(spec, check)
    return dg.Definitions(
        assets=[
            training_set_asset(spec),
            candidate_asset(spec),
            model_version_asset(spec),
            release_asset(spec),
            backtest_spec(spec),
            *monitoring_assets(spec),
        ],
        asset_checks=[gates, check],
        jobs=[retrain, monitor, champion, approve_job(spec), release],
        schedules=[monitor_schedule(spec, monitor), champion_schedule(spec, champion)],
        sensors=[retrain_sensor(spec, retrain), approval_sensor(spec, release)],
    )


def faulty_definitions(faulty: Sequence[FaultyModel]) -> dg.Definitions:
    """A placeholder for each model that is left out, with a check that fails, and the sensor that raises the alert."""
    if not faulty:
        return dg.Definitions()
    placeholders = [placeholder(model) for model in faulty]
    return dg.Definitions(
        assets=[asset for asset, _ in placeholders],
        asset_checks=[check for _, check in placeholders],
        sensors=[fault_sensor(faulty)],
    )


def placeholder(model: FaultyModel) -> tuple[dg.AssetSpec, dg.AssetChecksDefinition]:
    """An asset under the model's name, and the check that says what is wrong with its file or package."""
    key = model_file_key(model.name)
    asset = dg.AssetSpec(
        key,
        group_name=key.path[0],
        description=f"**It is left out**; the other models run. {model.message}",
        kinds={"yaml"},
        tags={"model": key.path[0], "stage": "faulty"},
    )

    @dg.asset_check(asset=key, name=IS_VALID, description="The model's file can be used.")
    def is_valid() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description=model.message)

    return asset, is_valid


def fault_sensor(faulty: Sequence[FaultyModel]) -> dg.SensorDefinition:
    """Shows each fault once as a failed check, and raises its alert; a changed fault is another one."""
    digest = hashlib.sha256("\n".join(model.message for model in faulty).encode()).hexdigest()

    @dg.sensor(name="faulty_models", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if context.cursor == digest:
            return dg.SkipReason("Each fault is shown")
        settings, now = Settings(), dt.datetime.now(dt.UTC)
        for model in faulty:
            raise_once(settings, faulty_model_alert(model.name, model.message, now))
        evaluations = [
            dg.AssetCheckEvaluation(
                asset_key=model_file_key(model.name), check_name=IS_VALID, passed=False, description=model.message
            )
            for model in faulty
        ]
        return dg.SensorResult(asset_events=evaluations, cursor=digest)

    return sensor


def model_file_key(name: str) -> dg.AssetKey:
    """Key of a placeholder; Dagster allows letters, digits and underscores in the name of a group."""
    return dg.AssetKey([re.sub(r"\W", "_", name, flags=re.ASCII), "model_file"])
