"""One training from examples to everything a candidate consists of.

Search and rounds are selected on the validation windows. The judged model is fitted on the window before the holdout,
calibrated on the validation windows' margins (made by the folds' models, so out of time), and evaluated on the holdout
once. With ``training.is_refitted`` the released model is then fitted by the same recipe on the last mature days: the
holdout has judged the procedure, not these trees. Its own margins on later days do not exist yet, so its calibration is
fitted on every out-of-time margin of the procedure: the folds' and the judged model's on the holdout. The decision
bands are cut on the released model's own scores of the last days before ``as_of``, which need no labels: on another
model's scores of earlier days, twice as many cards as promised reached them in a later week. An external model is
neither searched nor fitted: it is calibrated on the validation windows, and the holdout judges these very trees.
"""

import datetime as dt
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from lifecycle.modelling import fitting
from lifecycle.modelling.baseline import fit_baseline
from lifecycle.modelling.calibration import fit_calibration, scores
from lifecycle.modelling.curves import Curves, curves
from lifecycle.modelling.derived_check import check_derived
from lifecycle.modelling.evaluation import Evaluation, Interval, Predictions, compare, reviewed_by
from lifecycle.modelling.external import ExternalModel, compare_margins
from lifecycle.modelling.fitting import Parameters
from lifecycle.modelling.golden import golden_rows
from lifecycle.modelling.reference import SCORE, BinnedColumn, Reference, freeze
from lifecycle.modelling.search import Progress, SearchResult, Trial, search
from lifecycle.modelling.search_choice import Choice
from lifecycle.modelling.splits import Window, weeks_or_days, whole_weeks
from lifecycle.modelling.thresholds import decision_bands
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import WindowCount, Windows, predict, released_window, split_examples
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.contract.derivation import deciding_version
from serving.contract.documents import Calibration, Deciding, GoldenRow, ReasonTexts


@dataclass(frozen=True)
class Trained:
    """Result of one training; it does not depend on the clock or on the machine's number of cores.

    `model_text` and `deciding` decide, and their digest names the candidate. `judged_model_text` is the model of the
    same procedure that `evaluation` describes: it has not seen the holdout. Without a refit the two are the same.
    `baseline_difference` is the model's metric minus the baseline's, over the same bootstrap draws. `importance` is
    each feature's share of the gain in the released model.
    """

    model_text: bytes
    deciding: Deciding
    golden: tuple[GoldenRow, ...]
    judged_model_text: bytes
    judged_calibration: Calibration
    evaluation: Evaluation
    baseline_evaluation: Evaluation
    baseline_difference: dict[str, Interval]
    reference: Reference
    curves: Curves
    importance: dict[str, float]
    parameters: Parameters
    rounds: int
    seed: int
    trials: tuple[Trial, ...]
    choice: Choice | None
    """Which trial was chosen and why; ``None`` for an external model."""
    windows: tuple[WindowCount, ...]
    is_refitted: bool
    trained_until: str
    """End (exclusive) of the days the released model was fitted on, or an external one is declared to be."""


def train(
    spec: RiskModelSpec,
    examples: Examples,
    as_of: dt.date,
    progress: Progress | None = None,
    external: ExternalModel | None = None,
) -> Trained:
    """Search, fit, calibrate, judge on the holdout, and refit on the last mature days.

    An `external` model is only calibrated and judged, with the same windows; the periods of `training.train` fit the
    baseline.

    Parameters
    ----------
    spec, examples, as_of
        The model, its training set, the knowledge cut-off.
    progress
        Called with ``(stage, done, total)``.

    Raises
    ------
    LifecycleError
        If a window is impossible or has no positives; if a derived feature is not what the server would compute, or an
        external model's margin not its library's.
    """
    check_derived(spec, examples)
    report = progress or _no_progress
    split = split_examples(spec, examples, as_of)
    report("split", 1, 1)
    training = _Training(spec, examples, split)
    if external is not None:
        return _judged_external(spec, training, external, report)
    folds = [training.fold(number) for number in range(len(split.folds))]
    found = search(folds, spec.features, spec.training.searched, report)
    judged = training.judge(found)
    report("judged model", 1, 1)
    released = training.release(found.chosen, judged)
    report("released model", 1, 1)
    recipe = _Recipe(found.chosen.parameters, found.chosen.rounds, found.trials, released.window.end, found.choice)
    trained = _trained(spec, training, recipe, judged, released)
    report("evaluation", 1, 1)
    return trained


def _judged_external(spec: RiskModelSpec, training: "_Training", external: ExternalModel, report: Progress) -> Trained:
    """The external model itself, calibrated and judged."""
    judged = training.judge_text(external.content)
    released = _Released(judged.text, judged.calibration, training.split.judged)
    recipe = _Recipe({}, 0, (), external.trained_until)
    trained = _trained(spec, training, recipe, judged, released)
    comparison = compare_margins(external, trained.deciding.features, trained.golden)
    report("evaluation", 1, 1)
    own = {"judged", "holdout", *(f"validation_{number}" for number in range(len(training.split.folds)))}
    return replace(
        trained,
        parameters=external.parameters(comparison),
        windows=tuple(window for window in trained.windows if window.name in own),
    )


@dataclass(frozen=True)
class _Recipe:
    """How the trees were made, and the end (exclusive) of the days they were fitted on."""

    parameters: Parameters
    rounds: int
    trials: tuple[Trial, ...]
    trained_until: dt.date
    choice: Choice | None = None


