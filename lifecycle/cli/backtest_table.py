"""A backtest in the terminal: a line when a date is done, one table with a plot in its last column, and JSON."""

from collections.abc import Sequence

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lifecycle.artefacts.backtests import Backtest, Row
from lifecycle.cli.candidate_tables import COLOURS
from lifecycle.local.backtest.plan import Asked
from lifecycle.modelling.evaluation import Interval
from lifecycle.reports.backtest_report import cells, gates_text, header, interval_text, lines, reasons, summary

PLOT_WIDTH = 30


def print_row(asked: Asked, row: Row) -> None:
    """Progress: a date is done."""
    if row.result is None:
        text = f"not computed: {row.reason}"
    elif row.is_taken_over:
        text = "taken over from an earlier run"
    else:
        metric = asked.spec.gates.metric
        ours = row.result.ours
        text = f"{metric} {interval_text(ours.metrics[metric])}, {gates_text(ours)}, {row.result.seconds:.1f} s"
    typer.echo(f"{row.as_of}  {text}", err=True)


def print_backtest(backtest: Backtest, console: Console) -> None:
    """The table of all dates, with the metric's intervals drawn on one scale."""
    table = Table(title=f"Backtest of {backtest.model}")
    for name in header(backtest):
        table.add_column(name, overflow="fold")
    shown = [result.ours.metrics[backtest.metric] for result in backtest.results]
    low, high = _scale(shown)
    table.add_column(f"{low:.2f}{' ' * (PLOT_WIDTH - 8)}{high:.2f}", no_wrap=True)
    for row, line in zip(backtest.rows, lines(backtest), strict=True):
        colour = "yellow" if line.outcome is None else COLOURS[line.outcome]
        drawn = drawn_interval(row.result.ours.metrics[backtest.metric], low, high) if row.result else ""
        texts = [escape(cell) for cell in cells(backtest, line)]
        table.add_row(texts[0], f"[{colour}]{texts[1]}[/]", *texts[2:], drawn)
    console.print(table)
    for reason in reasons(backtest):
        console.print(escape(reason), soft_wrap=True)
    console.print(f"{summary(backtest)}. Nothing was registered, released or alerted.", soft_wrap=True)
    console.print(f"Results: {backtest.folder}", soft_wrap=True)


def json_text(backtest: Backtest) -> str:
    """The backtest as one JSON document."""
    document = {
        "model": backtest.model,
        "against": backtest.against,
        "metric": backtest.metric,
        "jobs": backtest.jobs,
        "seconds": backtest.seconds,
        "taken_over": backtest.taken_over,
        "folder": str(backtest.folder),
        "dates": [
            {
                "as_of": row.as_of,
                "not_computed": row.reason,
                "is_taken_over": row.is_taken_over,
                "result": row.result,
                "drift": row.drift,
            }
            for row in backtest.rows
        ],
    }
    return msgspec.json.encode(document).decode()


def drawn_interval(interval: Interval, low: float, high: float, width: int = PLOT_WIDTH) -> str:
    """An interval as characters on the scale from `low` to `high`.

    Examples
    --------
    >>> drawn_interval(Interval(0.5, 0.25, 0.75), 0.0, 1.0, 9)
    '  ━━●━━  '
    """

    def place(value: float) -> int:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(min(max(share, 0.0), 1.0) * (width - 1))

    first, middle, last = place(interval.low), place(interval.value), place(interval.high)
    return "".join("●" if at == middle else "━" if first <= at <= last else " " for at in range(width))


def _scale(intervals: Sequence[Interval]) -> tuple[float, float]:
    """Ends of the plot's scale: those of all intervals, to a tenth."""
    if not intervals:
        return 0.0, 1.0
    low = min(interval.low for interval in intervals)
    high = max(interval.high for interval in intervals)
    return int(low * 10) / 10, min(1.0, int(high * 10 + 1) / 10)
