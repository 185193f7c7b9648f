"""Two candidates on the same rows: those of both holdouts, which neither judged model was fitted on."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from lifecycle.artefacts.candidates import Candidate
from lifecycle.errors import LifecycleError
from lifecycle.modelling.evaluation import Evaluation, Interval, Predictions, compare, reviewed_by
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.training_set import Examples, labels
from lifecycle.modelling.windows import WindowCount, predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import AnyArray, instant
from serving.contract.documents import Feature


@dataclass(frozen=True)
class HoldoutScores:
    """A judged model on its holdout: identifiers, outcomes and predictions of its rows, in the same order."""

    window: WindowCount
    ids: AnyArray
    outcomes: Outcomes
    predictions: Predictions

    def at(self, ids: AnyArray) -> tuple[Outcomes, Predictions]:
        """The rows with these identifiers, all of which it has, in their order."""
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids, ids, sorter=order)]
        scored = self.predictions
        return self.outcomes.rows(rows), Predictions(scored.margins[rows], scored.scores[rows])


@dataclass(frozen=True)
class PairedHoldouts:
    """Both models on their common rows, and `difference`, the first minus the second over the same bootstrap draws."""

    start: str
    end: str
    rows: int
    positives: int
    first: Evaluation
    second: Evaluation
    difference: dict[str, Interval]


def holdout_scores(spec: RiskModelSpec, candidate: Candidate, examples: Examples) -> HoldoutScores:
    """The judged model of a candidate on the holdout of its training set.

    Parameters
    ----------
    examples
        The training set that the candidate was trained on.

    Raises
    ------
    LifecycleError
        If the candidate reads a feature that the specification lacks, or has with other values.
    """
    evaluation = candidate.evaluation
    window = next(window for window in evaluation.windows if window.name == "holdout")
    is_inside = (examples.occurred_at >= _instant(window.start)) & (examples.occurred_at < _instant(window.end))
    is_positive, is_mature = labels(examples, _date(window.known_at), spec.label.maturity_days)
    # By column, an example whose outcome is not known is in no holdout.
    rows = np.flatnonzero(is_inside if examples.outcome is None else is_inside & is_mature)
    columns = np.array(_columns(spec, candidate.deciding.features), dtype=np.int64)
    features = np.ascontiguousarray(examples.features[np.ix_(rows, columns)])
    every = Outcomes(examples.occurred_at, examples.entity, examples.amount, is_positive, examples.clusters)
    outcomes = every.rows(rows)
    predictions = predict(candidate.judged_model_text, evaluation.judged_calibration, features)
    return HoldoutScores(window, examples.id[rows], outcomes, predictions)


def pair(spec: RiskModelSpec, first: HoldoutScores, second: HoldoutScores) -> PairedHoldouts:
    """Both models on the rows of both holdouts, with the outcomes as the later one knows them.

    Raises
    ------
    LifecycleError
        If the holdouts have no row in common, or one class only on the common rows.
    """
    common = np.intersect1d(first.ids, second.ids)
    if not len(common):
        raise LifecycleError(
            f"Expected two holdouts with rows in common, got [{first.window.start}, {first.window.end}) and "
            f"[{second.window.start}, {second.window.end}); compare candidates of the same date"
        )
    (our_outcomes, ours), (their_outcomes, theirs) = first.at(common), second.at(common)
    outcomes = our_outcomes if first.window.known_at >= second.window.known_at else their_outcomes
    reviewed, confidence = reviewed_by(spec.decision), spec.gates.confidence
    evaluations = compare(outcomes, ours, theirs, reviewed, confidence=confidence)
    return PairedHoldouts(
        start=max(first.window.start, second.window.start),
        end=min(first.window.end, second.window.end),
        rows=len(common),
        positives=int(outcomes.is_positive.sum()),
        first=evaluations[0],
        second=evaluations[1],
        difference=evaluations[2],
    )


def _columns(spec: RiskModelSpec, features: tuple[Feature, ...]) -> list[int]:
    """Positions of a candidate's features in the specification."""
    declared = {feature.name: feature.contract() for feature in spec.features}
    unknown = [
        feature.name
        for feature in features
        if feature.name not in declared
        or (declared[feature.name].dtype, declared[feature.name].categories) != (feature.dtype, feature.categories)
    ]
    if unknown:
        raise LifecycleError(
            f"Expected the candidate's {len(features)} features in the model's file, missing or of another type "
            f"{unknown} - at `features` of {spec.name}"
        )
    return [spec.feature_names.index(feature.name) for feature in features]


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _instant(text: str) -> np.datetime64:
    return instant(_date(text))
