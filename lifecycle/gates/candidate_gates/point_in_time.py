"""Nothing in the frozen training set is later than its cut-off."""

import datetime as dt

import numpy as np

from lifecycle.modelling.training_set import Examples, labels
from lifecycle.spec.risk_model import TrainingSpec
from lifecycle.tables.arrays import days, instant
from serving.contract.documents import Verdict

NAME = "point_in_time"
DESCRIPTION = "No example and no label of the frozen training set is later than its cut-off."


def point_in_time(examples: Examples, as_of: dt.date, training: TrainingSpec, maturity_days: int) -> Verdict:
    """Every row of the frozen training set occurred in its windows and was known before `as_of`."""
    end = instant(as_of) - days(maturity_days)
    start = end - days(training.span_days(maturity_days))
    _, is_mature = labels(examples, as_of, maturity_days)
    reported = ~np.isnat(examples.reported_at)
    observed = {
        "rows": len(examples),
        "outside_the_windows": int(((examples.occurred_at < start) | (examples.occurred_at >= end)).sum()),
        "not_mature": int((~is_mature).sum()),
        "reported_at_or_after_as_of": int((reported & (examples.reported_at >= instant(as_of))).sum()),
        "reported_before_it_happened": int((reported & (examples.reported_at < examples.occurred_at)).sum()),
        "repeated_transactions": len(examples) - len(np.unique(examples.transaction_id)),
    }
    faults = [f"{count} rows {name.replace('_', ' ')}" for name, count in observed.items() if name != "rows" and count]
    if not len(examples):
        faults.append("no rows")
    return Verdict(
        gate=NAME,
        is_passed=not faults,
        summary="; ".join(faults) or f"{len(examples)} examples, all known before {as_of}",
        observed=observed,
        required={"occurred_from": str(start), "occurred_before": str(end), "reported_before": as_of.isoformat()},
    )
