"""The validation report as one self-contained HTML page."""

from collections.abc import Mapping
from typing import Any

from lifecycle.gates.outcomes import WORDS
from lifecycle.modelling.evaluation import Evaluation, Interval
from lifecycle.modelling.search import Trial
from lifecycle.reports.pages import page
from lifecycle.reports.slice_tables import slice_table
from lifecycle.reports.validation_content import Dossier, ValidationReport
from lifecycle.reports.validation_plots import validation_plots

TEMPLATE = "validation_report.html.j2"
TRIALS_SHOWN = 15
"""Trials with the highest score that the page lists; the JSON has all."""
_SHORT, _DIGEST = 12, 64
"""Digits of a shortened and of a whole SHA-256."""
Row = tuple[str, ...]


def validation_page(dossier: Dossier, report: ValidationReport) -> str:
    """The page: every text is escaped, every plot is a data URI, and nothing is loaded."""
    verdicts = {verdict.gate: verdict for verdict in dossier.evidence.verdicts}
    paired = report.champion.paired
    return page(
        TEMPLATE,
        report=report,
        subject=report.subject,
        words=WORDS,
        names=dossier.spec.label.names,
        plots=validation_plots(dossier.candidate.evaluation, verdicts, dossier.spec.label.names, paired),
        numbers=[(scalars(line.observed), scalars(line.required)) for line in report.gates],
        slices={gate: slice_table(verdict) for gate, verdict in verdicts.items()},
        windows=[
            (window.name, window.start, window.end, window.known_at, f"{window.rows:,}", f"{window.positives:,}")
            for window in report.subject.windows
        ],
        parameters=[(name, str(value)) for name, value in dossier.candidate.lineage.parameters.items()],
        holdout=_against(report.holdout, report.baseline, report.baseline_difference),
        paired=_against(paired.first, paired.second, paired.difference) if paired else (),
        trials=[
            _trial(trial)
            for trial in sorted(report.search.trials, key=lambda trial: -trial.score)[:TRIALS_SHOWN]
        ],
        trials_shown=TRIALS_SHOWN,
        waivers=[(gate, *line) for gate, line in report.consents.waivers],
    )  # fmt: skip


def scalars(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The single numbers of a verdict as text; tables have sections of their own."""
    return [(name.replace("_", " "), _text(value)) for name, value in values.items() if not _is_table(value)]


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(row, Mapping) for row in value))


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    text = "none" if value is None else str(value)
    return text[:_SHORT] if len(text) == _DIGEST else text


def _against(ours: Evaluation, theirs: Evaluation, difference: Mapping[str, Interval]) -> list[Row]:
    """A row for each metric: both models with their intervals, and ours minus theirs."""
    return [
        (
            name.replace("_", " "),
            interval_text(interval),
            interval_text(theirs.metrics[name]),
            interval_text(difference[name], "+"),
        )
        for name, interval in ours.metrics.items()
    ]


def interval_text(interval: Interval, sign: str = "") -> str:
    """A value with its interval, with four decimals."""
    value, low, high = (f"{end:{sign}.4f}" for end in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def _trial(trial: Trial) -> Row:
    folds = ", ".join(f"{score:.4f}" for score in trial.fold_scores)
    parameters = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.parameters.items()
    )
    return str(trial.number), f"{trial.score:.4f}", folds, str(trial.rounds), parameters
