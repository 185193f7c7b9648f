"""Compares a candidate with the champion on days that neither model was fitted on."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.gates.growing_evidence import Looked, PairedFold, look_until_decided
from lifecycle.modelling.baseline import fit_baseline
from lifecycle.modelling.earlier_folds import EarlierFold, earlier_folds
from lifecycle.modelling.evaluation import Interval, Predictions, paired_difference, reviewed_by
from lifecycle.modelling.fitting import FitRows
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.splits import holdout_days
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout, judged_rows, predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray, instant
from serving.contract.documents import Bands, Calibration


@dataclass(frozen=True)
class ChampionComparison:
    """The candidate's judged model against the champion, on the holdout days that are unseen by both.

    `difference` is candidate minus champion by metric, ``None`` if there are too few `positives` to compute it.
    `looked` is the comparison with a margin, over further folds, ``None`` without a margin.
    `champion_trained_until` is the end (exclusive) of the days the champion was fitted on.
    """

    champion_digest: str
    champion_trained_until: dt.date
    unseen_start: dt.date
    unseen_end: dt.date
    rows: int
    positives: int
    difference: dict[str, Interval] | None
    looked: Looked | None = None


@dataclass(frozen=True)
class JudgedModel:
    """The model that the holdout judges; it reads the specification's features.

    `refit` fits its recipe on other rows, ``None`` if it cannot be fitted again.
    """

    text: bytes
    calibration: Calibration
    refit: Callable[[FitRows], bytes] | None = None


@dataclass(frozen=True)
class ChampionModel:
    """The champion's model, the features it reads in their order, and the end (exclusive) of its training days."""

    bundle_digest: str
    trained_until: dt.date
    text: bytes
    calibration: Calibration
    feature_names: tuple[str, ...]
    bands: Bands


def unseen_days(
    holdout_start: dt.date, holdout_end: dt.date, champion_trained_until: dt.date
) -> tuple[dt.date, dt.date] | None:
    """The part ``[start, end)`` of the holdout that the champion was not fitted on; ``None`` if it saw all of it."""
    start = max(holdout_start, champion_trained_until)
    return (start, holdout_end) if start < holdout_end else None


@dataclass(frozen=True)
class UnseenRows:
    """The rows of a holdout's days ``[start, end)`` that the champion was not fitted on."""

    start: dt.date
    end: dt.date
    outcomes: Outcomes
    features: FloatArray

    def predictions(
        self, spec: RiskModelSpec, judged: JudgedModel, champion: ChampionModel
    ) -> tuple[Predictions, Predictions]:
        """Those of the judged model, and of the champion.

        Raises
        ------
        LifecycleError
            If the champion needs a feature that the specification no longer has.
        """
        theirs = predict(champion.text, champion.calibration, champion_columns(spec, champion, self.features))
        return predict(judged.text, judged.calibration, self.features), theirs


def unseen_rows(spec: RiskModelSpec, examples: Examples, as_of: dt.date, champion: ChampionModel) -> UnseenRows | None:
    """The rows of the holdout of `as_of` on which the champion is compared; ``None`` if it was fitted on all of it."""
    outcomes, features = holdout(spec, examples, as_of)
    start, end = holdout_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)
    unseen = unseen_days(start, end, champion.trained_until)
    if unseen is None:
        return None
    rows = np.flatnonzero(outcomes.occurred_at >= instant(unseen[0]))
    return UnseenRows(*unseen, outcomes.rows(rows), features[rows])


