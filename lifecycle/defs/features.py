"""The dbt project in Dagster: one asset a model, its tests as asset checks, partitioned by the day of `occurred_at`."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import dagster as dg

from lifecycle.assets.keys import WAREHOUSE_POOL
from lifecycle.features.builds import count_rows, run_build
from lifecycle.features.dagster_dbt_without_dbt import DagsterDbtTranslator, dbt_assets
from lifecycle.features.dbt import DbtRun, NodeRun
from lifecycle.features.manifest import ensure_manifest
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import read_specs
from lifecycle.warehouse import Use, open_warehouse

UNIQUE_ID = "dagster_dbt/unique_id"
"""Metadata key under which dagster-dbt notes the dbt node of an asset or a check."""

SCHEDULE_HOUR_UTC = 1

Result = dg.MaterializeResult[Any] | dg.AssetCheckResult

feature_days = dg.DailyPartitionsDefinition(
    start_date=min(spec.first_date for spec in read_specs(Settings().profile).values()), timezone="UTC"
)
"""Days of `occurred_at`, from the earliest `first_date` of the models up to yesterday."""


def mart_key(model: str) -> dg.AssetKey:
    """Asset of a mart, by the name of its dbt model."""
    return dg.AssetKey(["marts", model])


class LayerTranslator(DagsterDbtTranslator):  # type: ignore[misc] # dagster-dbt is untyped here
    """Assets are named and grouped by their layer: ``marts/card_transaction_features`` in the group ``marts``."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The model's folder, which is also its schema."""
        return str(dbt_resource_props["fqn"][1])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The description, which opens with the grain."""
        return str(dbt_resource_props["description"])


@dg.definitions
def defs() -> dg.Definitions:
    """Models and tests of dbt, a job that builds them, and its daily schedule."""
    built = feature_assets(Settings())
    job = dg.define_asset_job(
        "features",
        selection=dg.AssetSelection.assets(*built.keys),
        description="Builds and tests the features of a range of days.",
    )
    # Stopped until someone starts it: it holds the warehouse while it runs, and yesterday has rows only where something
    # loads them every day, which a demonstration in the past does not.
    schedule = dg.build_schedule_from_partitioned_job(
        job,
        name="features_daily",
        hour_of_day=SCHEDULE_HOUR_UTC,
        description="Builds yesterday's features.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    return dg.Definitions(assets=[built], jobs=[job], schedules=[schedule])


def feature_assets(settings: Settings) -> dg.AssetsDefinition:
    """One asset for each model of the dbt project.

    A backfill of any range is one run of dbt: its days cost less together, since each start of dbt takes seconds and
    each range reads the look-back before it. Two runs never meet in the warehouse: they share its pool and its lock.
    """

    @dbt_assets(  # type: ignore[untyped-decorator] # dagster-dbt is untyped here
        manifest=ensure_manifest(settings),
        name="dbt_features",
        partitions_def=feature_days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=WAREHOUSE_POOL,
        dagster_dbt_translator=LayerTranslator(),
    )
    def dbt_features(context: dg.AssetExecutionContext) -> Iterator[Result]:
        yield from _build_selected(context, everything=dbt_features.keys)

    return dbt_features  # type: ignore[no-any-return]


def _build_selected(context: dg.AssetExecutionContext, everything: AbstractSet[dg.AssetKey]) -> Iterator[Result]:
    """Build what this run selects, on its partitions' days; what dbt finished is reported also if it failed later."""
    assets = context.assets_def
    window = context.partition_time_window
    start_date, end_date = window.start.date(), window.end.date()
    models = {str(assets.specs_by_key[key].metadata[UNIQUE_ID]): key for key in context.selected_asset_keys}
    checks = {str(spec.metadata[UNIQUE_ID]): spec.key for spec in assets.check_specs}
    selected = {node: key for node, key in checks.items() if key in context.selected_asset_check_keys}
    context.log.info(f"building the days [{start_date}, {end_date})")
    use = Use(step="transform", asset="dbt_features", run_id=context.run.run_id)
    warehouse = open_warehouse(Settings(), use)
    with warehouse.exclusive(f"run {context.run.run_id[:8]}: building features"):
        run = run_build(
            Settings(),
            start_date,
            end_date,
            select=_selection(everything, models, selected),
            on_node=partial(_log_node, context),
            use=use,
        )
        relations = [f"{models[node.unique_id].path[0]}.{node.name}" for node in run.models if not node.is_failed]
        dated = [relation for relation in relations if "occurred_at" in warehouse.columns(relation)]
        rows = count_rows(warehouse, dated, start_date, end_date) if dated else {}
    yield from _results(run, models, selected, rows)
    run.expect_success("to build the features")


def _selection(
    everything: AbstractSet[dg.AssetKey], models: Mapping[str, dg.AssetKey], checks: Mapping[str, dg.AssetCheckKey]
) -> list[str]:
    """What to tell dbt to select: nothing for everything, else models, and tests whose model is not selected itself."""
    if set(models.values()) == everything:
        return []
    alone = [node for node, key in checks.items() if key.asset_key not in models.values()]
    return [node.split(".")[2] for node in [*models, *alone]]


def _log_node(context: dg.AssetExecutionContext, node: NodeRun) -> None:
    """A line in the run's log for each model and test."""
    context.log.info(f"{node.index} of {node.total}: {node.kind} {node.name} {node.status} in {node.seconds:.2f} s")


def _results(
    run: DbtRun,
    models: Mapping[str, dg.AssetKey],
    checks: Mapping[str, dg.AssetCheckKey],
    rows: Mapping[str, int],
) -> Iterator[Result]:
    """What dbt says, as Dagster's results: models that were built, then tests that ran."""
    for node in run.nodes:
        if node.unique_id in models and node.status == "success":
            key = models[node.unique_id]
            metadata: dict[str, Any] = {"execution_seconds": node.seconds}
            if (count := rows.get(f"{key.path[0]}.{node.name}")) is not None:
                metadata["dagster/partition_row_count"] = count
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    for node in run.nodes:
        if node.unique_id in checks and node.status in {"pass", "warn", "fail", "error"}:
            check = checks[node.unique_id]
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=node.status == "pass",
                severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
                metadata={"execution_seconds": node.seconds, "message": node.message or ""},
            )
