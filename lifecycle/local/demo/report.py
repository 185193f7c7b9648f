"""Result of the demonstration: recall at capacity before, during and after the change of the fraud pattern."""

import datetime as dt
from dataclasses import dataclass

from rich import box
from rich.table import Table

from lifecycle.errors import LifecycleError
from lifecycle.local.demo.state import DemoState
from lifecycle.local.demo.timeline import Timeline
from lifecycle.modelling.evaluation import DRAWS, Evaluation, evaluate, reviewed_by
from lifecycle.monitoring.live_performance import outcomes_and_predictions
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.decisions import read_decisions

BAR_WIDTH = 10


@dataclass(frozen=True)
class Phase:
    """Recall at capacity of the decisions on the days of ``[start, end)``, with its interval."""

    name: str
    start: dt.date
    end: dt.date
    decisions: int
    frauds: int
    recall: float
    low: float
    high: float


def phases(warehouse: Warehouse, spec: RiskModelSpec, days: Timeline, state: DemoState) -> list[Phase]:
    """Before the change, between it and the new release, and after that; days whose labels are mature at the end."""
    mature_end = days.end_day - dt.timedelta(days=spec.label.maturity_days)
    released_from = state.released_from or mature_end
    spans = [
        ("before", days.live_start, days.change_day),
        ("during", days.change_day, released_from),
        ("after", released_from, mature_end),
    ]
    measured = []
    for name, start, end in spans:
        evaluation = recall_of(warehouse, spec, start, end, days.end_day)
        if evaluation is None:
            raise LifecycleError(
                f"Expected frauds among the decisions of [{start}, {end}), got none - at the {name} days"
            )
        recall = evaluation.metrics["recall_at_capacity"]
        measured.append(
            Phase(name, start, end, evaluation.rows, evaluation.positives, recall.value, recall.low, recall.high)
        )
    return measured


def recall_of(
    warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date, as_of: dt.date, *, draws: int = DRAWS
) -> Evaluation | None:
    """Evaluation of the decisions of ``[start, end)`` on what was reported before `as_of`; ``None`` without frauds."""
    outcomes, predictions = outcomes_and_predictions(read_decisions(warehouse, spec, start, end, as_of))
    if not outcomes.is_positive.any() or outcomes.is_positive.all():
        return None
    return evaluate(outcomes, predictions, reviewed_by(spec.decision), draws=draws)


def phases_table(rows: list[Phase], capacity: int | None) -> Table:
    """Table of the phases: before the change, with the old model, with the retrained model."""
    title = f"Recall at capacity, {capacity} cards a day"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "days", "decisions", "frauds", "recall", "95 % interval", ""):
        is_number = heading in {"decisions", "frauds", "recall"}
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    for phase in rows:
        table.add_row(
            phase.name,
            f"{phase.start:%m-%d}…{phase.end:%m-%d}",
            f"{phase.decisions:,}",
            f"{phase.frauds:,}",
            f"{phase.recall:.3f}",
            f"{phase.low:.3f}…{phase.high:.3f}",
            "█" * round(BAR_WIDTH * phase.recall),
        )
    return table
