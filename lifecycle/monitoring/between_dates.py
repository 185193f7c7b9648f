"""Drift between two dates of a backtest, by the same bins and index as live monitoring."""

from lifecycle.modelling.reference import SCORE, Reference, count
from lifecycle.monitoring.drift import psi
from lifecycle.tables.arrays import FloatArray


def drift_since(
    reference: Reference, feature_names: tuple[str, ...], features: FloatArray, scores: FloatArray
) -> dict[str, float]:
    """PSI of each feature and of the score of a later window against an earlier model's reference.

    Parameters
    ----------
    reference
        Frozen with the earlier model.
    feature_names, features, scores
        The later window's rows: names of the columns, features of shape ``(n, n_features)``, and the earlier model's
        scores of them, shape ``(n,)``; ``n`` is at least 1.
    """
    columns = {name: features[:, position] for position, name in enumerate(feature_names)} | {SCORE: scores}
    counts = count(reference, columns)
    return {name: psi(binned.counts, counts[name].bins) for name, binned in reference.columns.items()}
