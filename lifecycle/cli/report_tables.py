"""The summary of a validation report in the terminal."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from lifecycle.cli.candidate_tables import COLOURS
from lifecycle.console import output
from lifecycle.gates.outcomes import WORDS
from lifecycle.reports.validation_content import GateLine, ValidationReport
from lifecycle.reports.validation_page import interval_text

_SHORT = 12


def print_report(report: ValidationReport, html: Path | None) -> None:
    """Print metrics, gates and open points, and where the page is or how to get it."""
    subject, console = report.subject, output()
    console.print(
        f"Validation of {escape(subject.model)}, candidate {subject.candidate_digest} as of {subject.as_of}: "
        f"[{COLOURS[report.outcome]}]{escape(report.outcome_text)}[/]",
        soft_wrap=True,
    )
    console.print(escape(report.champion.statement), soft_wrap=True)
    console.print(_metrics(report))
    gates = Table(title="Gates", title_justify="left")
    for name in ("gate", "verdict", "reason"):
        gates.add_column(name, overflow="fold")
    for line in report.gates:
        gates.add_row(escape(line.gate), _verdict(line), escape(line.summary))
    console.print(gates)
    _print_points(report)
    if html is not None:
        console.print(f"The report is in {escape(str(html))}", soft_wrap=True)
    else:
        command = f"lifecycle report validation {subject.model} {subject.candidate_digest[:_SHORT]} --html FILE"
        console.print(f"`{escape(command)}` writes the whole report with its plots.", soft_wrap=True)


def _metrics(report: ValidationReport) -> Table:
    """Challenger and champion on the rows that neither saw; without a comparison the holdout and the baseline."""
    paired = report.champion.paired
    ours, theirs, other = (
        (paired.first, paired.second, "champion") if paired else (report.holdout, report.baseline, "logistic")
    )
    difference = paired.difference if paired else report.baseline_difference
    table = Table(title=f"Metrics on {ours.rows:,} rows that no model was fitted on", title_justify="left")
    for name in ("metric", "candidate", other, "difference"):
        table.add_column(name, overflow="fold")
    for name, interval in ours.metrics.items():
        texts = interval_text(interval), interval_text(theirs.metrics[name]), interval_text(difference[name], "+")
        table.add_row(name.replace("_", " "), *map(escape, texts))
    return table


def _verdict(line: GateLine) -> str:
    if line.outcome is None:
        return "[yellow]not judged[/]"
    waived = f", waived by {escape(line.waived_by)}" if line.waived_by else ""
    return f"[{COLOURS[line.outcome]}]{WORDS[line.outcome]}[/]{waived}"


def _print_points(report: ValidationReport) -> None:
    if not report.open_points:
        output().print("No point is open.")
        return
    table = Table(title="Open points", title_justify="left")
    for name in ("blocks", "open point", "remedy"):
        table.add_column(name, overflow="fold")
    for point in report.open_points:
        table.add_row("[red]yes[/]" if point.is_blocking else "no", escape(point.text), escape(point.remedy))
    output().print(table)
