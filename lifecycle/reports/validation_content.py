"""The content of a validation report as plain values: what the page, the terminal and the JSON show.

It is computed from kept evidence. Nothing here has a customer's values: verdicts hold counts, rates and names of
features and groups, and the events of a small group are withheld by the gate itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.artefacts.paired_holdouts import PairedHoldouts
from lifecycle.gates.approval_policy import Approvals
from lifecycle.gates.candidate_gates import DESCRIPTIONS
from lifecycle.gates.outcomes import overall_text
from lifecycle.gates.waiver_policy import Waivers
from lifecycle.modelling.evaluation import Evaluation, Interval
from lifecycle.modelling.search import Trial, search_gain
from lifecycle.modelling.windows import WindowCount
from lifecycle.reports.fairness_section import FairnessSection, fairness_section
from lifecycle.reports.monitoring_plan import monitoring_plan
from lifecycle.reports.validation_guidance import GuidanceLine, guidance, judged_outcome
from lifecycle.reports.validation_points import OpenPoint, open_points
from lifecycle.spec.risk_model import FeatureSpec, RiskModelSpec
from serving.contract.documents import Consent, Outcome

ConsentLine = tuple[str, str, str, str, str]
"""Person, standing, reason, time and expiry of an approval or a waiver."""


@dataclass(frozen=True)
class ChampionBeside:
    """The champion that the candidate is compared with, on rows that neither was fitted on.

    `paired` is ``None`` without a comparison, and `statement` says why; `is_missed` if there is a champion that the
    candidate should be compared with.
    """

    statement: str
    is_missed: bool = False
    candidate_digest: str | None = None
    as_of: str | None = None
    paired: PairedHoldouts | None = None


@dataclass(frozen=True)
class Dossier:
    """Everything that is kept about a candidate at one moment.

    Parameters
    ----------
    spec
        The file that the candidate was trained by, and for a candidate of an earlier version the present one.
    is_backtest
        Whether the verdicts are of a backtest or of a training by hand, which release nothing.
    trainers
        Names of the people who trained it; `is_trainer_known` if each training names one.
    findings
        Further open points: evidence that the ledger does not confirm, a model's file that has changed.
    """

    spec: RiskModelSpec
    candidate: Candidate
    evidence: GateEvidence
    is_backtest: bool
    champion: ChampionBeside
    approvals: Approvals
    waivers: Waivers
    trainers: tuple[str, ...]
    is_trainer_known: bool
    findings: tuple[OpenPoint, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What the model is. A statement that the model's file lacks is ``None``."""

    model: str
    description: str
    owner: str | None
    tier: str | None
    intended_use: str | None
    limits: tuple[str, ...]
    as_of: str
    candidate_digest: str
    training_set_digest: str
    code_commit: str | None
    seed: int
    is_external: bool
    windows: tuple[WindowCount, ...]
    features: tuple[tuple[str, str, str, str], ...]
    """Name, type, range and reason group."""


@dataclass(frozen=True)
class GateLine:
    """A gate on the candidate; `outcome` is ``None`` if it was not judged by it."""

    gate: str
    demands: str
    outcome: Outcome | None
    summary: str
    observed: Mapping[str, Any]
    required: Mapping[str, Any]
    waived_by: str | None = None


@dataclass(frozen=True)
class Search:
    """The search's trials, and what the best brought over the default parameters on each validation fold."""

    statement: str
    trials: tuple[Trial, ...]
    best_trial: int | None
    gain_by_fold: tuple[float, ...]
    mean_gain: float | None


@dataclass(frozen=True)
class Consents:
    """What people said: required approvals, those given, waivers, and the trainers, who cannot approve."""

    required: int
    is_granted: bool
    approvals: tuple[ConsentLine, ...]
    waivers: tuple[tuple[str, ConsentLine], ...]
    """By gate."""
    trainers: tuple[str, ...]
    is_trainer_known: bool


@dataclass(frozen=True)
class ValidationReport:
    """The content of a report, section by section."""

    subject: Subject
    outcome: Outcome
    outcome_text: str
    is_backtest: bool
    holdout: Evaluation
    baseline: Evaluation
    baseline_difference: dict[str, Interval]
    champion: ChampionBeside
    gates: tuple[GateLine, ...]
    fairness: FairnessSection
    importance: dict[str, float]
    search: Search
    consents: Consents
    monitoring_plan: tuple[tuple[str, str], ...]
    open_points: tuple[OpenPoint, ...]
    guidance: tuple[GuidanceLine, ...]


