"""`RiskModel`: one YAML file and one mart become assets, checks, jobs, a schedule and a sensor."""

from typing import Self

import dagster as dg
from pydantic import BaseModel, ValidationError

from lifecycle.assets.champion_check import champion_check, champion_job, champion_schedule
from lifecycle.assets.monitoring import monitoring_assets
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.retraining import jobs, monitor_schedule, retrain_sensor
from lifecycle.assets.rollout import release_asset
from lifecycle.assets.training import candidate_asset, training_set_asset
from lifecycle.assets.validation import gate_checks
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.mart_contract import check_columns
from lifecycle.spec.model_files import describe
from lifecycle.spec.risk_model import RiskModelSpec


class RiskModel(dg.Component):
    """A risk model: features, label and its maturity, windows, search, alert capacity, gates, promotion, drift."""

    def __init__(self, spec: RiskModelSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of the `attributes` in `defs.yaml`."""
        return RiskModelSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Read the attributes, with the overrides of the active profile.

        Raises
        ------
        LifecycleError
            If the file or its profile is not a valid specification.
        """
        where = context.path / "defs.yaml"
        if not isinstance(attributes, RiskModelSpec):
            raise LifecycleError(f"Expected the attributes of a risk model, got no attributes - in {where}")
        try:
            return cls(attributes.with_profile(Settings().profile))
        except ValidationError as error:
            raise LifecycleError(f"{describe(error)} - in {where}") from error
        except ValueError as error:
            raise LifecycleError(f"{error} - in {where}") from error

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """All Dagster definitions of this model."""
        spec = self.spec
        check_columns(spec, Settings().dbt_project_dir, f"{context.path / 'defs.yaml'}")
        gates = gate_checks(spec)
        retrain, monitor = jobs(spec, gates)
        check = champion_check(spec)
        champion = champion_job(spec, check)
        return dg.Definitions(
            assets=[
                training_set_asset(spec),
                candidate_asset(spec),
                model_version_asset(spec),
                release_asset(spec),
                *monitoring_assets(spec),
            ],
            asset_checks=[gates, check],
            jobs=[retrain, monitor, champion],
            schedules=[monitor_schedule(spec, monitor), champion_schedule(spec, champion)],
            sensors=[retrain_sensor(spec, retrain)],
        )
