"""The windows of one training: their rows, outcomes and features, for a training and for what judges it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling import fitting
from lifecycle.modelling.calibration import scores
from lifecycle.modelling.evaluation import Predictions
from lifecycle.modelling.fitting import FitRows
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.search import FoldRows
from lifecycle.modelling.splits import Split, Window, out_of_time_split
from lifecycle.modelling.thresholds import Traffic
from lifecycle.modelling.training_set import Examples, labels
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.contract.documents import Calibration


@dataclass(frozen=True)
class WindowCount:
    """One window of a training: its dates, when its labels were known, and its rows.

    `unknown` examples of the window are left out, since their outcome is not known.
    """

    name: str
    start: str
    end: str
    known_at: str
    rows: int
    positives: int
    unknown: int = 0

    @property
    def base_rate(self) -> float:
        """Share of positives."""
        return self.positives / self.rows


class Windows:
    """The arrays of one training's windows."""

    def __init__(self, spec: RiskModelSpec, examples: Examples, split: Split) -> None:
        self._spec, self._examples, self.split = spec, examples, split
        self.seed = spec.training.searched.seed

    def features(self, window: Window) -> FloatArray:
        """A window's features, shape ``(n, n_features)``."""
        return np.ascontiguousarray(self._examples.features[window.rows])

    def facts(self, window: Window) -> FloatArray | None:
        """A window's facts, shape ``(n, n_facts)``; ``None`` without any."""
        facts = self._examples.facts
        return None if facts is None else np.ascontiguousarray(facts[window.rows])

    def labels(self, window: Window) -> BoolArray:
        """Positives of a window, as known at its `known_at`."""
        is_positive, _ = labels(self._examples, window.known_at, self._spec.label.maturity_days)
        return is_positive[window.rows]

    def fit_rows(self, window: Window) -> FitRows:
        """Features and labels of a window."""
        return FitRows(self.features(window), self.labels(window))

    def fold(self, number: int) -> FoldRows:
        """A fold's arrays."""
        fold = self.split.folds[number]
        return FoldRows(self.fit_rows(fold.train), self.fit_rows(fold.validation), self.outcomes(fold.validation))

    def outcomes(self, window: Window) -> Outcomes:
        """Outcomes of a window, as known at its `known_at`."""
        rows = window.rows
        examples = self._examples
        amount = None if examples.amount is None else examples.amount[rows]
        clusters = tuple(column[rows] for column in examples.clusters)
        return Outcomes(examples.occurred_at[rows], examples.entity[rows], amount, self.labels(window), clusters)

    def recent_traffic(self, model_text: bytes, calibration: Calibration) -> Traffic:
        """The last days before ``as_of`` with a model's scores."""
        rows, examples = self.split.recent.rows, self._examples
        recent = predict(model_text, calibration, self.features(self.split.recent))
        return Traffic(examples.occurred_at[rows], examples.entity[rows], recent.scores)

    def counts(self) -> tuple[WindowCount, ...]:
        """Every window's dates, rows and positives, for evidence."""
        named = [("judged", self.split.judged), ("holdout", self.split.holdout), ("refit", self.split.refit)]
        for number, fold in enumerate(self.split.folds):
            named += [(f"train_{number}", fold.train), (f"validation_{number}", fold.validation)]
        return tuple(
            WindowCount(
                name=name,
                **window.dates(),
                rows=len(window.rows),
                positives=int(self.labels(window).sum()),
                unknown=window.unknown,
            )
            for name, window in named
        )


def released_window(windows: Sequence[WindowCount], is_refitted: bool) -> WindowCount:
    """The window that the released model was fitted on."""
    name = "refit" if is_refitted else "judged"
    return next(window for window in windows if window.name == name)


def split_examples(spec: RiskModelSpec, examples: Examples, as_of: dt.date) -> Split:
    """The windows of a training at `as_of`; examples whose outcome is not known are in none of those that need it.

    Raises
    ------
    LifecycleError
        If a window is impossible or empty.
    """
    known_at = None if examples.outcome is None else examples.known_at
    return out_of_time_split(
        examples.occurred_at, as_of, spec.training, spec.label.maturity_days, known_at, spec.examples.cadence
    )


def holdout(spec: RiskModelSpec, examples: Examples, as_of: dt.date) -> tuple[Outcomes, FloatArray]:
    """Outcomes and features of the holdout that a training at `as_of` is judged on, to compare another model there."""
    split = split_examples(spec, examples, as_of)
    return Windows(spec, examples, split).outcomes(split.holdout), np.ascontiguousarray(
        examples.features[split.holdout.rows]
    )


def judged_rows(spec: RiskModelSpec, examples: Examples, as_of: dt.date) -> FitRows:
    """What the judged model of a training at `as_of` was fitted on."""
    split = split_examples(spec, examples, as_of)
    return Windows(spec, examples, split).fit_rows(split.judged)


def recent_traffic(
    spec: RiskModelSpec, examples: Examples, as_of: dt.date, model_text: bytes, calibration: Calibration
) -> Traffic:
    """The days that the bands of a training at `as_of` are cut on, with a model's scores."""
    split = split_examples(spec, examples, as_of)
    return Windows(spec, examples, split).recent_traffic(model_text, calibration)


def predict(model_text: bytes, calibration: Calibration, features: FloatArray) -> Predictions:
    """Margins and scores of rows of shape ``(n, n_features)``.

    Raises
    ------
    LifecycleError
        If the model has another number of features.
    """
    row_margins = fitting.margins(model_text, features)
    return Predictions(row_margins, scores(row_margins, calibration))
