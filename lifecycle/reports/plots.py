"""Plots of a model and of its live traffic, as PNG."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lifecycle.modelling.curves import Curves
from lifecycle.spec.examples import LabelNames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, ACCENT, QUIET = "#1d2430", "#c2410c", "#94a3b8"
Series = Mapping[str, Sequence[float]]


def model_plots(curves: Curves, importance: Mapping[str, float], names: LabelNames) -> dict[str, bytes]:
    """ROC, precision and recall, calibration and scores of a candidate on its holdout, and its feature importance."""
    return {
        "roc": picture(_line, curves.roc, "false_positive_rate", "true_positive_rate", "ROC, holdout"),
        "precision_recall": picture(
            _line, curves.precision_recall, "recall", "precision", "Precision and recall, holdout"
        ),
        "calibration": picture(_calibration, curves.calibration, names),
        "score_distribution": picture(_histogram, curves.histogram, names),
        "importance": picture(_bars, importance, "Share of the gain"),
    }


def psi_plot(psi: Mapping[str, float], limit: float) -> bytes:
    """PSI of every feature and of the score, with the limit."""
    return picture(_bars, psi, "PSI against the training set", limit)


def picture(
    draw: Callable[..., None], *arguments: Any, size_inches: tuple[float, float] = (5, 3.4), dpi: int = 90
) -> bytes:
    """PNG of what ``draw(axes, *arguments)`` draws."""
    # Not pyplot: it keeps every figure alive and is not thread-safe.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=size_inches, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes, *arguments)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _line(axes: "Axes", series: Series, x: str, y: str, title: str) -> None:
    axes.plot(series[x], series[y], color=ACCENT, linewidth=1.6)
    axes.set(title=title, xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), xlim=(0, 1), ylim=(0, 1.02))


def _calibration(axes: "Axes", series: Series, names: LabelNames) -> None:
    top = max([*series["mean_score"], *series["positive_share"], 1e-3]) * 1.1
    axes.plot([0, top], [0, top], color=QUIET, linewidth=1, linestyle="--")
    axes.plot(series["mean_score"], series["positive_share"], "o-", color=ACCENT, markersize=4)
    axes.set(
        title="Calibration, holdout",
        xlabel="mean score",
        ylabel=f"share of {names.positive} examples",
        xlim=(0, top),
        ylim=(0, top),
    )


def _histogram(axes: "Axes", series: Series, names: LabelNames) -> None:
    edges = [max(edge, 1e-6) for edge in series["edges"]]
    for name, colour, label in (("negative", QUIET, names.negative), ("positive", ACCENT, names.positive)):
        axes.stairs(series[name], edges, fill=True, color=colour, alpha=0.7, label=label)
    axes.set(title="Scores, holdout", xlabel="score", ylabel="examples", xscale="log", yscale="log")
    axes.minorticks_off()  # Their layout takes longer than all the rest of the picture.
    axes.legend(frameon=False)


def _bars(axes: "Axes", values: Mapping[str, float], title: str, limit: float | None = None) -> None:
    ordered = sorted(values.items(), key=lambda item: item[1])[-20:]
    names, heights = [name for name, _ in ordered], [value for _, value in ordered]
    colours = [ACCENT if limit is not None and value > limit else INK if limit is None else QUIET for value in heights]
    axes.barh(names, heights, color=colours)
    axes.tick_params(axis="y", labelsize=7)
    axes.set(title=title)
    if limit is not None:
        axes.axvline(limit, color=INK, linewidth=1, linestyle="--")
