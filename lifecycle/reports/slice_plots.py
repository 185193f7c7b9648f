"""The gain of a candidate over its rival on each slice, as PNG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lifecycle.reports.plots import ACCENT, INK, QUIET, picture
from serving.contract.documents import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def slice_plots(verdict: Verdict) -> dict[str, bytes]:
    """The gain in the ranking metric on each judged slice with its interval; empty without a judged slice."""
    judged = [row for row in verdict.observed.get("slices", ()) if row.get("metric") is not None]
    if not judged:
        return {}
    title = f"{judged[0]['metric'].replace('_', ' ')}: gain over the {verdict.observed['against']}"
    return {"gain_by_slice": picture(_intervals, judged, title)}


def _intervals(axes: "Axes", rows: Sequence[dict[str, Any]], title: str) -> None:
    for position, row in enumerate(rows):
        gain = row["ranking"]
        colour = ACCENT if gain["high"] < 0 or row["brier"]["high"] < 0 else INK
        axes.hlines(position, gain["low"], gain["high"], color=colour, linewidth=1.4)
        axes.plot([gain["gain"]], [position], "o", color=colour, markersize=4)
    axes.axvline(0, color=QUIET, linewidth=1)
    axes.set_yticks(range(len(rows)), [row["slice"] for row in rows])
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(title=title, xlabel="orange: below 0, or a Brier score that is worse")