def validation_report(dossier: Dossier) -> ValidationReport:
    """The report's content."""
    evaluation, evidence = dossier.candidate.evaluation, dossier.evidence
    gates = gate_lines(evidence, dossier.waivers)
    points = open_points(
        dossier.spec,
        dossier.candidate.lineage,
        evidence.verdicts,
        missing=[line.gate for line in gates if line.outcome is None],
        approvals=dossier.approvals,
        waivers=dossier.waivers,
        findings=dossier.findings,
        uncompared=dossier.champion.statement if dossier.champion.is_missed else None,
        is_backtest=dossier.is_backtest,
        is_trainer_known=dossier.is_trainer_known,
    )
    return ValidationReport(
        subject=_subject(dossier.spec, dossier.candidate),
        outcome=evidence.outcome,
        outcome_text=overall_text(evidence.verdicts),
        is_backtest=dossier.is_backtest,
        holdout=evaluation.holdout,
        baseline=evaluation.baseline,
        baseline_difference=evaluation.baseline_difference,
        champion=dossier.champion,
        gates=gates,
        fairness=fairness_section(dossier.spec, evidence),
        importance=dict(sorted(evaluation.importance.items(), key=lambda item: (-item[1], item[0]))),
        search=_search(dossier.candidate),
        consents=_consents(dossier),
        monitoring_plan=monitoring_plan(dossier.spec),
        open_points=points,
        guidance=guidance(
            dossier.spec,
            dossier.candidate.lineage,
            {verdict.gate: judged_outcome(verdict) for verdict in evidence.verdicts},
            has_search=bool(evaluation.trials),
            has_comparison=dossier.champion.paired is not None,
            champion=dossier.champion.statement,
            is_approved=dossier.approvals.is_granted,
            required=dossier.approvals.required,
        ),
    )


def gate_lines(evidence: GateEvidence, waivers: Waivers) -> tuple[GateLine, ...]:
    """Every gate of this version and every verdict, in the order of the gates; verdicts of other gates last."""
    waived = {consent.gate: consent.name for consent in waivers.used}
    verdicts = {verdict.gate: verdict for verdict in evidence.verdicts}
    lines = []
    for gate in dict.fromkeys([*DESCRIPTIONS, *verdicts]):
        verdict, demands = verdicts.get(gate), DESCRIPTIONS.get(gate, "A gate that this version does not have.")
        if verdict is None:
            lines.append(GateLine(gate, demands, None, "the candidate was judged without this gate", {}, {}))
        else:
            lines.append(
                GateLine(
                    gate, demands, verdict.outcome, verdict.summary, verdict.observed, verdict.required,
                    waived.get(gate),
                )
            )  # fmt: skip
    return tuple(lines)


def _subject(spec: RiskModelSpec, candidate: Candidate) -> Subject:
    lineage = candidate.lineage
    read = {feature.name for feature in candidate.deciding.features}
    return Subject(
        model=spec.name,
        description=spec.description,
        owner=spec.owner,
        tier=spec.tier.text if spec.tier else None,
        intended_use=spec.card.intended_use if spec.card else None,
        limits=tuple(spec.card.limits) if spec.card else (),
        as_of=lineage.as_of,
        candidate_digest=candidate.digest,
        training_set_digest=lineage.training_set_digest,
        code_commit=lineage.code_commit,
        seed=lineage.seed,
        is_external=candidate.is_external,
        windows=candidate.evaluation.windows,
        features=tuple(
            (feature.name, feature.dtype, range_text(feature), feature.reason_group or "-")
            for feature in spec.features
            if feature.name in read
        ),
    )


def range_text(feature: FeatureSpec) -> str:
    """The declared range of a feature, or the number of its categories."""
    if feature.categories:
        return f"{len(feature.categories)} categories"
    low, high = feature.minimum, feature.maximum
    if low is None:
        return "any" if high is None else f"up to {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def _search(candidate: Candidate) -> Search:
    trials = candidate.evaluation.trials
    if not trials:
        return Search("The model was trained elsewhere; nothing was searched.", (), None, (), None)
    gains = search_gain(trials)
    best = max(trials, key=lambda trial: trial.score).number
    mean = sum(gains) / len(gains)
    choice = candidate.evaluation.choice
    chosen = choice.text if choice else f"trial {best}, that of the highest metric"
    ended = ", and ended as further trials brought nothing," if choice and choice.is_stopped_early else ""
    return Search(
        statement=(
            f"The search tried {len(trials)} sets of parameters{ended} and chose {chosen}. In the mean of the "
            f"validation folds ({len(gains)}) the best trial brought {mean:+.4f} over the default parameters, which "
            "are the first trial. The best of many trials gains by chance, too: on rows that no trial was chosen on, "
            "expect less."
        ),
        trials=trials,
        best_trial=choice.trial if choice else best,
        gain_by_fold=gains,
        mean_gain=mean,
    )


def _consents(dossier: Dossier) -> Consents:
    return Consents(
        required=dossier.approvals.required,
        is_granted=dossier.approvals.is_granted,
        approvals=tuple(_line(act.consent, act.standing) for act in dossier.approvals.acts),
        waivers=tuple((one.gate, _line(one.consent, one.standing)) for one in dossier.waivers.all),
        trainers=dossier.trainers,
        is_trainer_known=dossier.is_trainer_known,
    )


def _line(consent: Consent, standing: str) -> ConsentLine:
    until = f"{consent.expires_at:%Y-%m-%d %H:%M} UTC" if consent.expires_at else "-"
    return consent.name, standing, consent.reason, f"{consent.acted_at:%Y-%m-%d %H:%M} UTC", until
