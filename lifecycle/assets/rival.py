"""Verdicts on a candidate beside its rival, row by row: on each slice, and by the costs of the decisions."""

import datetime as dt
from dataclasses import dataclass

from lifecycle.artefacts.candidates import Candidate
from lifecycle.gates.candidate_gates.not_costlier import APPROVING_ALL, CHAMPION, CostEvidence, not_costlier
from lifecycle.gates.candidate_gates.not_worse_by_slice import SliceEvidence, not_worse_by_slice
from lifecycle.gates.comparison import ChampionModel, JudgedModel, UnseenRows, unseen_rows
from lifecycle.modelling.baseline import fit_baseline
from lifecycle.modelling.decision_costs import cost_difference, costs_of, costs_of_approving_all
from lifecycle.modelling.evaluation import Predictions
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.slices import chosen_slices, compare_by_slice, slices
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout, judged_rows, predict
from lifecycle.spec.decision import CostsSpec
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Verdict


@dataclass(frozen=True)
class _Compared:
    """The judged model and the champion on the rows that neither was fitted on; `theirs` is ``None`` without one.

    Without a champion, or if it was fitted on the whole holdout, the rows are those of the holdout.
    """

    outcomes: Outcomes
    features: FloatArray
    ours: Predictions
    theirs: Predictions | None


def rival_verdicts(
    spec: RiskModelSpec,
    candidate: Candidate,
    examples: Examples,
    as_of: dt.date,
    judged: JudgedModel,
    champion: ChampionModel | None,
    *,
    is_champion: bool,
) -> tuple[Verdict, Verdict]:
    """The verdicts of `not_worse_by_slice` and `not_costlier`.

    Parameters
    ----------
    champion
        ``None`` before the first release, and if it is the candidate.
    is_champion
        Whether the candidate is the champion.
    """
    gates, costs = spec.gates, spec.decision.costs
    if is_champion:
        return not_worse_by_slice(None, gates.slices), not_costlier(None, costs, gates)
    compared = _compared(spec, examples, as_of, judged, champion)
    evidence = None if costs is None else _cost_evidence(compared, candidate, champion, costs, gates.confidence)
    return (
        not_worse_by_slice(_slice_evidence(spec, examples, as_of, compared), gates.slices),
        not_costlier(evidence, costs, gates),
    )


def _compared(
    spec: RiskModelSpec, examples: Examples, as_of: dt.date, judged: JudgedModel, champion: ChampionModel | None
) -> _Compared:
    unseen = None if champion is None else unseen_rows(spec, examples, as_of, champion)
    if unseen is not None and champion is not None and _has_both(unseen):
        ours, theirs = unseen.predictions(spec, judged, champion)
        return _Compared(unseen.outcomes, unseen.features, ours, theirs)
    outcomes, features = holdout(spec, examples, as_of)
    return _Compared(outcomes, features, predict(judged.text, judged.calibration, features), None)


def _has_both(unseen: UnseenRows) -> bool:
    return 0 < int(unseen.outcomes.is_positive.sum()) < len(unseen.outcomes)


def _slice_evidence(spec: RiskModelSpec, examples: Examples, as_of: dt.date, compared: _Compared) -> SliceEvidence:
    chosen = chosen_slices(spec.features, spec.gates.slices)
    names = tuple(each.feature for each in chosen)
    against = "baseline" if compared.theirs is None else "champion"
    if not chosen:
        return SliceEvidence(against, names, ())
    theirs = compared.theirs
    if theirs is None:
        theirs = fit_baseline(judged_rows(spec, examples, as_of), spec.features).predict(compared.features)
    found = compare_by_slice(
        compared.outcomes,
        compared.ours,
        theirs,
        slices(spec.features, compared.features, chosen),
        spec.gates.metric,
        spec.gates.slices.minimum_positives,
        spec.gates.slices.confidence,
    )
    return SliceEvidence(against, names, found)


def _cost_evidence(
    compared: _Compared, candidate: Candidate, champion: ChampionModel | None, costs: CostsSpec, confidence: float
) -> CostEvidence:
    outcomes = compared.outcomes
    ours = costs_of(outcomes, compared.ours.scores, candidate.deciding.bands, costs)
    if compared.theirs is None or champion is None:
        against, theirs = APPROVING_ALL, costs_of_approving_all(outcomes, costs)
    else:
        against, theirs = CHAMPION, costs_of(outcomes, compared.theirs.scores, champion.bands, costs)
    difference = cost_difference(outcomes, ours, theirs, confidence)
    return CostEvidence(against, len(outcomes), float(ours.mean()), float(theirs.mean()), difference)
