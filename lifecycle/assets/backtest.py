"""The asset `NAME/backtest`: the latest backtest of a model by `lifecycle backtest`, with its table and its plot."""

from pathlib import Path

import dagster as dg

from lifecycle.artefacts.backtests import Backtest
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.labels import owners
from lifecycle.assets.plots import shown
from lifecycle.gates.outcomes import overall
from lifecycle.reports.backtest_plot import backtest_plot
from lifecycle.reports.backtest_report import PLOT, markdown, summary
from lifecycle.spec.risk_model import RiskModelSpec


def backtest_spec(spec: RiskModelSpec) -> dg.AssetSpec:
    """The asset; the command line makes it, no run."""
    return dg.AssetSpec(
        ModelKeys(spec.name).backtest,
        group_name=spec.name,
        owners=owners(spec),
        tags={"model": spec.name, "stage": "training"},
        kinds={"lightgbm"},
        description=f"The latest backtest of {spec.name} by `lifecycle backtest`: metrics with intervals, gates and "
        "drift over its dates. It registers, releases and alerts nothing.",
    )


def report_backtest(instance: dg.DagsterInstance, backtest: Backtest, html: Path | None) -> None:
    """Show a backtest on its asset."""
    results = backtest.results
    metadata: dict[str, dg.MetadataValue | int | float | str] = {
        "summary": summary(backtest),
        "dates": dg.MetadataValue.md(markdown(backtest)),
        "computed_dates": len(results),
        "refused_dates": sum(overall(result.ours.verdicts) == "FAIL" for result in results),
        "inconclusive_dates": sum(overall(result.ours.verdicts) == "INCONCLUSIVE" for result in results),
        "folder": dg.MetadataValue.path(str(backtest.folder)),
    }
    if backtest.against:
        metadata["against"] = backtest.against
    if results:
        metadata |= shown({PLOT: backtest_plot(backtest)})
    if html is not None:
        metadata["page"] = dg.MetadataValue.path(str(html))
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            ModelKeys(backtest.model).backtest, metadata=metadata, description=f"Backtest: {summary(backtest)}"
        )
    )
