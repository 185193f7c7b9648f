"""Tables of the comparison with the handbook, and the handbook's published figures."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.handbook_folds import BookFold
from benchmarks.handbook_metrics import Interval, Metrics
from lifecycle.tables.arrays import BoolArray

PUBLISHED = {
    "logistic regression": Metrics(0.868, 0.623, 0.297),
    "random forest": Metrics(0.870, 0.678, 0.299),
    "XGBoost": Metrics(0.869, 0.687, 0.303),
    "balanced bagging": Metrics(0.879, 0.680, 0.305),
    "best of each column": Metrics(0.879, 0.694, 0.305),
}
"""Fraud Detection Handbook, chapters 5 and 6: mean over the four tests of folds that start 2018-07-25 to 2018-08-15."""
HEADINGS = ("AUC", "avg. precision", "card p.@100")


class ReportedRow(Protocol):
    """A model's row in the table."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def mean(self) -> Metrics:
        """Mean over the folds."""

    @property
    def deviation(self) -> Metrics:
        """Deviation over the folds."""


def print_report(
    rows: Sequence[ReportedRow],
    against: Mapping[str, Mapping[str, Interval]],
    folds: Sequence[BookFold],
    is_positive: BoolArray,
) -> None:
    """Print the folds, the metrics beside the published ones, and the differences from the random forest."""
    console = Console()
    console.print(_folds(folds, is_positive))
    console.print(_metrics(rows))
    console.print(_differences(against))


def _folds(folds: Sequence[BookFold], is_positive: BoolArray) -> Table:
    table = _table("Folds", "train from")
    for heading in ("train rows", "positives", "test rows", "positives"):
        table.add_column(heading, justify="right")
    for fold in folds:
        counts = (len(fold.train), is_positive[fold.train].sum(), len(fold.test), is_positive[fold.test].sum())
        table.add_row(fold.start.isoformat(), *(f"{count:,}" for count in counts))
    return table


def _metrics(rows: Sequence[ReportedRow]) -> Table:
    table = _table("Mean ± deviation over the folds", "model")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, published in PUBLISHED.items():
        table.add_row(f"published: {name}", *(f"{value:.3f}        " for value in published))
    table.add_section()
    for row in rows:
        pairs = zip(row.mean, row.deviation, strict=True)
        table.add_row(row.name, *(f"{mean:.4f} ± {deviation:.3f}" for mean, deviation in pairs))
    return table


def _differences(against: Mapping[str, Mapping[str, Interval]]) -> Table:
    table = _table("Ours minus scikit-learn's random forest, 95 % interval over draws of cards", "model")
    table.add_column("metric", no_wrap=True)
    for heading in ("difference", "low", "high"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, intervals in against.items():
        for heading, interval in zip(HEADINGS, intervals.values(), strict=True):
            figures = (interval.value, interval.low, interval.high)
            table.add_row(name, heading, *(f"{figure:+.4f}" for figure in figures))
        table.add_section()
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    return table