def _trained(
    spec: RiskModelSpec, training: "_Training", recipe: _Recipe, judged: "_Judged", released: "_Released"
) -> Trained:
    """Assemble the models and their results on the holdout."""
    split = training.split
    outcomes = training.outcomes(split.holdout)
    ours = Predictions(judged.holdout_margins, scores(judged.holdout_margins, judged.calibration))
    theirs = fit_baseline(training.fit_rows(split.judged), spec.features).predict(training.features(split.holdout))
    reviewed, confidence = reviewed_by(spec.decision), spec.gates.confidence
    evaluation, baseline_evaluation, difference = compare(outcomes, ours, theirs, reviewed, confidence=confidence)
    recent, windows = training.recent_traffic(released.text, released.calibration), training.counts()
    base_rate = released_window(windows, spec.training.is_refitted).base_rate
    fitted_on, features, facts = training.features(released.window), spec.contract_features, spec.contract_facts
    return Trained(
        model_text=released.text,
        deciding=Deciding(
            schema_version=deciding_version(features, facts),
            model=spec.name,
            features=features,
            calibration=released.calibration,
            bands=decision_bands(recent, spec.decision, base_rate),
            reason_texts=contract_reason_texts(spec),
            facts=facts or msgspec.UNSET,
        ),
        golden=golden_rows(
            fitted_on,
            features,
            released.text,
            released.calibration,
            training.seed,
            facts,
            training.facts(released.window),
        ),
        judged_model_text=judged.text,
        judged_calibration=judged.calibration,
        evaluation=evaluation,
        baseline_evaluation=baseline_evaluation,
        baseline_difference=difference,
        curves=curves(outcomes, ours),
        reference=training.reference(released),
        importance=fitting.importance(released.text),
        parameters=recipe.parameters,
        rounds=recipe.rounds,
        seed=training.seed,
        trials=recipe.trials,
        choice=recipe.choice,
        windows=windows,
        is_refitted=spec.training.is_refitted,
        trained_until=recipe.trained_until.isoformat(),
    )


@dataclass(frozen=True)
class _Judged:
    """The model before the holdout, its calibration, and its out-of-time margins."""

    text: bytes
    calibration: Calibration
    validation_margins: FloatArray
    validation_labels: BoolArray
    holdout_margins: FloatArray


@dataclass(frozen=True)
class _Released:
    """The model to release, its calibration, and the window it was fitted on."""

    text: bytes
    calibration: Calibration
    window: Window


class _Training(Windows):
    """The models fitted on one training's windows."""

    def judge(self, found: SearchResult) -> _Judged:
        """Fit the model to judge, and calibrate it on the margins of the folds' validation windows."""
        text = self.fit(self.split.judged, found.chosen)
        margins = np.concatenate(found.validation_margins)
        is_positive = np.concatenate([self.labels(fold.validation) for fold in self.split.folds])
        calibration = fit_calibration(margins, is_positive)
        holdout_margins = fitting.margins(text, self.features(self.split.holdout))
        return _Judged(text, calibration, margins, is_positive, holdout_margins)

    def judge_text(self, text: bytes) -> _Judged:
        """A given model, calibrated on its own margins of the validation windows."""
        windows = [fold.validation for fold in self.split.folds]
        margins = np.concatenate([fitting.margins(text, self.features(window)) for window in windows])
        is_positive = np.concatenate([self.labels(window) for window in windows])
        holdout_margins = fitting.margins(text, self.features(self.split.holdout))
        return _Judged(text, fit_calibration(margins, is_positive), margins, is_positive, holdout_margins)

    def release(self, trial: Trial, judged: _Judged) -> _Released:
        """The judged model itself, or its refit on the last mature days."""
        if not self._spec.training.is_refitted:
            return _Released(judged.text, judged.calibration, self.split.judged)
        calibration = fit_calibration(
            np.concatenate([judged.validation_margins, judged.holdout_margins]),
            np.concatenate([judged.validation_labels, self.labels(self.split.holdout)]),
        )
        return _Released(self.fit(self.split.refit, trial), calibration, self.split.refit)

    def fit(self, window: Window, trial: Trial) -> bytes:
        """Fit one trial's recipe on a window."""
        search_spec = self._spec.training.searched
        return fitting.fit(
            self.fit_rows(window),
            self._spec.features,
            trial.parameters,
            trial.rounds,
            seed=search_spec.seed,
            num_threads=search_spec.num_threads,
        )

    def reference(self, released: "_Released") -> Reference:
        """Bins of features and scores over the last whole weeks that the released model was fitted on.

        The scores are the released model's own, although it has seen these rows: another model of the same procedure
        spreads the many low scores elsewhere, which reads as a PSI above 1 in a week where nothing changed, while the
        in-sample scores differ from a later quiet week's by less than 0.01.
        """
        spec = self._spec
        window = whole_weeks(released.window, self._examples.occurred_at)
        blocks = weeks_or_days(window, self._examples.occurred_at)
        columns: dict[str, BinnedColumn] = {}
        for position, feature in enumerate(spec.features):
            levels = len(feature.categories or ()) if feature.dtype == "category" else None
            values = self._examples.features[window.rows, position]
            columns[feature.name] = freeze(values, spec.drift.bins, levels, blocks)
        seen = predict(released.text, released.calibration, self.features(window))
        columns[SCORE] = freeze(seen.scores, spec.drift.bins, blocks=blocks)
        return Reference(columns, window.start.isoformat(), window.end.isoformat())


def contract_reason_texts(spec: RiskModelSpec) -> ReasonTexts | None:
    """The specification's reason texts as the contract that the server reads; ``None`` where it has none."""
    return ReasonTexts(**spec.reason_texts.model_dump()) if spec.reason_texts else None


def _no_progress(stage: str, done: int, total: int) -> None:
    """Ignores progress."""
