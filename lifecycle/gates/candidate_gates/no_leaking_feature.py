"""No feature ranks the outcomes almost alone."""

from collections.abc import Mapping

from lifecycle.gates.outcomes import outcome_of
from lifecycle.spec.gates import GatesSpec
from serving.contract.documents import Verdict

NAME = "no_leaking_feature"
DESCRIPTION = "No single feature ranks the outcomes of the holdout so well that it must have been computed from them."


def no_leaking_feature(feature_auc: Mapping[str, float], gates: GatesSpec) -> Verdict:
    """No feature alone has an ROC AUC above `gates.maximum_feature_auc`.

    Target leakage shows as a feature that is too good: Kaufman, Rosset and Perlich, Leakage in Data Mining (2011),
    section 5. Never INCONCLUSIVE: a holdout of one class has no candidate.

    Parameters
    ----------
    feature_auc
        `modelling.single_features.feature_auc` of the holdout.
    """
    leaking = {name: auc for name, auc in feature_auc.items() if auc > gates.maximum_feature_auc}
    best = max(feature_auc, key=feature_auc.__getitem__)
    listed = ", ".join(f"{name} {auc:.3f}" for name, auc in sorted(leaking.items(), key=lambda item: -item[1]))
    return Verdict.of(
        NAME,
        outcome_of(list(leaking), []),
        summary=f"a single feature ranks the outcomes with an ROC AUC above {gates.maximum_feature_auc}: {listed}; see "
        "whether it is known when the request comes, or raise `gates.maximum_feature_auc` with a reason"
        if leaking
        else f"the best single feature is {best} with an ROC AUC of {feature_auc[best]:.3f}",
        observed={"best_feature": best, "best_auc": feature_auc[best], "leaking": list(leaking)},
        required={"maximum_feature_auc": gates.maximum_feature_auc},
    )
