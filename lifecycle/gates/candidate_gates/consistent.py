"""A real server gives the very scores that the training computed: golden rows and the holdout, bit for bit."""

import dataclasses

from lifecycle.gates.outcomes import outcome_of
from lifecycle.gates.served_evidence import Agreement, Flips, NotServed, Refused, ServedEvidence
from lifecycle.spec.gates import ConsistencyLimits
from serving.contract.documents import Verdict

NAME = "consistent"
DESCRIPTION = "A server that loads the bundle answers golden rows and the holdout with the bits of the offline scores."


def consistent(found: ServedEvidence, flips: Flips | None, limits: ConsistencyLimits) -> Verdict:
    """Every answer of the server has the bits that were computed offline, and the decision that follows.

    FAIL if the server refuses the bundle or a row, if an answer differs, or if more decisions than
    `limits.maximum_flips` differ from the champion's. INCONCLUSIVE if there is no server to ask, or no row of the
    holdout was asked for.

    Parameters
    ----------
    flips
        Decisions on the holdout that differ from the champion's; ``None`` without a champion to compare with.
    """
    required = limits.model_dump()
    if isinstance(found, NotServed):
        return Verdict.of(NAME, "INCONCLUSIVE", found.reason, {}, required)
    if isinstance(found, Refused):
        return Verdict.of(NAME, "FAIL", f"the server refuses the bundle: {found.message}", {}, required)
    faults = [
        _fault(agreed, name) for name, agreed in (("golden", found.golden), ("holdout", found.holdout)) if agreed.faults
    ]
    share = None if flips is None else flips.share
    if share is not None and limits.maximum_flips is not None and share > limits.maximum_flips:
        faults.append(f"{share:.2%} of the decisions differ from the champion's, above {limits.maximum_flips:.2%}")
    missing = [f"no {name} row was asked for" for name in ("golden", "holdout") if not getattr(found, name).rows]
    asked = (
        f"all {found.holdout_rows} holdout rows"
        if found.holdout.rows == found.holdout_rows
        else f"{found.holdout.rows} of {found.holdout_rows} holdout rows"
    )
    against = "" if share is None else f"; {share:.2%} of the decisions differ from the champion's"
    return Verdict.of(
        NAME,
        outcome_of(faults, missing),
        "; ".join([*faults, *missing]) or f"{found.golden.rows} golden rows and {asked} to the bit{against}",
        observed={
            **_observed(found.golden, "golden"),
            **_observed(found.holdout, "holdout"),
            "holdout_rows": found.holdout_rows,
            "flips": share,
            "flips_by_slice": [] if flips is None else [dataclasses.asdict(each) for each in flips.slices],
        },
        required=required,
    )


def _fault(agreed: Agreement, name: str) -> str:
    counts = ((agreed.scores, "scores differ"), (agreed.decisions, "decisions differ"), (agreed.refused, "refused"))
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"of {agreed.rows} {name} rows {told}; first {agreed.first}"


def _observed(agreed: Agreement, name: str) -> dict[str, object]:
    return {
        f"{name}/asked": agreed.rows,
        f"{name}/scores_differ": agreed.scores,
        f"{name}/decisions_differ": agreed.decisions,
        f"{name}/refused": agreed.refused,
    }
