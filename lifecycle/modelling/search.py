"""Hyperparameter search: selected on out-of-time validation windows only, seeded, budgeted by trials.

The folds grow in lockstep: the number of rounds is the one at which the mean of the metric over all validation windows
is highest, so that it is as much a selected parameter as the others and carries over to the judged and the released
model. Trials are not pruned: pruning would make a trial's value depend on earlier ones beyond the sampler. The search
ends early if `search.patience` trials bring less than a standard error, and keeps the default parameters unless a trial
is better beyond chance (`search_choice`).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.modelling.fitting import FitRows, Parameters, dataset, fixed_parameters, require_both
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.search_choice import Choice, choose, is_a_deviation_better
from lifecycle.spec.risk_model import FeatureSpec
from lifecycle.spec.training import SearchSpec
from lifecycle.tables.arrays import FloatArray

Progress = Callable[[str, int, int], None]
"""Called with ``(stage, done, total)``."""

MAXIMUM_ROUNDS = 600
PATIENCE_ROUNDS = 50
ROUNDS_BETWEEN_EVALUATIONS = 10
STARTUP_TRIALS = 8
"""Random trials before the sampler models the objective; Optuna's default of 10 leaves a short search nothing."""

LIGHTGBM_METRICS = {"average_precision": "average_precision", "roc_auc": "auc"}

DEFAULT: Parameters = {
    "learning_rate": 0.1,
    "max_depth": 4,
    "num_leaves": 16,
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 1.0,
    "feature_fraction": 0.8,
    "bagging_fraction": 1.0,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "boost_from_average": False,
}
"""The first trial of every search.

Measured on weekly folds of the handbook's transactions (train starts 2018-05-16 to 2018-07-11). Growth from log odds 0
is worth .005 of ROC AUC over growth from the base rate, as the first trees then weigh negative rows as much as
positives. A leaf needs a minimum sum of hessians, which requires more rows the surer it is, and no minimum number of
rows. Trees are shallow. Sampled columns are worth .002 of card precision. With LightGBM's own defaults average
precision is .644 instead of .705 (four folds, the handbook's 15 features). `boosting=rf`, `extra_trees`, `path_smooth`,
class weights and the mean of five seeds' models had no benefit."""


@dataclass(frozen=True)
class FoldRows:
    """One fold's arrays: fitted on `train`, selected on `validation`.

    `outcomes` are those of the validation rows with their clusters; ``None`` if each row is a cluster of its own.
    """

    train: FitRows
    validation: FitRows
    outcomes: Outcomes | None = None

    @property
    def compared(self) -> Outcomes:
        """The outcomes of the validation rows."""
        if self.outcomes is not None:
            return self.outcomes
        count = len(self.validation.is_positive)
        days = np.zeros(count, dtype="datetime64[us]")
        return Outcomes(days, np.arange(count), None, self.validation.is_positive)


@dataclass(frozen=True)
class Trial:
    """One set of parameters, its best number of rounds and the metric there, on each fold and in the mean."""

    number: int
    parameters: Parameters
    rounds: int
    score: float
    fold_scores: tuple[float, ...]


def search_gain(trials: Sequence[Trial]) -> tuple[float, ...]:
    """What the best trial brought over the default parameters on each validation fold; empty without trials.

    The best of many trials gains by chance, too: on folds that no trial was chosen on, a gain is smaller.

    Examples
    --------
    >>> trials = [Trial(0, {}, 10, 0.5, (0.4, 0.6)), Trial(1, {}, 10, 0.55, (0.5, 0.6))]
    >>> [round(gain, 3) for gain in search_gain(trials)]
    [0.1, 0.0]
    """
    if not trials:
        return ()
    best = max(trials, key=lambda trial: trial.score)
    return tuple(ours - first for ours, first in zip(best.fold_scores, trials[0].fold_scores, strict=True))


@dataclass(frozen=True)
class SearchResult:
    """All trials in order, which was chosen, and the margins of its models on their validation windows.

    `validation_margins` has an array of shape ``(n_validation,)`` for each fold.
    """

    trials: tuple[Trial, ...]
    choice: Choice
    validation_margins: tuple[FloatArray, ...]

    @property
    def chosen(self) -> Trial:
        """The trial whose recipe is used."""
        return self.trials[self.choice.trial]


@dataclass(frozen=True)
class _Grown:
    """The boosters of one trial (beyond the best number of rounds), that number, and each fold's metric there."""

    boosters: tuple[Any, ...]
    rounds: int
    fold_scores: tuple[float, ...]

    @property
    def score(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.fold_scores))


_NONE: tuple[FloatArray, ...] = ()


def suggest(trial: Any) -> Parameters:
    """The search space: ranges around the values of `DEFAULT`."""
    max_depth = trial.suggest_int("max_depth", 3, 6)
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
        "max_depth": max_depth,
        "num_leaves": 2**max_depth,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": trial.suggest_float("min_sum_hessian_in_leaf", 0.3, 5.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 0.8),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "bagging_freq": 1,
        "lambda_l2": trial.suggest_float("lambda_l2", 0.3, 30.0, log=True),
        "boost_from_average": False,
    }


