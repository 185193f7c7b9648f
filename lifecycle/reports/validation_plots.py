"""Plots of a validation report as data URIs, by the gate or the section that they belong to."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lifecycle.artefacts.candidates import CandidateEvaluation
from lifecycle.artefacts.paired_holdouts import PairedHoldouts
from lifecycle.gates.candidate_gates import fair_by_group, servable
from lifecycle.reports.fairness_plots import fairness_plots
from lifecycle.reports.plots import ACCENT, INK, QUIET, model_plots, picture
from lifecycle.reports.servable_plots import budget_plot
from lifecycle.spec.examples import LabelNames
from serving.contract.documents import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OF_GATES = {
    "above_floor": ("precision_recall", "roc"),
    "bounded_declines": ("score_distribution",),
    "calibrated": ("calibration",),
}
"""Plots of the holdout that a gate's verdict rests on."""
IMPORTANCE, PERFORMANCE = "importance", "performance"
"""Sections with plots of their own."""
Plots = dict[str, tuple[tuple[str, str], ...]]
"""Alternative text and data URI of each plot, by gate or section."""


def validation_plots(
    evaluation: CandidateEvaluation, verdicts: Mapping[str, Verdict], names: LabelNames, paired: PairedHoldouts | None
) -> Plots:
    """Every plot that exists for the candidate."""
    holdout = model_plots(evaluation.curves, evaluation.importance, names)
    plots: Plots = {gate: tuple(_shown(name, holdout[name]) for name in shown) for gate, shown in OF_GATES.items()}
    plots[IMPORTANCE] = (_shown("importance", holdout["importance"]),)
    for gate in ("beats_baseline", "not_worse_than_champion"):
        if gate in verdicts and _has_interval(verdicts[gate]):
            plots[gate] = (
                _shown("difference with its limit", picture(_difference, verdicts[gate], size_inches=(5, 1.8))),
            )
    if fair_by_group.NAME in verdicts:
        drawn = fairness_plots(verdicts[fair_by_group.NAME])
        plots[fair_by_group.NAME] = tuple(_shown(name, png) for name, png in drawn.items())
    if servable.NAME in verdicts:
        drawn = budget_plot(verdicts[servable.NAME])
        plots[servable.NAME] = tuple(_shown(name, png) for name, png in drawn.items())
    if paired is not None:
        plots[PERFORMANCE] = (_shown("challenger and champion", picture(_side_by_side, paired)),)
    return plots


def _shown(name: str, png: bytes) -> tuple[str, str]:
    return name.replace("_", " "), f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _has_interval(verdict: Verdict) -> bool:
    return all(verdict.observed.get(name) is not None for name in ("difference", "low", "high"))


def _difference(axes: "Axes", verdict: Verdict) -> None:
    value, low, high = (float(verdict.observed[name]) for name in ("difference", "low", "high"))
    limit = float(verdict.required.get("low_above", 0.0))
    axes.axvline(limit, color=INK, linewidth=1.2, linestyle="--", label=f"limit {limit:g}")
    axes.errorbar([value], [0], xerr=[[value - low], [high - value]], fmt="o", color=ACCENT, capsize=4)
    axes.set(title=f"Difference of {verdict.required['metric'].replace('_', ' ')}", yticks=[], ylim=(-1, 1))
    axes.margins(x=0.15)
    axes.legend(frameon=False, fontsize=8)


def _side_by_side(axes: "Axes", paired: PairedHoldouts) -> None:
    names = [name for name in paired.first.metrics if name in paired.second.metrics]
    for shift, colour, label, side in (
        (-0.12, ACCENT, "challenger", paired.first),
        (0.12, QUIET, "champion", paired.second),
    ):
        for row, name in enumerate(names):
            metric = side.metrics[name]
            axes.plot([metric.low, metric.high], [row + shift] * 2, color=colour, linewidth=2)
            axes.plot([metric.value], [row + shift], "o", color=colour, label=label if row == 0 else None)
    axes.set(title="Metrics on the same unseen rows", yticks=range(len(names)))
    axes.set_yticklabels([name.replace("_", " ") for name in names], fontsize=7)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8)
