"""The comparison with the handbook as tables for people, and the figures it publishes."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table

from benchmarks.handbook_folds import BookFold
from benchmarks.handbook_metrics import Interval, Metrics
from lifecycle.modelling.arrays import BoolArray

PUBLISHED = {
    "logistic regression": Metrics(0.868, 0.623, 0.297),
    "random forest": Metrics(0.870, 0.678, 0.299),
    "XGBoost": Metrics(0.869, 0.687, 0.303),
    "balanced bagging": Metrics(0.879, 0.680, 0.305),
    "best of each column": Metrics(0.879, 0.694, 0.305),
}
"""Fraud Detection Handbook, chapters 5 and 6: mean over the four tests of folds that start 2018-07-25 to 2018-08-15."""
HEADINGS = ("AUC", "average precision", "card precision@100")


class ReportedRow(Protocol):
    """What a table shows of a model."""

    @property
    def name(self) -> str:
        """Which model."""

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
    is_fraud: BoolArray,
) -> None:
    """Print the folds, the metrics beside the published ones, and the differences from the random forest."""
    console = Console()
    console.print(_folds(folds, is_fraud))
    console.print(_metrics(rows))
    console.print(_differences(against))


def _folds(folds: Sequence[BookFold], is_fraud: BoolArray) -> Table:
    table = Table("train from", title="Folds", title_justify="left")
    for heading in ("train rows", "frauds", "test rows", "frauds"):
        table.add_column(heading, justify="right")
    for fold in folds:
        counts = (len(fold.train), is_fraud[fold.train].sum(), len(fold.test), is_fraud[fold.test].sum())
        table.add_row(fold.start.isoformat(), *(f"{count:,}" for count in counts))
    return table


def _metrics(rows: Sequence[ReportedRow]) -> Table:
    table = Table("model", title="Mean ± deviation over the folds", title_justify="left")
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
    table = Table(
        "minus random forest, scikit-learn",
        title="Paired difference, 95 % interval over draws of cards",
        title_justify="left",
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for name, intervals in against.items():
        cells = (f"{i.value:+.4f} [{i.low:+.4f}, {i.high:+.4f}]" for i in intervals.values())
        table.add_row(name, *cells)
    return table