def compare_with_champion(
    spec: RiskModelSpec, examples: Examples, as_of: dt.date, judged: JudgedModel, champion: ChampionModel
) -> ChampionComparison | None:
    """Both models on the unseen days of the holdout of `as_of`; ``None`` if there is no such day.

    Raises
    ------
    LifecycleError
        If the champion needs a feature that the specification no longer has.
    """
    unseen = unseen_rows(spec, examples, as_of, champion)
    if unseen is None:
        return None
    outcomes = unseen.outcomes
    positives = int(outcomes.is_positive.sum())
    difference, looked = None, None
    if 0 < positives < len(outcomes):
        ours, theirs = unseen.predictions(spec, judged, champion)
        reviewed, gates = reviewed_by(spec.decision), spec.gates
        difference = paired_difference(outcomes, ours, theirs, reviewed, confidence=gates.confidence)
        if gates.margin is not None:
            newest = PairedFold(unseen.start, unseen.end, outcomes, lambda: (ours, theirs))
            folds = [newest, *_earlier_against_champion(spec, examples, as_of, judged, champion)]
            looked = look_until_decided(folds, reviewed, gates, gates.margin)
    return ChampionComparison(
        champion_digest=champion.bundle_digest,
        champion_trained_until=champion.trained_until,
        unseen_start=unseen.start,
        unseen_end=unseen.end,
        rows=len(outcomes),
        positives=positives,
        difference=difference,
        looked=looked,
    )


def compare_with_baseline(spec: RiskModelSpec, examples: Examples, as_of: dt.date, judged: JudgedModel) -> Looked:
    """The judged model against logistic regression, on the holdout and on the folds before it."""
    outcomes, features = holdout(spec, examples, as_of)
    start, end = holdout_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)

    def newest() -> tuple[Predictions, Predictions]:
        learned = judged_rows(spec, examples, as_of)
        theirs = fit_baseline(learned, spec.features).predict(features)
        return predict(judged.text, judged.calibration, features), theirs

    folds = [PairedFold(start, end, outcomes, newest)]
    folds += [
        PairedFold(fold.start, fold.end, fold.outcomes, partial(_against_baseline, spec, judged, fold))
        for fold in _earlier(spec, examples, as_of, judged, dt.date.min)
    ]
    return look_until_decided(folds, reviewed_by(spec.decision), spec.gates, 0.0)


def _earlier(
    spec: RiskModelSpec, examples: Examples, as_of: dt.date, judged: JudgedModel, not_before: dt.date
) -> list[EarlierFold]:
    if judged.refit is None:
        return []
    return earlier_folds(spec, examples, as_of, spec.gates.folds - 1, not_before)


def _earlier_against_champion(
    spec: RiskModelSpec, examples: Examples, as_of: dt.date, judged: JudgedModel, champion: ChampionModel
) -> list[PairedFold]:
    return [
        PairedFold(fold.start, fold.end, fold.outcomes, partial(_against_champion, spec, judged, champion, fold))
        for fold in _earlier(spec, examples, as_of, judged, champion.trained_until)
    ]


def _refitted(judged: JudgedModel, fold: EarlierFold) -> Predictions:
    if judged.refit is None:
        raise LifecycleError("Expected a recipe to fit again, got none; it has no earlier fold - at the comparison")
    return predict(judged.refit(fold.learned), judged.calibration, fold.features)


def _against_champion(
    spec: RiskModelSpec, judged: JudgedModel, champion: ChampionModel, fold: EarlierFold
) -> tuple[Predictions, Predictions]:
    theirs = predict(champion.text, champion.calibration, champion_columns(spec, champion, fold.features))
    return _refitted(judged, fold), theirs


def _against_baseline(spec: RiskModelSpec, judged: JudgedModel, fold: EarlierFold) -> tuple[Predictions, Predictions]:
    return _refitted(judged, fold), fit_baseline(fold.learned, spec.features).predict(fold.features)


def champion_columns(spec: RiskModelSpec, champion: ChampionModel, features: FloatArray) -> FloatArray:
    """The features in the champion's order; it may read fewer of them.

    Raises
    ------
    LifecycleError
        If it needs a feature that the specification no longer has.
    """
    names = champion.feature_names
    missing = [name for name in names if name not in spec.feature_names]
    if missing:
        raise LifecycleError(
            f"Expected the champion's {len(names)} features to compare with it, missing {missing}; keep them in "
            "`features` until a person has promoted a model without them"
        )
    return np.ascontiguousarray(features[:, [spec.feature_names.index(name) for name in names]])
