"""A judged model and the champion on the rows of its holdout that neither was fitted on, with both models' metrics."""

import datetime as dt

import numpy as np

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.paired_holdouts import PairedHoldouts
from lifecycle.errors import LifecycleError
from lifecycle.gates.comparison import ChampionModel, champion_columns, unseen_days
from lifecycle.modelling.evaluation import compare, reviewed_by
from lifecycle.modelling.splits import holdout_days
from lifecycle.modelling.training import holdout, predict
from lifecycle.modelling.training_set import Examples
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import instant


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
    outcomes, features = holdout(spec, examples, as_of)
    start, end = holdout_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)
    unseen = unseen_days(start, end, champion.trained_until)
    if unseen is None:
        raise LifecycleError(
            f"Expected days of the holdout [{start}, {end}) that the champion was not fitted on, found none: it was "
            f"fitted on the days before {champion.trained_until}"
        )
    rows = np.flatnonzero(outcomes.occurred_at >= instant(unseen[0]))
    outcomes, features = outcomes.rows(rows), features[rows]
    ours = predict(candidate.judged_model_text, candidate.evaluation.judged_calibration, features)
    theirs = predict(champion.text, champion.calibration, champion_columns(spec, champion, features))
    confidence = spec.gates.confidence
    first, second, difference = compare(outcomes, ours, theirs, reviewed_by(spec.decision), confidence=confidence)
    return PairedHoldouts(
        start=unseen[0].isoformat(),
        end=unseen[1].isoformat(),
        rows=len(outcomes),
        positives=int(outcomes.is_positive.sum()),
        first=first,
        second=second,
        difference=difference,
    )
