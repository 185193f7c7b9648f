"""A candidate, or two of them, as tables and as JSON types: what the Dagster UI shows."""

from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.artefacts.paired_holdouts import PairedHoldouts
from lifecycle.gates.outcomes import WORDS
from lifecycle.reports.backtest_report import difference_text, interval_text
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Outcome, Verdict

COLOURS: dict[Outcome, str] = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow"}
_SHORT = 12


def candidate_document(model: str, candidate: Candidate, evidence: GateEvidence | None) -> dict[str, Any]:
    """A candidate as JSON types; `gates` is ``None`` if its gates never ran."""
    evaluation, lineage = candidate.evaluation, candidate.lineage
    document: dict[str, Any] = msgspec.to_builtins(
        {
            "model": model,
            "as_of": lineage.as_of,
            "candidate_digest": candidate.digest,
            "training_set_digest": lineage.training_set_digest,
            "is_passed": evidence.is_passed if evidence else None,
            "outcome": evidence.outcome if evidence else None,
            "metrics": evaluation.holdout.metrics,
            "baseline": evaluation.baseline.metrics,
            "baseline_difference": evaluation.baseline_difference,
            "windows": evaluation.windows,
            "parameters": lineage.parameters,
            "features": [feature.name for feature in candidate.deciding.features],
            "bands": candidate.deciding.bands,
            "gates": [_verdict_document(verdict) for verdict in evidence.verdicts] if evidence else None,
            "folder": str(candidate.folder),
        }
    )
    return document


def print_candidate(console: Console, spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence) -> None:
    """Metrics, windows, parameters and gates with their numbers."""
    evaluation = candidate.evaluation
    baseline, difference = evaluation.baseline.metrics, evaluation.baseline_difference
    rows = [
        [_words(name), interval_text(interval), f"{baseline[name].value:.3f}", difference_text(difference[name])]
        for name, interval in evaluation.holdout.metrics.items()
    ]
    title = f"{spec.name} as of {candidate.lineage.as_of}: metrics on the holdout"
    _print(console, title, ["metric", "model", "logistic", "difference"], rows)
    windows = [
        [window.name, window.start, window.end, window.known_at, f"{window.rows:,}", f"{window.positives:,}"]
        for window in evaluation.windows
    ]
    _print(console, "Windows", ["window", "from", "until (exclusive)", "labels as of", "rows", "positives"], windows)
    parameters = [[name, f"{value}"] for name, value in candidate.lineage.parameters.items()]
    _print(console, "Parameters", ["parameter", "value"], parameters)
    gates = [
        [verdict.gate, _coloured(verdict.outcome), escape(verdict.summary), _numbers(verdict)]
        for verdict in evidence.verdicts
    ]
    _print(console, "Gates", ["gate", "verdict", "reason", "observed, and required"], gates)
    console.print(f"Candidate {candidate.digest}, training set {candidate.lineage.training_set_digest}", soft_wrap=True)
    said = "passed every gate" if evidence.is_passed else f"did not pass ({evidence.outcome_text})"
    console.print(f"It {said}. Nothing was registered or released.", soft_wrap=True)


def comparison_document(sides: tuple[dict[str, Any], dict[str, Any]], paired: PairedHoldouts) -> dict[str, Any]:
    """Two candidates and their difference as JSON types."""
    first, second = sides
    return {"first": first, "second": second, "paired": msgspec.to_builtins(paired)}


def print_comparison(console: Console, sides: tuple[dict[str, Any], dict[str, Any]], paired: PairedHoldouts) -> None:
    """Both candidates side by side on their common rows, and what else differs."""
    names = [f"{side['candidate_digest'][:_SHORT]} as of {side['as_of']}" for side in sides]
    rows = [
        [_words(name), interval_text(interval), interval_text(paired.second.metrics[name]), difference_text(difference)]
        for (name, interval), difference in zip(paired.first.metrics.items(), paired.difference.values(), strict=True)
    ]
    title = (
        f"{paired.rows:,} common rows of both holdouts, {paired.start} to {paired.end}, {paired.positives:,} positives"
    )
    _print(console, title, ["metric", *names, "first minus second"], rows)
    for title, key in (("Parameters", "parameters"), ("Features", "features"), ("Gates", "gates")):
        values = [_values(side, key) for side in sides]
        every = list(dict.fromkeys([*values[0], *values[1]]))
        _print(console, title, [key[:-1], *names], [[name, *(one.get(name, "-") for one in values)] for name in every])


def _values(side: dict[str, Any], key: str) -> dict[str, str]:
    """What a side has under a key, by name and as text."""
    if key == "features":
        return dict.fromkeys(side[key], "yes")
    if key == "gates":
        verdicts = side[key] or []
        return {each["gate"]: _coloured(each["outcome"]) for each in verdicts}
    return {name: f"{value}" for name, value in side[key].items()}


def _print(console: Console, title: str, header: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(verdict)
    return document | {"outcome": verdict.outcome}


def _coloured(outcome: Outcome) -> str:
    return f"[{COLOURS[outcome]}]{WORDS[outcome]}[/]"


def _numbers(verdict: Verdict) -> str:
    """Observed and required numbers; tables, such as those by group, are in the JSON and on the model card."""
    observed, required = (
        ", ".join(f"{name} {_short(value)}" for name, value in values.items() if not _is_table(value))
        for values in (verdict.observed, verdict.required)
    )
    return escape(f"{observed}; {required}")


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(row, dict) for row in value))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "none" if value is None else str(value)
    return text[:_SHORT] if len(text) == 64 else text


def _words(name: str) -> str:
    return name.replace("_", " ")
