"""A judged model and the champion on the rows of its holdout that neither was fitted on, with both models' metrics."""

import datetime as dt

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.paired_holdouts import PairedHoldouts
from lifecycle.errors import LifecycleError
from lifecycle.gates.comparison import ChampionModel, JudgedModel, unseen_rows
from lifecycle.modelling.evaluation import compare, reviewed_by
from lifecycle.modelling.splits import holdout_days
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.risk_model import RiskModelSpec


def champion_model(champion: Candidate, bundle_digest: str) -> ChampionModel:
    """The champion's candidate as the model that others are compared with."""
    deciding = champion.deciding
    return ChampionModel(
        bundle_digest=bundle_digest,
        trained_until=dt.date.fromisoformat(champion.evaluation.trained_until),
        text=champion.model_text,
        calibration=deciding.calibration,
        feature_names=tuple(feature.name for feature in deciding.features),
        bands=deciding.bands,
    )


def beside_champion(
    spec: RiskModelSpec, candidate: Candidate, examples: Examples, champion: ChampionModel
) -> PairedHoldouts:
    """Both models on the days that the gate `not_worse_than_champion` compares them on; nothing is fitted.

    Intervals are percentiles over draws of entities, so that they differ from the gate's where it counts clusters or
    looks at further folds.

    Parameters
    ----------
    spec
        The file that the candidate was trained by.
    examples
        The training set that the candidate was trained on.

    Raises
    ------
    LifecycleError
        If the champion was fitted on the whole holdout, needs a feature that the specification lacks, or the unseen
        rows have one class only.
    """
    as_of = dt.date.fromisoformat(candidate.lineage.as_of)
    unseen = unseen_rows(spec, examples, as_of, champion)
    if unseen is None:
        start, end = holdout_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)
        raise LifecycleError(
            f"Expected days of the holdout [{start}, {end}) that the champion was not fitted on, found none: it was "
            f"fitted on the days before {champion.trained_until}"
        )
    judged = JudgedModel(candidate.judged_model_text, candidate.evaluation.judged_calibration)
    ours, theirs = unseen.predictions(spec, judged, champion)
    outcomes = unseen.outcomes
    confidence = spec.gates.confidence
    first, second, difference = compare(outcomes, ours, theirs, reviewed_by(spec.decision), confidence=confidence)
    return PairedHoldouts(
        start=unseen.start.isoformat(),
        end=unseen.end.isoformat(),
        rows=len(outcomes),
        positives=int(outcomes.is_positive.sum()),
        first=first,
        second=second,
        difference=difference,
    )
