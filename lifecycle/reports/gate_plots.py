"""The plots that belong to a gate's verdict."""

from lifecycle.reports.fairness_plots import fairness_plots
from lifecycle.reports.servable_plots import budget_plot
from lifecycle.reports.slice_plots import slice_plots
from serving.contract.documents import Verdict


def gate_plots(verdict: Verdict) -> dict[str, bytes]:
    """PNGs by name; empty for a gate without plots, and if it judged or measured nothing."""
    return fairness_plots(verdict) | slice_plots(verdict) | budget_plot(verdict)
