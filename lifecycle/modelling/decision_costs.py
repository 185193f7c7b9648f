"""What a model's decisions cost on a window, by the costs of the model's file."""

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.clusters import clustered_interval, clusterings
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.group_evidence import APPROVED, DECLINED, REVIEWED, bands_of
from lifecycle.modelling.ranking import Outcomes
from lifecycle.spec.decision import CostsSpec
from lifecycle.tables.arrays import FloatArray, IntArray
from serving.contract.documents import Bands


def decided_costs(outcomes: Outcomes, decided: IntArray, costs: CostsSpec) -> FloatArray:
    """The cost of each row, shape ``(n,)``, under decisions of `group_evidence.bands_of`.

    Raises
    ------
    LifecycleError
        If a missed event costs its amount and the examples have none.
    """
    is_event = outcomes.is_positive
    missed: FloatArray | float
    if costs.missed != "amount":
        missed = costs.missed
    elif outcomes.amount is None:
        raise LifecycleError(
            "Expected an amount of each example, got none; name its column in `examples.columns.amount`, or give "
            "`decision.costs.missed` a number - at the costs of the decisions"
        )
    else:
        missed = outcomes.amount
    found = np.zeros(len(outcomes))
    found += np.where((decided == APPROVED) & is_event, missed, 0.0)
    found += np.where(decided == REVIEWED, costs.review, 0.0)
    found += np.where((decided == DECLINED) & ~is_event, costs.wrong_decline, 0.0)
    return found


def costs_of(outcomes: Outcomes, scores: FloatArray, bands: Bands, costs: CostsSpec) -> FloatArray:
    """The cost of each row under a model's scores and bands, shape ``(n,)``."""
    return decided_costs(outcomes, bands_of(scores, bands), costs)


def costs_of_approving_all(outcomes: Outcomes, costs: CostsSpec) -> FloatArray:
    """The cost of each row without any model, shape ``(n,)``."""
    return decided_costs(outcomes, np.full(len(outcomes), APPROVED), costs)


def cost_difference(outcomes: Outcomes, ours: FloatArray, theirs: FloatArray, confidence: float) -> Interval:
    """Our mean cost an example minus theirs; the interval knows every way in which rows cluster."""
    difference = ours - theirs
    value = float(difference.mean())
    return clustered_interval(value, (difference - value) / len(difference), clusterings(outcomes.ways), confidence)
