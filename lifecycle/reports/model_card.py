"""The model card: one HTML page on the purpose, the evidence and the lineage of a model."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from lifecycle.artefacts.candidates import Candidate, CandidateEvaluation
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.spec.risk_model import RiskModelSpec

TEMPLATE = "model_card.html.j2"


def model_card(spec: RiskModelSpec, candidate: Candidate, evidence: GateEvidence) -> str:
    """The card as a self-contained page; deterministic, because the bundle seals its bytes."""
    loader = PackageLoader("lifecycle", "reports")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    evaluation, deciding, lineage = candidate.evaluation, candidate.deciding, candidate.lineage
    bands, capacity = deciding.bands, spec.decision
    return environment.get_template(TEMPLATE).render(
        spec=spec,
        evidence=evidence,
        evaluation=evaluation,
        reasons=deciding.reason_texts,
        bands=[
            ("decline", _number(bands.decline_from), capacity.decline_cards_per_day or "-"),
            ("review", _number(bands.review_from), capacity.review_cards_per_day),
        ],
        metrics=_metrics(evaluation),
        inputs=[
            (f.name, f.dtype, "yes" if f.is_nullable else "no", _range(f.minimum, f.maximum), f.reason_group or "-")
            for f in spec.features
        ],
        lineage=[
            ("as of", lineage.as_of),
            ("candidate", candidate.digest),
            ("training set", lineage.training_set_digest),
            ("code commit", lineage.code_commit or "unknown"),
            ("seed", lineage.seed),
            *((f"parameter {name}", value) for name, value in lineage.parameters.items()),
            *((f"library {name}", version) for name, version in lineage.library_versions.items()),
        ],
    )


def _metrics(evaluation: CandidateEvaluation) -> list[tuple[str, str, str, str]]:
    baseline = evaluation.baseline.metrics
    return [
        (
            name.replace("_", " "),
            _number(interval.value),
            f"{_number(interval.low)} to {_number(interval.high)}",
            _number(baseline[name].value),
        )
        for name, interval in evaluation.holdout.metrics.items()
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return "any"
    if maximum is None:
        return f"from {minimum:g}"
    return f"up to {maximum:g}" if minimum is None else f"{minimum:g} to {maximum:g}"
