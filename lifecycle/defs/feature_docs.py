"""Freshness checks of dbt's sources, and the dbt documentation as an asset."""

from collections.abc import Iterator, Sequence

import dagster as dg

from lifecycle.assets.keys import WAREHOUSE_POOL
from lifecycle.assets.schedules import default_status
from lifecycle.defs.features import mart_key
from lifecycle.features.docs import write_docs
from lifecycle.features.freshness import SourceFreshness, read_freshness
from lifecycle.features.manifest import ensure_manifest
from lifecycle.features.nodes import SourceNode, read_nodes
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import Models
from lifecycle.warehouse import Use

FRESHNESS_CRON = "0 */6 * * *"
"""The limits are 30 hours or more; a stale source is detected within six hours of its limit."""
FRESHNESS = "is_fresh"
DATA_OWNERS = ["team:data engineering"]
"""As `dbt_project.yml` names the owners of the dbt models."""


def source_key(table: str) -> dg.AssetKey:
    """Asset of a raw table, under the key that the models depend on."""
    return dg.AssetKey(["raw", table])


def documentation_asset(marts: Sequence[str]) -> dg.AssetsDefinition:
    """The page that documents the dbt project, after these models."""

    @dg.asset(
        key=["dbt", "documentation"],
        group_name="dbt",
        deps=[mart_key(model) for model in marts],
        pool=WAREHOUSE_POOL,
        owners=DATA_OWNERS,
        tags={"layer": "documentation"},
        kinds={"dbt"},
    )
    def documentation(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Page with every model, column and test of the dbt project, and their graph."""
        path = write_docs(Settings(), Use(step="transform", asset="dbt/documentation", run_id=context.run.run_id))
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.url(path.as_uri()),
                "path": dg.MetadataValue.path(str(path)),
                "size_bytes": path.stat().st_size,
            }
        )

    return documentation


def freshness_checks(sources: Sequence[SourceNode]) -> dg.AssetChecksDefinition:
    """A check of each source that has limits."""
    limited = {source.relation: _key(source) for source in sources if source.is_limited}

    @dg.multi_asset_check(
        name="check_source_freshness",
        specs=[
            dg.AssetCheckSpec(
                FRESHNESS, asset=key, description="The last load is not older than the limit of dbt's source."
            )
            for key in limited.values()
        ],
        pool=WAREHOUSE_POOL,
    )
    def source_freshness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Age of each source's last load, compared with the limits of the dbt project."""
        use = Use(step="transform", asset="source_freshness", run_id=context.run.run_id)
        for source in read_freshness(Settings(), use):
            if source.relation in limited:
                yield _check_result(source, limited[source.relation])

    return source_freshness


def _key(source: SourceNode) -> dg.AssetKey:
    return dg.AssetKey(source.relation.split("."))


def _check_result(source: SourceFreshness, key: dg.AssetKey) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=FRESHNESS,
        asset_key=key,
        passed=source.status in {"pass", "unused"},
        severity=dg.AssetCheckSeverity.WARN if source.status == "warn" else dg.AssetCheckSeverity.ERROR,
        description=source.fault,
        metadata={
            "status": source.status,
            "loaded_at": source.loaded_at.isoformat() if source.loaded_at else "never",
            "age_hours": source.age_hours,
            "warn_after_hours": source.warn_after_hours,
            "error_after_hours": source.error_after_hours,
        },
    )


def defs(models: Models) -> dg.Definitions:
    """The documentation, the sources with their checks, and a job that checks them with its schedule."""
    sources = read_nodes(ensure_manifest(Settings())).read_sources()
    assets = [
        dg.AssetSpec(
            _key(source),
            group_name="raw",
            description=f"{source.description.removesuffix('.')}, as loaded.",
            owners=DATA_OWNERS,
            tags={"layer": "raw"},
            kinds={Settings().target, "table"},
        )
        for source in sources
    ]
    relations = {name for spec in models.valid.values() for name in spec.relations}
    documentation = documentation_asset(sorted(relations))
    if not any(source.is_limited for source in sources):
        return dg.Definitions(assets=[*assets, documentation])
    checks = freshness_checks(sources)
    job = dg.define_asset_job(
        "source_freshness",
        selection=dg.AssetSelection.checks_for_assets(*(asset.key for asset in assets)),
        description="Checks that no raw table is stale.",
    )
    schedule = dg.ScheduleDefinition(
        name="source_freshness_schedule",
        job=job,
        cron_schedule=FRESHNESS_CRON,
        default_status=default_status(),
    )
    return dg.Definitions(assets=[*assets, documentation], asset_checks=[checks], jobs=[job], schedules=[schedule])
