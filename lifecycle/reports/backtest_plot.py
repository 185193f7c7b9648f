"""The plot of a backtest: the gates' metric with its interval at each date, above the drift between the dates."""

import datetime as dt
import io
from typing import TYPE_CHECKING

from lifecycle.artefacts.backtests import Backtest, RecipeResult
from lifecycle.modelling.reference import SCORE
from lifecycle.reports.plots import ACCENT, INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES, DPI = (9.0, 5.6), 100
OTHER = "#2563eb"


def backtest_plot(backtest: Backtest) -> bytes:
    """PNG of the metric and of the drift over the dates; a hollow mark is a date that a gate refused."""
    # Not pyplot: it keeps every figure alive and is not thread-safe.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    _draw_metric(above, backtest)
    _draw_drift(below, backtest)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_metric(axes: "Axes", backtest: Backtest) -> None:
    ours = [(_date(result.as_of), result.ours) for result in backtest.results]
    theirs = [(_date(result.as_of), result.against) for result in backtest.results if result.against is not None]
    _draw_recipe(axes, ours, backtest.metric, backtest.model, ACCENT, dt.timedelta(0))
    if theirs:
        _draw_recipe(axes, theirs, backtest.metric, backtest.against or "", OTHER, dt.timedelta(hours=8))
    for row in backtest.rows:
        if row.result is None:
            axes.axvline(_number(row.as_of), color=QUIET, linewidth=1, linestyle=":")
    name = backtest.metric.replace("_", " ")
    axes.set_title(
        f"{name.capitalize()} on the holdout, with {backtest.confidence:.0%} intervals", loc="left", color=INK
    )
    if theirs or any(recipe.refusals for _, recipe in ours):
        axes.legend(frameon=False, loc="best", fontsize=8)


def _draw_recipe(
    axes: "Axes", points: list[tuple[dt.date, RecipeResult]], metric: str, label: str, colour: str, shift: dt.timedelta
) -> None:
    """One recipe's values with their intervals, moved aside so that two recipes do not hide each other."""
    for is_refused in (False, True):
        shown = [(day, recipe.metrics[metric]) for day, recipe in points if bool(recipe.refusals) == is_refused]
        if not shown:
            continue
        axes.errorbar(
            [_number(day) + shift / dt.timedelta(days=1) for day, _ in shown],
            [interval.value for _, interval in shown],
            yerr=[
                [max(0.0, interval.value - interval.low) for _, interval in shown],
                [max(0.0, interval.high - interval.value) for _, interval in shown],
            ],
            fmt="o",
            color=colour,
            markerfacecolor="white" if is_refused else colour,
            capsize=3,
            linewidth=1.4,
            label=f"{label}, refused by a gate" if is_refused else label,
        )


def _draw_drift(axes: "Axes", backtest: Backtest) -> None:
    import matplotlib.dates as mdates

    drifts = [(_date(row.drift.as_of), row.drift.psi) for row in backtest.rows if row.drift is not None]
    days = [_number(day) for day, _ in drifts]
    features = [max(value for name, value in psi.items() if name != SCORE) for _, psi in drifts]
    axes.plot(days, [psi[SCORE] for _, psi in drifts], "o-", color=INK, markersize=4, label="score")
    axes.plot(days, features, "s--", color=QUIET, markersize=4, label="feature that moved most")
    axes.axhline(backtest.maximum_psi, color=ACCENT, linewidth=1, linestyle="--")
    axes.set_title("PSI of the last week against the reference of the date before", loc="left", color=INK)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 1.25), ncols=2, fontsize=8)
    dates = [_number(row.as_of) for row in backtest.rows]
    axes.set_xticks(dates[:: max(1, len(dates) // 12)])
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%Y-%m-%d"))
    axes.tick_params(axis="x", labelrotation=30, labelsize=8)


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _number(day: dt.date) -> float:
    import matplotlib.dates as mdates

    return float(mdates.date2num(day))
