"""The only function that turns a margin into a probability, offline and online.

``np.exp`` and ``math.exp`` differ in their last bits, so this must be the only place that computes a score.
"""

import math

from serving.contract.documents import Calibration


def probability(margin: float, calibration: Calibration) -> float:
    """Calibrated probability of a margin (log odds before calibration), in [0, 1].

    ``1 / (1 + exp(-(slope * margin + intercept)))``, written so that no finite margin overflows.

    Examples
    --------
    >>> probability(0.0, Calibration(slope=1.0, intercept=0.0))
    0.5
    >>> probability(-1000.0, Calibration(slope=1.0, intercept=0.0))
    0.0
    """
    log_odds = calibration.slope * margin + calibration.intercept
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)
