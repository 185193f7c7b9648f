"""Loads a bundle, checks its golden rows, then scores and explains with it."""

import math
import statistics
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.artefacts.bundle import Bundle
from serving.contract.documents import Bands, ContractError, DecisionName, Feature, GoldenRow, ModelFormat, Reason
from serving.contract.features import RowEncoder, Value, encode
from serving.scoring.forest import Forest, forest_if_supported, read_forest
from serving.scoring.golden_derivation import adverse_example, check_derived
from serving.scoring.lightgbm_library import ScoringError
from serving.scoring.probability import probability
from serving.scoring.reasons import ExplainingError, ReasonGroups
from serving.scoring.scorer import Scorer
from serving.scoring.shap.layout import lay_out
from serving.scoring.shap.tree_shap import TreeShap
from serving.scoring.trial_load import check_in_child
from serving.scoring.xgboost.scorer import XGBoostScorer, check_inputs
from serving.scoring.xgboost.trees import read_trees

SCORE_TOLERANCE: Final = 1e-12
CONTRIBUTION_TOLERANCE: Final = 1e-9


class Scored(msgspec.Struct, frozen=True, gc=False):
    """Result of scoring one row: log odds, calibrated probability, decision."""

    margin: float
    score: float
    decision: DecisionName


class LoadedModel:
    """A model that scores and explains; built by `load_model`.

    `explain_seconds` is the median time of one explanation, measured on the golden rows during loading; 0 if
    the model cannot explain. `example` holds the fields of a request with a high score at `EXAMPLE_MOMENT`, mixed from
    golden rows, none of which is a customer's.
    """

    def __init__(self, bundle: Bundle, scorer: Scorer | XGBoostScorer, shap: TreeShap | None = None) -> None:
        deciding = bundle.deciding
        self.bundle = bundle
        self.explain_seconds = 0.0
        self.example: Mapping[str, Value] = {}
        self._scorer = scorer
        self._shap = shap
        self._groups = ReasonGroups(deciding.features, deciding.reason_texts) if deciding.reason_texts else None
        self._encoder = RowEncoder(deciding.features)
        self._calibration = deciding.calibration
        self._bands = deciding.bands

    def score(self, values: Sequence[Value]) -> Scored:
        """Score one row of valid feature values in the schema's order.

        Raises
        ------
        ScoringError
            If LightGBM rejects the row, or the margin is not finite.
        """
        margin = self._scorer.margin(self._encoder.row(values))
        if not math.isfinite(margin):
            raise ScoringError("Expected a finite margin, got NaN or infinity - at the model's output")
        score = probability(margin, self._calibration)
        return Scored(margin, score, decision_of(score, self._bands))

    @property
    def can_explain(self) -> bool:
        """Whether the bundle holds reason texts."""
        return self._shap is not None and self._groups is not None

    def explain(self, values: Sequence[Value]) -> tuple[Reason, ...]:
        """The principal reasons for an adverse decision on one row, the strongest first, at most four.

        Parameters
        ----------
        values
            Valid feature values in the schema's order.

        Raises
        ------
        ExplainingError
            If the bundle has no reason texts, or the contributions cannot be computed.
        """
        if self._groups is None:
            raise ExplainingError(f"Expected reason texts, got a bundle without them - at bundle {self.bundle.digest}")
        return self._groups.principal(self.contributions(values)[:-1].tolist())

    def contributions(self, values: Sequence[Value]) -> NDArray[np.float64]:
        """Contribution of each feature to the margin, then the expected margin: shape ``(n_features + 1,)``.

        Raises
        ------
        ExplainingError
            If the bundle has neither reason texts nor golden contributions, or a contribution is not finite.
        """
        where = f"at bundle {self.bundle.digest}"
        if self._shap is None:
            raise ExplainingError(f"Expected reason texts or golden contributions, got a bundle without them - {where}")
        try:
            contributions = self._shap.contributions(self._encoder.row(values))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ExplainingError(f"Expected contributions, got {type(error).__name__} - {where}") from None
        if not np.isfinite(contributions).all():
            raise ExplainingError(f"Expected finite contributions, got NaN or infinity - {where}")
        return contributions


def decision_of(score: float, bands: Bands) -> DecisionName:
    """Decision for a score by the frozen thresholds.

    Examples
    --------
    >>> decision_of(0.5, Bands(review_from=0.2, decline_from=0.5))
    'decline'
    >>> decision_of(0.1, Bands(review_from=None))
    'approve'
    """
    if bands.decline_from is not None and score >= bands.decline_from:
        return "decline"
    if bands.review_from is not None and score >= bands.review_from:
        return "review"
    return "approve"


