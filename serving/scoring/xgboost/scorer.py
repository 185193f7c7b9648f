"""Margins of an XGBoost model, bit for bit those of XGBoost's CPU predictor, without XGBoost."""

import logging
import struct
import threading
from collections.abc import Sequence

from serving.contract.documents import ContractError, Feature
from serving.scoring.forest import Forest
from serving.scoring.margin.evaluator import Evaluation, Margins, first_difference
from serving.scoring.xgboost.document import WHERE
from serving.scoring.xgboost.forest import as_forest
from serving.scoring.xgboost.trees import NUMERIC, XGBoostTrees
from serving.scoring.xgboost.walk import walk

_log = logging.getLogger(__name__)

_CATEGORICAL_TYPE = "c"


class XGBoostScorer:
    """One loaded model. Any thread may call it; each has its own working memory.

    Compiled margins are used only if they equal `walk`'s bit for bit on rows made from the model's own thresholds.
    Otherwise `walk` scores, which takes some hundred times as long.

    Parameters
    ----------
    trees
        The model; `check_inputs` compares its inputs with a schema.

    Attributes
    ----------
    forest
        The trees as the kernels walk them.
    is_compiled
        Whether compiled code computes the margins.
    """

    def __init__(self, trees: XGBoostTrees) -> None:
        self.n_features = trees.n_features
        self.forest: Forest = as_forest(trees)
        self._trees = trees
        self._own = threading.local()
        self._row = struct.Struct(f"{trees.n_features}d")
        self._margins = self._checked()
        self.is_compiled = self._margins is not None

    def margin(self, row: Sequence[float]) -> float:
        """Log odds before calibration of one row, shape ``(n_features,)``; NaN means missing.

        It is a number of single precision: XGBoost rounds every value of the row and every sum to it.

        Raises
        ------
        struct.error
            If the row has another length.
        """
        if self._margins is None:
            return walk(self._trees, self._row.unpack(self._row.pack(*row)))
        try:
            evaluation: Evaluation = self._own.evaluation
        except AttributeError:
            evaluation = self._own.evaluation = Evaluation(self._margins)
        self._row.pack_into(evaluation.buffer, 0, *row)
        return evaluation.predict()

    def _checked(self) -> Margins | None:
        """The compiled margins if they equal those of the walk; else a warning and ``None``."""
        try:
            margins = Margins.from_forest(self.forest)
        except (ContractError, ImportError, RuntimeError) as error:
            _log.warning("The margins are computed without compiled code: %s", error)
            return None
        evaluation = Evaluation(margins)

        def compiled(row: Sequence[float]) -> float:
            self._row.pack_into(evaluation.buffer, 0, *row)
            return evaluation.predict()

        probe = first_difference(self.forest, compiled, lambda row: walk(self._trees, row))
        if probe is not None:
            _log.warning("The margins are computed without compiled code, which differs - at probe %d", probe)
            return None
        return margins


def check_inputs(trees: XGBoostTrees, schema: Sequence[Feature]) -> None:
    """Check that a model's inputs are the features of a schema, in this order and of these types.

    Raises
    ------
    ContractError
        If a name or a type differs, a categorical split is on a number, or a category is not one of the schema's. The
        message names the inputs.
    """
    expected, got = [feature.name for feature in schema], list(trees.feature_names)
    if got != expected:
        missing, other = [name for name in expected if name not in got], [name for name in got if name not in expected]
        found = f"missing {missing}, others {other}" if missing or other else f"the order {got}"
        raise ContractError(f"Expected the inputs {expected} in this order, got {found} - {WHERE}, feature_names")
    is_set = trees.bitset != NUMERIC
    for index, feature in enumerate(schema):
        is_category = feature.dtype == "category"
        if trees.feature_types and (trees.feature_types[index] == _CATEGORICAL_TYPE) != is_category:
            wanted = "the type c" if is_category else "a numeric type"
            raise ContractError(
                f"Expected {wanted} for the input {feature.name!r} of dtype {feature.dtype}, got "
                f"{trees.feature_types[index]!r} - {WHERE}, feature_types"
            )
        is_own = (trees.feature == index) & (trees.left >= 0)
        if is_category and not trees.feature_types and (is_own & ~is_set).any():
            raise ContractError(
                f"Expected categorical splits on the input {feature.name!r}, got thresholds of its codes - {WHERE}"
            )
        if not is_category and (is_own & is_set).any():
            raise ContractError(f"Expected thresholds on the input {feature.name!r}, got categories - {WHERE}")
        if is_category:
            _check_categories(trees, index, feature)


def _check_categories(trees: XGBoostTrees, index: int, feature: Feature) -> None:
    """The codes of the trees' categories are positions in the schema's list; their names, if any, must be its names."""
    categories, names = feature.categories or (), trees.category_names[index]
    wanted = [category.encode() for category in categories]
    # XGBoost 3.2 cuts a name to as many bytes as it has characters.
    cut = [name[: len(category)] for name, category in zip(wanted, categories, strict=True)]
    if names and list(names) not in (wanted, cut):
        raise ContractError(
            f"Expected the categories {list(categories)} of the input {feature.name!r} in this order, got "
            f"{[name.decode(errors='replace') for name in names]} - {WHERE}, cats"
        )
    bitsets = trees.bitset[(trees.feature == index) & (trees.bitset != NUMERIC)]
    for number in bitsets.tolist():
        words = trees.words[trees.word_bounds[number] : trees.word_bounds[number + 1]]
        largest = 32 * (len(words) - 1) + int(words[-1]).bit_length() - 1
        if largest >= len(categories):
            raise ContractError(
                f"Expected codes of categories below {len(categories)} of the input {feature.name!r}, got {largest}; "
                f"the codes are positions in the feature's categories - {WHERE}"
            )
