"""Whether a model's contributions add up, and whether its first reasons depend on the seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.calibration import scores
from lifecycle.modelling.fitting import margins, served_contributions
from lifecycle.modelling.robustness import OTHER_SEEDS, SEED, ProbedModel
from lifecycle.tables.arrays import FloatArray, IntArray
from serving.contract.documents import Feature
from serving.scoring.model_text import format_of

EXPLAINED_ROWS = 500


@dataclass(frozen=True)
class Explanations:
    """What was found: the largest distance of a row's contributions from its margin, and equal first reasons.

    The contributions are the server's own. `is_single_precision` is true of XGBoost's margins, which are rounded sums.
    `agreement` is the share of the `stopped` rows, reviewed or declined, whose first reason group is also that of the
    recipe fitted with another seed; ``None`` for a model that cannot be fitted again or gives no reasons.
    """

    rows: int
    largest_gap: float
    stopped: int
    agreement: float | None
    is_single_precision: bool = False


def measure_explanations(model: ProbedModel, rows: FloatArray) -> Explanations:
    """Explain at most `EXPLAINED_ROWS` rows, those of highest score among them.

    Parameters
    ----------
    rows
        Shape ``(n, n_features)``.
    """
    row_margins = margins(model.text, np.ascontiguousarray(rows))
    chosen = _chosen(row_margins)
    table, row_margins = np.ascontiguousarray(rows[chosen]), row_margins[chosen]
    added = served_contributions(model.text, table)
    gaps = np.abs(added.sum(axis=1) - row_margins)
    review_from = model.bands.review_from
    row_scores = scores(row_margins, model.calibration)
    stopped = np.flatnonzero(row_scores >= review_from) if review_from is not None else np.array([], np.int64)
    return Explanations(
        rows=len(table),
        largest_gap=float(gaps.max(initial=0.0)),
        stopped=len(stopped),
        agreement=_agreement(model, table[stopped], added[stopped]) if len(stopped) else None,
        is_single_precision=format_of(model.text) == "xgboost",
    )


def _chosen(row_margins: FloatArray) -> IntArray:
    """Half of the rows by the highest margins, half drawn from the rest."""
    order = np.argsort(-row_margins, kind="stable")
    rest = order[EXPLAINED_ROWS // 2 :]
    drawn = np.random.default_rng(SEED).permutation(rest)[: EXPLAINED_ROWS - EXPLAINED_ROWS // 2]
    return np.sort(np.concatenate([order[: EXPLAINED_ROWS // 2], drawn]))


def _agreement(model: ProbedModel, rows: FloatArray, added: FloatArray) -> float | None:
    groups = [feature.reason_group for feature in model.features]
    if model.refit is None or not any(groups):
        return None
    other = served_contributions(model.refit(OTHER_SEEDS[0]), np.ascontiguousarray(rows))
    return float((_first_reasons(model.features, added) == _first_reasons(model.features, other)).mean())


def _first_reasons(features: Sequence[Feature], added: FloatArray) -> IntArray:
    """Number of the reason group with the largest sum of contributions, shape ``(n,)``."""
    names = sorted({feature.reason_group for feature in features if feature.reason_group})
    sums = np.stack(
        [
            added[:, [position for position, feature in enumerate(features) if feature.reason_group == name]].sum(
                axis=1
            )
            for name in names
        ],
        axis=1,
    )
    first: IntArray = np.argmax(sums, axis=1).astype(np.int64)
    return first