def load_model(bundle: Bundle) -> LoadedModel:
    """Load a verified bundle and check its golden rows, which also warms the model up.

    A process of its own loads LightGBM's trees first, so that no crash of LightGBM reaches this one. XGBoost's trees
    are read by our own code, which checks them.

    Raises
    ------
    NotWholeError
        If the model file was cut or a tree is damaged.
    ContractError
        If LightGBM cannot load the trees, or ends the process that tries; if their inputs are not the schema's; if
        there are reason texts, but a feature has no group, a group has no text, or the trees cannot be explained; or if
        a golden row's result differs: the margin in a single bit, the score by more than 1e-12, or a contribution by
        more than 1e-9. The message names the row and both numbers.
    """
    where = f"bundle {bundle.digest}"
    try:
        is_explained = _is_explained(bundle)
        scorer, forest = scorer_of(
            bundle.model_text, bundle.manifest.model_format, bundle.deciding.features, is_explained=is_explained
        )
        loaded = LoadedModel(bundle, scorer, TreeShap(lay_out(forest)) if forest and is_explained else None)
        for number, golden in enumerate(bundle.golden, start=1):
            _check_golden(loaded, scorer, golden, f"{where}, golden row {number}")
        loaded.example = adverse_example(loaded)
        if loaded.can_explain:
            loaded.explain_seconds = _explain_seconds(loaded)
    except ScoringError as error:
        raise ContractError(f"Expected a model that loads and scores, got: {error} - at {where}") from error
    return loaded


def scorer_of(
    model_text: bytes, model_format: ModelFormat, schema: Sequence[Feature], *, is_explained: bool
) -> tuple[Scorer | XGBoostScorer, Forest | None]:
    """What computes the margins of a model file, and its trees; ``None`` for trees that only LightGBM can score.

    Raises
    ------
    ContractError
        As `load_model`, but for the golden rows; with `is_explained` also if the trees cannot be explained.
    ScoringError
        If LightGBM cannot read the text.
    """
    if model_format == "xgboost":
        trees = read_trees(model_text)
        check_inputs(trees, schema)
        xgboost_scorer = XGBoostScorer(trees)
        return xgboost_scorer, xgboost_scorer.forest
    forest = read_forest(model_text) if is_explained else forest_if_supported(model_text)
    check_in_child(model_text, len(schema))
    return Scorer(model_text, [feature.name for feature in schema], forest), forest


def _is_explained(bundle: Bundle) -> bool:
    return bundle.deciding.reason_texts is not None or any(row.contributions is not None for row in bundle.golden)


def _explain_seconds(loaded: LoadedModel) -> float:
    seconds = []
    for golden in loaded.bundle.golden:
        values = tuple(golden.features[feature.name] for feature in loaded.bundle.deciding.features)
        began = time.perf_counter()
        loaded.explain(values)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def bits(value: float) -> bytes:
    """The eight bytes of a double, for a bit-for-bit comparison."""
    return struct.pack("<d", value)


def _check_golden(loaded: LoadedModel, scorer: Scorer | XGBoostScorer, golden: GoldenRow, where: str) -> None:
    try:
        check_derived(golden, loaded.bundle.deciding)
        row = encode(golden.features, loaded.bundle.deciding.features)
    except ContractError as error:
        raise ContractError(f"{error}, {where}") from None
    margin = scorer.margin(row)
    if bits(margin) != bits(golden.margin):
        raise ContractError(f"Expected margin {golden.margin!r}, got {margin!r} - at {where}")
    score = probability(margin, loaded.bundle.deciding.calibration)
    if not abs(score - golden.score) <= SCORE_TOLERANCE:
        raise ContractError(f"Expected score {golden.score!r}, got {score!r} - at {where}")
    if golden.contributions is not None:
        _check_contributions(loaded, golden, where)


def _check_contributions(loaded: LoadedModel, golden: GoldenRow, where: str) -> None:
    features = loaded.bundle.deciding.features
    expected = golden.contributions or ()
    actual = loaded.contributions(tuple(golden.features[feature.name] for feature in features)).tolist()
    if len(actual) != len(expected):
        raise ContractError(f"Expected {len(actual)} contributions, got {len(expected)} - at {where}")
    names = [*(feature.name for feature in features), "the expected margin"]
    for name, contribution, wanted in zip(names, actual, expected, strict=True):
        if not abs(contribution - wanted) <= CONTRIBUTION_TOLERANCE:
            raise ContractError(f"Expected contribution {wanted!r} of {name}, got {contribution!r} - at {where}")