def search(
    folds: Sequence[FoldRows], schema: Sequence[FeatureSpec], spec: SearchSpec, progress: Progress | None = None
) -> SearchResult:
    """Find parameters and rounds whose mean metric over the validation windows is higher than the defaults'.

    Parameters
    ----------
    folds
        At least one; later windows must not overlap the data that judges the result.
    schema
        The features, in the order of the columns.
    spec
        Trials, seed, metric and threads.
    progress
        Called after every trial.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing in a window.
    """
    import optuna

    fixed = fixed_parameters(schema, spec.seed, spec.num_threads)
    boxes = [_binned(fold, number, schema, fixed) for number, fold in enumerate(folds)]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(seed=spec.seed, n_startup_trials=STARTUP_TRIALS)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.enqueue_trial(DEFAULT)
        tried = _Tried(folds, spec)
        for number in range(spec.trials):
            asked = study.ask()
            parameters = suggest(asked)
            grown = _grow(boxes, {**fixed, **parameters, "metric": LIGHTGBM_METRICS[spec.metric]})
            study.tell(asked, tried.add(Trial(number, parameters, grown.rounds, grown.score, grown.fold_scores), grown))
            if progress is not None:
                progress("search", number + 1, spec.trials)
            if tried.brings_nothing:
                break
    finally:
        optuna.logging.set_verbosity(verbosity)
    return tried.result()


class _Tried:
    """The trials so far, and the margins of the default, of the best, and of the best before the last block."""

    def __init__(self, folds: Sequence[FoldRows], spec: SearchSpec) -> None:
        self._folds, self._spec = folds, spec
        self._outcomes = [fold.compared for fold in folds]
        self._trials: list[Trial] = []
        self._best, self._default, self._best_margins, self._before = -1, _NONE, _NONE, _NONE
        self.brings_nothing = False

    def add(self, trial: Trial, grown: _Grown) -> float:
        """Take a trial; its score."""
        self._trials.append(trial)
        if self._best < 0 or trial.score > self._trials[self._best].score:
            self._best, self._best_margins = trial.number, _margins(grown, self._folds)
        if trial.number == 0:
            self._default = self._before = self._best_margins
        elif trial.number % self._spec.patience == 0:
            self._end_block()
        return trial.score

    def _end_block(self) -> None:
        metric = self._spec.metric
        is_better = is_a_deviation_better(self._outcomes, self._best_margins, self._before, metric)
        self.brings_nothing = not is_better and len(self._trials) < self._spec.trials
        self._before = self._best_margins

    def result(self) -> SearchResult:
        """The choice among the trials."""
        choice = choose(
            self._outcomes,
            (self._best, self._best_margins),
            self._default,
            len(self._trials),
            self._spec.metric,
            is_stopped_early=self.brings_nothing,
        )
        return SearchResult(tuple(self._trials), choice, self._default if choice.is_default else self._best_margins)


def _binned(fold: FoldRows, number: int, schema: Sequence[FeatureSpec], fixed: Mapping[str, Any]) -> tuple[Any, Any]:
    """The fold's datasets; binned once for all trials, as no trial changes the bins."""
    require_both(fold.train, f"the training window of fold {number}")
    require_both(fold.validation, f"the validation window of fold {number}")
    train = dataset(fold.train, schema, fixed)
    return train, dataset(fold.validation, schema, fixed, reference=train)


def _margins(grown: _Grown, folds: Sequence[FoldRows]) -> tuple[FloatArray, ...]:
    """Margins of the boosters, at the best number of rounds, on their validation windows."""
    return tuple(
        booster.predict(fold.validation.features, raw_score=True, num_iteration=grown.rounds, num_threads=1)
        for booster, fold in zip(grown.boosters, folds, strict=True)
    )


def _grow(boxes: Sequence[tuple[Any, Any]], parameters: Mapping[str, Any]) -> _Grown:
    """Grow all folds together, to some rounds beyond the best.

    Each fold grows in a thread of its own, as LightGBM releases the interpreter; folds do not depend on each other.
    """
    best_rounds, best_scores = 0, [-np.inf] * len(boxes)
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in boxes]
        started = [thread.submit(_start, *box, parameters) for thread, box in zip(threads, boxes, strict=True)]
        boosters = [future.result() for future in started]
        for rounds in range(ROUNDS_BETWEEN_EVALUATIONS, MAXIMUM_ROUNDS + 1, ROUNDS_BETWEEN_EVALUATIONS):
            grown = [thread.submit(_advance, booster) for thread, booster in zip(threads, boosters, strict=True)]
            scores = [future.result() for future in grown]
            if np.mean(scores) > np.mean(best_scores):
                best_rounds, best_scores = rounds, scores
            elif rounds - best_rounds >= PATIENCE_ROUNDS:
                break
    return _Grown(tuple(boosters), best_rounds, tuple(best_scores))


def _start(train: Any, validation: Any, parameters: Mapping[str, Any]) -> Any:
    """A booster without trees, made in the thread that will grow it: LightGBM's log level belongs to a thread."""
    import lightgbm

    return lightgbm.Booster(params=dict(parameters), train_set=train).add_valid(validation, "validation")


def _advance(booster: Any) -> float:
    """Grow some rounds; the metric on the validation window after them."""
    for _ in range(ROUNDS_BETWEEN_EVALUATIONS):
        booster.update()
    return float(booster.eval_valid()[0][2])
