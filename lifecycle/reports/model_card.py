"""The model card: one HTML page on the purpose, the evidence and the lineage of a model."""

from collections.abc import Mapping, Sequence

from lifecycle.artefacts.candidates import Candidate, CandidateEvaluation
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.gates.approval_policy import REQUIRED
from lifecycle.gates.candidate_gates import not_worse_than_champion
from lifecycle.gates.outcomes import WORDS
from lifecycle.modelling.thresholds import floors
from lifecycle.modelling.windows import released_window
from lifecycle.reports.card_plots import holdout_plots, importance_bars
from lifecycle.reports.fairness_section import fairness_section
from lifecycle.reports.monitoring_plan import monitoring_plan
from lifecycle.reports.pages import page
from lifecycle.reports.slice_tables import slice_table
from lifecycle.reports.validation_guidance import GuidanceLine, guidance, judged_outcome
from lifecycle.spec.cadence import RECENT_DAYS
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Consent, Lineage, Verdict

TEMPLATE = "model_card.html.j2"
APPROVALS = {
    "auto": "No person approved this model. The platform promotes it by its policy once every gate below has passed; "
    "the signed release records that, or the person who promoted or rolled back instead (lifecycle releases).",
    "manual": "Passed gates do not release this model. A person must promote it (lifecycle promote); the signed "
    "release records that person and the reason (lifecycle releases).",
}
"""By the mode of promotion. The card is sealed before any release, so that it cannot name an approval."""


POLICIES = {
    "auto": "",
    "one": "One person who did not train the model must approve it before it answers requests.",
    "two": "Two people who did not train the model must approve it before it answers requests.",
}
"""By `promotion.approvals`. Approvals that were given after the card was sealed are not on it."""
ONCE_APPROVED = (
    "The platform promotes this model by its policy once it is approved and every gate below has passed or is waived; "
    "the signed release records that, or the person who promoted or rolled back instead (lifecycle releases)."
)
"""In the place of `APPROVALS` for the mode ``auto`` with approvals."""


def model_card(
    spec: RiskModelSpec,
    candidate: Candidate,
    evidence: GateEvidence,
    approvals: Sequence[Consent] = (),
    waivers: Sequence[Consent] = (),
) -> str:
    """The card as a self-contained page; deterministic, because the bundle seals its bytes.

    Parameters
    ----------
    approvals, waivers
        Those in force when the card is written.
    """
    evaluation, deciding, lineage = candidate.evaluation, candidate.deciding, candidate.lineage
    policy = POLICIES[spec.promotion.approvals]
    verdicts = {verdict.gate: verdict for verdict in evidence.verdicts}
    return page(
        TEMPLATE,
        spec=spec,
        tier=spec.tier.text if spec.tier else "not stated",
        evidence=evidence,
        words=WORDS,
        evaluation=evaluation,
        reasons=deciding.reason_texts,
        approval=ONCE_APPROVED if policy and spec.promotion.mode == "auto" else APPROVALS[spec.promotion.mode],
        policy=policy,
        approvals=[_act(one) for one in approvals],
        waivers=[(one.gate, *_act(one)) for one in waivers],
        waived={one.gate for one in waivers},
        refit=_external(evaluation, lineage) if candidate.is_external else _refit(evaluation),
        windows=[
            (w.name, w.start, w.end, w.known_at, f"{w.rows:,}", f"{w.positives:,}", f"{w.unknown:,}")
            for w in evaluation.windows
        ],
        bands_origin=_bands_origin(spec, lineage.as_of),
        bands=_bands(spec, candidate),
        plots=holdout_plots(evaluation.curves, spec.label.names),
        importance=importance_bars(evaluation.importance),
        metrics=_metrics(evaluation),
        fairness=fairness_section(spec, evidence),
        slices=[table for table in map(slice_table, evidence.verdicts) if table is not None],
        monitoring_plan=monitoring_plan(spec),
        guidance=[
            (line.heading, line.topic, line.state, line.statement)
            for line in _guidance(spec, candidate, verdicts, len(approvals))
        ],
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


def _guidance(
    spec: RiskModelSpec, candidate: Candidate, verdicts: Mapping[str, Verdict], approvals: int
) -> Sequence[GuidanceLine]:
    compared, required = verdicts.get(not_worse_than_champion.NAME), REQUIRED[spec.promotion.approvals]
    return guidance(
        spec,
        candidate.lineage,
        {gate: judged_outcome(verdict) for gate, verdict in verdicts.items()},
        has_search=bool(candidate.evaluation.trials),
        has_comparison=compared is not None and "rows" in compared.observed,
        champion="not judged" if compared is None else compared.summary,
        is_approved=approvals >= required,
        required=required,
    )


def _act(consent: Consent) -> tuple[str, str, str, str]:
    """Person, reason, time and expiry of an approval or a waiver."""
    until = f"{consent.expires_at:%Y-%m-%d %H:%M} UTC" if consent.expires_at else "-"
    return consent.name, consent.reason, f"{consent.acted_at:%Y-%m-%d %H:%M} UTC", until


def _bands_origin(spec: RiskModelSpec, as_of: str) -> str:
    if spec.decision.capacity is None:
        return "The bands are the cut-offs of the model's file."
    days = RECENT_DAYS[spec.examples.cadence]
    return (
        f"The bands are cut on the released model's own scores of the last {days} days before {as_of}; no outcome of "
        "these days was needed."
    )


def _bands(spec: RiskModelSpec, candidate: Candidate) -> list[tuple[str, str, str, str]]:
    """Each band with its threshold, its floor and its capacity."""
    evaluation, bands, decision = candidate.evaluation, candidate.deciding.bands, spec.decision
    lowest = floors(decision, released_window(evaluation.windows, evaluation.is_refitted).base_rate)
    return [
        ("decline", _number(bands.decline_from), _number(lowest.decline), _count(decision.decline_capacity)),
        ("review", _number(bands.review_from), _number(lowest.review), _count(decision.review_capacity)),
    ]


def _external(evaluation: CandidateEvaluation, lineage: Lineage) -> str:
    """Where the trees of an external model come from, and what the figures say about it."""
    origin, baseline = lineage.parameters, released_window(evaluation.windows, is_refitted=False)
    return (
        f"The model was trained elsewhere with {origin['library']}, on data before {origin['trained_until']} that its "
        f"makers declare as {origin['training_data_digest']}. The platform neither searched nor fitted it: holdout and "
        f"gates describe these very trees, and {baseline.start} to {baseline.end} (exclusive) fitted the baseline. "
        f"Margins compared with its library's own: {origin['margins_compared']}."
    )


def _refit(evaluation: CandidateEvaluation) -> str:
    """What the holdout's figures say about the released model."""
    released = released_window(evaluation.windows, evaluation.is_refitted)
    fitted = f"The released model was fitted on {released.start} to {released.end} (exclusive)."
    if not evaluation.is_refitted:
        return f"{fitted} It is the judged model: holdout and gates describe it."
    judged = released_window(evaluation.windows, is_refitted=False)
    return (
        f"{fitted} Holdout and gates describe another model, the judged one, fitted by the same recipe on "
        f"{judged.start} to {judged.end} (exclusive): they judge the procedure, not these trees."
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


def _count(capacity: int | None) -> str:
    return "-" if capacity is None else str(capacity)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return "any"
    if maximum is None:
        return f"from {minimum:g}"
    return f"up to {maximum:g}" if minimum is None else f"{minimum:g} to {maximum:g}"
