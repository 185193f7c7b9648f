"""The model card: one page that says what a model is for, what it was shown to do, and where it comes from."""

from collections.abc import Iterable, Sequence
from html import escape

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import ReasonTexts

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430 }
h1 { margin-bottom: 0 } h2 { margin-top: 2rem; border-bottom: 1px solid #d5dae2 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #e8ebf0 }
td.number { font-variant-numeric: tabular-nums; text-align: right } code { overflow-wrap: anywhere }
.passed { color: #1a7f37 } .refused { color: #b42318 }
"""


def model_card(spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence) -> str:
    """The card as a self-contained HTML page, without a clock: the same candidate gives the same bytes."""
    lineage, evaluation = candidate.lineage, candidate.evaluation
    bands = candidate.deciding.bands
    sections = [
        f"<h1>{escape(spec.name)}</h1><p>{escape(spec.description)}</p>",
        "<h2>Decision</h2>",
        _table(
            ("band", "from score", "capacity, cards a day"),
            [
                ("decline", _number(bands.decline_from), str(spec.decision.decline_cards_per_day or "-")),
                ("review", _number(bands.review_from), str(spec.decision.review_cards_per_day)),
            ],
        ),
        "<h2>Holdout</h2>",
        _metrics(evaluation),
        "<h2>Gates</h2>",
        _table(
            ("gate", "verdict", "why"),
            [(v.gate, "passed" if v.is_passed else "refused", v.summary) for v in evidence.verdicts],
        ),
        "<h2>Inputs</h2>",
        _table(
            ("feature", "type", "null allowed", "range", "reason group"),
            [
                (f.name, f.dtype, "yes" if f.is_nullable else "no", _range(f.minimum, f.maximum), f.reason_group or "-")
                for f in spec.features
            ],
        ),
        *_reason_texts(candidate.deciding.reason_texts),
        "<h2>Lineage</h2>",
        _table(
            ("what", "value"),
            [
                ("as of", lineage.as_of),
                ("candidate", candidate.digest),
                ("training set", lineage.training_set_digest),
                ("code commit", lineage.code_commit or "not known"),
                ("seed", str(lineage.seed)),
                *((f"parameter {name}", str(value)) for name, value in lineage.parameters.items()),
                *((f"library {name}", version) for name, version in lineage.library_versions.items()),
            ],
        ),
    ]
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(spec.name)}: model card</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _reason_texts(reasons: ReasonTexts | None) -> list[str]:
    if reasons is None:
        return ["<h2>Reasons</h2><p>None: this model's decisions are not explained.</p>"]
    heading = f"<h2>Reasons</h2><p>Wording {escape(reasons.version)}; the strongest four are given.</p>"
    return [heading, _table(("reason group", "text"), sorted(reasons.texts.items()))]


def _metrics(evaluation: dict[str, object]) -> str:
    holdout, baseline = _metric_values(evaluation, "holdout"), _metric_values(evaluation, "baseline")
    rows = [
        (
            name.replace("_", " "),
            _number(interval["value"]),
            f"{_number(interval['low'])} to {_number(interval['high'])}",
            _number(baseline.get(name, {}).get("value")),
        )
        for name, interval in holdout.items()
    ]
    section = evaluation["holdout"]
    confidence = section["confidence"] if isinstance(section, dict) else None
    return _table(("metric", "value", f"{confidence:.0%} interval", "logistic regression"), rows)


def _metric_values(evaluation: dict[str, object], model: str) -> dict[str, dict[str, float]]:
    section = evaluation.get(model)
    metrics = section.get("metrics") if isinstance(section, dict) else None
    return metrics if isinstance(metrics, dict) else {}


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in {"passed", "refused"} else ""
    return f"<td{kind}>{escape(text)}</td>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return "any"
    if maximum is None:
        return f"from {minimum:g}"
    return f"up to {maximum:g}" if minimum is None else f"{minimum:g} to {maximum:g}"
