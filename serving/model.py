"""A bundle made ready to decide: its trees loaded, its golden rows checked."""

import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from serving.bundle import Bundle
from serving.contract import Bands, ContractError, DecisionName, GoldenRow, Reason
from serving.encoding import RowEncoder, Value, encode
from serving.lightgbm_library import ScoringError
from serving.probability import probability
from serving.scorer import Scorer

SCORE_TOLERANCE: Final = 1e-12


class Scored(NamedTuple):
    """What a model says of one row: log odds, calibrated probability, decision."""

    margin: float
    score: float
    decision: DecisionName


class LoadedModel:
    """A model that scores; built by `load_model`."""

    can_explain = False
    explain_seconds = 0.0

    def explain(self, values: Sequence[Value]) -> tuple[Reason, ...]:
        """Replaced when the explainer comes in."""
        raise ScoringError("none")

    def __init__(self, bundle: Bundle, scorer: Scorer) -> None:
        deciding = bundle.deciding
        self.bundle = bundle
        self._scorer = scorer
        self._encoder = RowEncoder(deciding.features)
        self._calibration = deciding.calibration
        self._bands = deciding.bands

    def score(self, values: Sequence[Value]) -> Scored:
        """Score one row of valid feature values in the schema's order.

        Raises
        ------
        ScoringError
            If LightGBM refuses the row, or the margin is not finite.
        """
        margin = self._scorer.margin(self._encoder.row(values))
        if not math.isfinite(margin):
            raise ScoringError("Expected a finite margin, got another - at the model's answer")
        score = probability(margin, self._calibration)
        return Scored(margin, score, decision_of(score, self._bands))


def decision_of(score: float, bands: Bands) -> DecisionName:
    """The decision that the frozen thresholds give a score.

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

    Raises
    ------
    ContractError
        If LightGBM cannot load the trees, their inputs are not the schema's, or a golden row comes out differently: the
        margin in a single bit, or the score by more than 1e-12. The message names the row and both numbers.
    """
    where = f"bundle {bundle.digest}"
    features = bundle.deciding.features
    try:
        scorer = Scorer(bundle.model_text, [feature.name for feature in features])
        loaded = LoadedModel(bundle, scorer)
        for number, golden in enumerate(bundle.golden, start=1):
            _check_golden(loaded, scorer, golden, f"{where}, golden row {number}")
    except ScoringError as error:
        raise ContractError(f"Expected a model that loads and scores, got: {error} - at {where}") from error
    return loaded


def bits(value: float) -> bytes:
    """The eight bytes of a double: equal exactly if two doubles are the same bit for bit."""
    return struct.pack("<d", value)


def _check_golden(loaded: LoadedModel, scorer: Scorer, golden: GoldenRow, where: str) -> None:
    try:
        row = encode(golden.features, loaded.bundle.deciding.features)
    except ContractError as error:
        raise ContractError(f"{error}, {where}") from None
    margin = scorer.margin(row)
    if bits(margin) != bits(golden.margin):
        raise ContractError(f"Expected margin {golden.margin!r}, got {margin!r} - at {where}")
    score = probability(margin, loaded.bundle.deciding.calibration)
    if not abs(score - golden.score) <= SCORE_TOLERANCE:
        raise ContractError(f"Expected score {golden.score!r}, got {score!r} - at {where}")
