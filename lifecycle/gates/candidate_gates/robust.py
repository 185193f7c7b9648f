"""The released model stays finite and monotone on unusual inputs, and small changes flip few decisions."""

from lifecycle.gates.outcomes import outcome_of
from lifecycle.modelling.robustness import Robustness
from lifecycle.spec.gates import RobustnessLimits
from serving.contract.documents import Verdict

NAME = "robust"
DESCRIPTION = "On missing, extreme, permuted, unseen and perturbed inputs, scores stay finite, monotone and steady."


def robust(found: Robustness, limits: RobustnessLimits) -> Verdict:
    """Every margin is finite, no monotone feature moves the wrong way, and flips and seeds stay within their limits.

    INCONCLUSIVE without rows.
    """
    faults = [
        f"{count} of {found.rows} rows without a finite score on {kind} inputs"
        for kind, count in found.unbounded.items()
        if count
    ]
    faults += [f"{steps} steps of {name} against its constraint" for name, steps in found.falling.items() if steps]
    if found.flips > limits.maximum_flips:
        faults.append(
            f"{found.flips:.2%} of the decisions flip when each number moves by {limits.perturbation:.1%}, above "
            f"{limits.maximum_flips:.2%}"
        )
    if found.seed_change is not None and found.seed_change > limits.maximum_seed_change:
        faults.append(
            f"scores move by {found.seed_change:.0%} of the mean score between seeds, above "
            f"{limits.maximum_seed_change:.0%}"
        )
    seeds = (
        "it is not fitted again with other seeds"
        if found.seed_change is None
        else f"scores move by {found.seed_change:.0%} between seeds"
    )
    return Verdict.of(
        NAME,
        outcome_of(faults, [] if found.rows else ["no rows"]),
        "; ".join(faults)
        or f"{found.rows} rows: finite and monotone, {found.flips:.2%} of the decisions flip, {seeds}",
        observed={
            "rows": found.rows,
            "flips": found.flips,
            "seed_change": found.seed_change,
            **{f"not_finite/{kind}": count for kind, count in found.unbounded.items()},
            **{f"against_constraint/{name}": steps for name, steps in found.falling.items()},
        },
        required=limits.model_dump(),
    )
