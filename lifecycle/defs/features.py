"""The dbt project in Dagster: one asset a model, its tests as asset checks, partitioned by the day of `occurred_at`."""

import datetime as dt
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from lifecycle.assets.feature_schedule import ModelFeatures, feature_schedule
from lifecycle.assets.keys import WAREHOUSE_POOL
from lifecycle.assets.partitions import first_day
from lifecycle.features.builds import count_daily_rows, run_build
from lifecycle.features.dagster_dbt_without_dbt import DagsterDbtTranslator, DbtCoreCliEventMessage, dbt_assets
from lifecycle.features.dbt import NodeRun
from lifecycle.features.manifest import ensure_manifest
from lifecycle.features.nodes import read_nodes
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import Models
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.reading.first_day import note_first_day

UNIQUE_ID = "dagster_dbt/unique_id"
"""Metadata key of dagster-dbt for the dbt node of an asset or a check."""
ROW_COUNT = "dagster/partition_row_count"

SCHEDULE_AT = "01:00"
"""UTC."""

Result = dg.Output[Any] | dg.AssetCheckResult | dg.AssetObservation


def mart_key(model: str) -> dg.AssetKey:
    """Asset of a mart, by the name of its dbt model."""
    return dg.AssetKey(["marts", model])


class LayerTranslator(DagsterDbtTranslator):  # type: ignore[misc] # dagster-dbt is untyped here
    """Names and groups assets by their layer: a mart is ``marts/NAME`` in the group ``marts``."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The model's folder, which is also its schema."""
        return str(dbt_resource_props["fqn"][1])

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The layer, by which the catalogue can be filtered."""
        return {"layer": str(dbt_resource_props["fqn"][1])}

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The description, which opens with the grain."""
        return str(dbt_resource_props["description"])


def defs(models: Models) -> dg.Definitions:
    """Models and tests of dbt, a job that builds them, and its daily schedule."""
    built = feature_assets(Settings(), feature_days(models))
    job = dg.define_asset_job(
        "features",
        selection=dg.AssetSelection.assets(*built.keys),
        description="Builds and tests the features of a range of days.",
    )
    schedule = feature_schedule("features_daily", job, model_features(models, built), SCHEDULE_AT)
    return dg.Definitions(assets=[built], jobs=[job], schedules=[schedule])


def model_features(models: Models, built: dg.AssetsDefinition) -> dict[str, ModelFeatures]:
    """The features of each model; without a model, those of the first asset and all others."""
    nodes = read_nodes(ensure_manifest(Settings()))
    by_node = {built.specs_by_key[key].metadata[UNIQUE_ID]: key for key in built.keys}
    found = {
        name: ModelFeatures(
            mart_key(spec.mart),
            frozenset(by_node[node] for node in nodes.upstream(set(spec.relations)) if node in by_node),
        )
        for name, spec in models.valid.items()
    }
    return found or {"": ModelFeatures(min(built.keys), frozenset(built.keys))}


def feature_days(models: Models) -> dg.DailyPartitionsDefinition:
    """Days of `occurred_at`, from the earliest first day of the models up to yesterday; without a model, no day."""
    start = min((first_day(spec) for spec in models.valid.values()), default=dt.datetime.now(dt.UTC).date())
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC")


def feature_assets(settings: Settings, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """One asset for each model of the dbt project.

    A backfill of any range is one dbt run, because each start of dbt takes seconds and each range reads the look-back
    before it. Two runs never use the warehouse at once: they share its pool and its lock.
    """
    manifest = ensure_manifest(settings)

    @dbt_assets(  # type: ignore[untyped-decorator] # dagster-dbt is untyped here
        manifest=manifest,
        name="dbt_features",
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=WAREHOUSE_POOL,
        dagster_dbt_translator=LayerTranslator(),
    )
    def dbt_features(context: dg.AssetExecutionContext) -> Iterator[Result]:
        yield from _build_selected(context, manifest, everything=dbt_features.keys)

    return dbt_features  # type: ignore[no-any-return]


def _build_selected(
    context: dg.AssetExecutionContext, manifest: Path, everything: AbstractSet[dg.AssetKey]
) -> Iterator[Result]:
    """Build the selected models on the partitions' days; finished nodes are reported even if a later one fails."""
    window = context.partition_time_window
    start_date, end_date = window.start.date(), window.end.date()
    context.log.info(f"building the days [{start_date}, {end_date})")
    use = Use(step="transform", asset="dbt_features", run_id=context.run.run_id)
    warehouse = open_warehouse(Settings(), use)
    with warehouse.exclusive(f"run {context.run.run_id[:8]}: building features"):
        run = run_build(
            Settings(),
            start_date,
            end_date,
            select=_selection(context, everything),
            on_node=partial(_log_node, context),
            use=use,
        )
        built = {node.relation: node.day_column for node in run.models if not node.is_failed}
        dated = {relation: column for relation, column in built.items() if column in warehouse.columns(relation)}
        note_first_day(warehouse, Settings().root)
        rows = count_daily_rows(warehouse, dated, start_date, end_date)
    for node in run.nodes:
        event = DbtCoreCliEventMessage(node.event, event_history_metadata={})
        for result in event.to_default_asset_events(manifest, LayerTranslator(), context):
            if isinstance(result, dg.Output) and node.relation in rows:
                key = context.asset_key_for_output(result.output_name)
                _show_daily_rows(context, key, rows[node.relation])
            yield result
    run.expect_success("to build the features")


def _show_daily_rows(context: dg.AssetExecutionContext, key: dg.AssetKey, rows: Mapping[dt.date, int]) -> None:
    """Show each partition of the run its own day's rows: what an output carries is shown for every day."""
    for day in context.partition_keys:
        count = rows.get(dt.date.fromisoformat(day), 0)
        context.add_asset_metadata({ROW_COUNT: count}, asset_key=key, partition_key=day)


def _selection(context: dg.AssetExecutionContext, everything: AbstractSet[dg.AssetKey]) -> list[str]:
    """Names that dbt selects: none for everything, else models, and tests whose model is not selected itself."""
    assets = context.assets_def
    if context.selected_asset_keys == everything:
        return []
    nodes = [assets.specs_by_key[key].metadata[UNIQUE_ID] for key in context.selected_asset_keys]
    nodes += [
        check.metadata[UNIQUE_ID]
        for check in assets.check_specs
        if check.key in context.selected_asset_check_keys and check.asset_key not in context.selected_asset_keys
    ]
    return [str(node).split(".")[2] for node in nodes]


def _log_node(context: dg.AssetExecutionContext, node: NodeRun) -> None:
    context.log.info(f"{node.index} of {node.total}: {node.kind} {node.name} {node.status} in {node.seconds:.2f} s")
