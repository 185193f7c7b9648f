"""Plots of decisions by group with the limits of the gate `fair_by_group`, as PNG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lifecycle.reports.plots import ACCENT, INK, QUIET, picture
from serving.contract.documents import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECISION = "stopped"
"""The adverse decision that is drawn: reviewed or declined."""


def fairness_plots(verdict: Verdict) -> dict[str, bytes]:
    """Favourable and false positive rate of each judged group, each with the limit that applies to its partition."""
    judged = [row for row in verdict.observed.get("groups", ()) if row["outcome"] == "JUDGED"]
    if not judged:
        return {}
    ratio = verdict.required["minimum_impact_ratio"]
    difference = verdict.required["maximum_opportunity_difference"]
    favourable = [1 - row[f"{DECISION}_selection_rate"] for row in judged]
    stopped = [row[f"{DECISION}_fpr"] or 0.0 for row in judged]
    best, least = _by_partition(judged, favourable, max), _by_partition(judged, stopped, min)
    return {
        "favourable_rate": picture(
            _bars, judged, favourable, [None if ratio is None else ratio * value for value in best],
            "Approved at once, share of the rows", "below",
        ),
        "false_positive_rate": picture(
            _bars, judged, stopped, [None if difference is None else difference + value for value in least],
            "Stopped without the event, share of those without", "above",
        ),
    }  # fmt: skip


def _by_partition(rows: Sequence[dict[str, Any]], values: Sequence[float], pick: Any) -> list[float]:
    """The extreme of the row's own partition, for each row."""
    by_name: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        by_name.setdefault(row["partition"], []).append(value)
    return [pick(by_name[row["partition"]]) for row in rows]


def _bars(
    axes: "Axes",
    rows: Sequence[dict[str, Any]],
    values: Sequence[float],
    limits: Sequence[float | None],
    title: str,
    beyond: str,
) -> None:
    names = [f"{row['partition']} = {row['group']}" for row in rows]
    is_beyond = [
        limit is not None and (value < limit if beyond == "below" else value > limit)
        for value, limit in zip(values, limits, strict=True)
    ]
    axes.barh(names, values, color=[ACCENT if is_out else QUIET for is_out in is_beyond])
    for position, limit in enumerate(limits):
        if limit is not None:
            axes.vlines(limit, position - 0.4, position + 0.4, color=INK, linewidth=1.4)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(title=title)
