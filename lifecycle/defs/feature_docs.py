"""Freshness checks of dbt's sources, and the dbt documentation as an asset."""

from collections.abc import Iterator

import dagster as dg

from lifecycle.assets.keys import WAREHOUSE_POOL
from lifecycle.assets.schedules import default_status
from lifecycle.defs.features import mart_key
from lifecycle.features.docs import write_docs
from lifecycle.features.freshness import SourceFreshness, read_freshness
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use

FRESHNESS_CRON = "0 */6 * * *"
"""The limits are 30 hours or more; a stale source is detected within six hours of its limit."""

MARTS = ("card_transaction_features", "card_fraud_outcomes")
SOURCES = {
    "card_transactions": "One row per card transaction, as loaded.",
    "fraud_reports": "One row per transaction that was reported as fraudulent, as loaded.",
}
RARE_SOURCES = {"report_withdrawals": "One row per withdrawal of a transaction's reports, as loaded."}
"""Sources that may be without a load for any time, so that their age says nothing."""
FRESHNESS = "is_fresh"
DATA_OWNERS = ["team:data engineering"]
"""As `dbt_project.yml` names the owners of the dbt models."""


def source_key(table: str) -> dg.AssetKey:
    """Asset of a raw table, under the key that the models depend on."""
    return dg.AssetKey(["raw", table])


@dg.asset(
    key=["dbt", "documentation"],
    group_name="dbt",
    deps=[mart_key(model) for model in MARTS],
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


@dg.multi_asset_check(
    name="check_source_freshness",
    specs=[
        dg.AssetCheckSpec(
            FRESHNESS, asset=source_key(table), description="The last load is not older than the limit of dbt's source."
        )
        for table in SOURCES
    ],
    pool=WAREHOUSE_POOL,
)
def source_freshness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Age of each source's last load, compared with the limits of the dbt project."""
    use = Use(step="transform", asset="source_freshness", run_id=context.run.run_id)
    for source in read_freshness(Settings(), use):
        yield _check_result(source)


def _check_result(source: SourceFreshness) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=FRESHNESS,
        asset_key=source_key(source.relation.partition(".")[2]),
        passed=source.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if source.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata={
            "loaded_at": source.loaded_at.isoformat() if source.loaded_at else "never",
            "age_hours": source.age_hours,
            "warn_after_hours": source.warn_after_hours,
            "error_after_hours": source.error_after_hours,
        },
    )


def defs() -> dg.Definitions:
    """The documentation, the sources with their checks, and a job that checks them with its schedule."""
    sources = [
        dg.AssetSpec(
            source_key(table),
            group_name="raw",
            description=description,
            owners=DATA_OWNERS,
            tags={"layer": "raw"},
            kinds={Settings().target, "table"},
        )
        for table, description in (SOURCES | RARE_SOURCES).items()
    ]
    job = dg.define_asset_job(
        "source_freshness",
        selection=dg.AssetSelection.checks_for_assets(*(source.key for source in sources)),
        description="Checks that no raw table is stale.",
    )
    schedule = dg.ScheduleDefinition(
        name="source_freshness_schedule",
        job=job,
        cron_schedule=FRESHNESS_CRON,
        default_status=default_status(),
    )
    return dg.Definitions(
        assets=[*sources, documentation], asset_checks=[source_freshness], jobs=[job], schedules=[schedule]
    )
