"""Picture of the demonstration: recall at capacity by day, and the moments of the loop."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.local.demo.report import Phase, recall_of
from lifecycle.local.demo.state import DemoState
from lifecycle.local.demo.timeline import Timeline, days_of
from lifecycle.reports.plots import INK, picture
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from serving.storage.durable import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"before": "#3b6ea5", "during": "#c2410c", "after": "#1a7f37"}
PICTURE_FILE = "recall.png"


@dataclass(frozen=True)
class RecallTimeline:
    """What the picture shows: recall of each day, recall of each phase, and the moments of the loop.

    A day without frauds has no recall and is not in `daily`. `moments` are midnights by their label, in order.
    """

    daily: dict[dt.date, float]
    phases: tuple[Phase, ...]
    moments: dict[str, dt.date]


def recall_timeline(
    warehouse: Warehouse, spec: RiskModelSpec, days: Timeline, state: DemoState, phases: list[Phase]
) -> RecallTimeline:
    """The picture's figures, from the decisions and outcomes that the phases were measured on."""
    daily = {}
    for day in days_of(phases[0].start, phases[-1].end):
        measured = recall_of(warehouse, spec, day, day + dt.timedelta(days=1), days.end_day, draws=0)
        if measured is not None:
            daily[day] = measured.metrics["recall_at_capacity"].value
    moments = {
        "fraud changes": days.change_day,
        "alarm": state.alarmed_as_of,
        "retraining": state.retrained_as_of,
        "new release": state.released_from,
    }
    return RecallTimeline(daily, tuple(phases), {name: day for name, day in moments.items() if day is not None})


def write_picture(timeline: RecallTimeline, capacity: int | None, folder: Path) -> Path:
    """Draw the picture as a PNG file in `folder`."""
    path = folder / PICTURE_FILE
    write_file(path, picture(_draw, timeline, capacity, size_inches=(9, 3.6), dpi=110))
    return path


def _draw(axes: "Axes", timeline: RecallTimeline, capacity: int | None) -> None:
    _draw_recall(axes, timeline)
    _draw_moments(axes, timeline)
    axes.set(ylim=(0, 1.08), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="recall")
    axes.set_title(f"Recall at capacity, {capacity} cards a day", loc="left", color=INK, pad=24)


def _draw_recall(axes: "Axes", timeline: RecallTimeline) -> None:
    """A bar for each day; a line and its interval for each phase."""
    import matplotlib.dates as mdates

    for phase in timeline.phases:
        colour, days = COLOURS[phase.name], [day for day in timeline.daily if phase.start <= day < phase.end]
        axes.bar(
            [_position(day) for day in days],
            [timeline.daily[day] for day in days],
            width=0.86,
            align="edge",
            color=colour,
            alpha=0.28,
        )
        span = [_position(phase.start), _position(phase.end)]
        axes.fill_between(span, phase.low, phase.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(span, [phase.recall] * 2, color=colour, linewidth=2.6, solid_capstyle="butt")
        middle = phase.start + (phase.end - phase.start) / 2
        axes.annotate(
            f"{phase.name} {phase.recall:.2f}",
            (_position(middle), phase.high),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            color=colour,
            weight="bold",
        )
    axes.xaxis.set_major_locator(mdates.DayLocator(interval=3))
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%m-%d"))
    axes.set_xlim(_position(timeline.phases[0].start), _position(timeline.phases[-1].end))


def _draw_moments(axes: "Axes", timeline: RecallTimeline) -> None:
    """A dashed line for each moment, its label above the axes; moments of the same day share a label."""
    labels: dict[dt.date, list[str]] = {}
    for name, day in timeline.moments.items():
        labels.setdefault(day, []).append(name)
    for number, (day, names) in enumerate(sorted(labels.items())):
        axes.axvline(_position(day), color=INK, linewidth=1, linestyle="--")
        axes.annotate(
            ", ".join(names),
            (_position(day), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4 + 11 * (number % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=INK,
        )


def _position(day: dt.date) -> float:
    """Where a day begins on the axis."""
    import matplotlib.dates as mdates

    return float(mdates.date2num(day))
