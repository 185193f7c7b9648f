"""Nothing in the frozen training set is later than its cut-off."""

import datetime as dt
from collections.abc import Sequence

import numpy as np

from lifecycle.gates.outcomes import outcome_of
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import WindowCount
from lifecycle.spec.examples import Cadence
from lifecycle.spec.training import TrainingSpec
from lifecycle.tables.arrays import instant
from serving.contract.documents import Verdict

NAME = "point_in_time"
DESCRIPTION = "No example and no label of the frozen training set is later than its cut-off."


def point_in_time(
    examples: Examples,
    windows: Sequence[WindowCount],
    as_of: dt.date,
    training: TrainingSpec,
    maturity_days: int,
    cadence: Cadence = "event",
    external_until: dt.date | None = None,
) -> Verdict:
    """Every row of the frozen training set was known before `as_of`, and every label in use was mature.

    INCONCLUSIVE only without rows; an immature label, or a window that an external model was trained on, is a fault.

    Parameters
    ----------
    windows
        The windows whose labels the training used.
    external_until
        End (exclusive) of the days that an external model was trained on: its validation windows, which calibrate it,
        and its holdout must not be earlier.
    """
    start, end = snapshot_days(as_of, training, maturity_days, cadence)
    known = ~np.isnat(examples.known_at)
    outside = (examples.occurred_at < instant(start)) | (examples.occurred_at >= instant(end))
    faults = {
        "rows outside the windows": int(outside.sum()),
        "rows known at or after as of": int((known & (examples.known_at >= instant(as_of))).sum()),
        "rows known before it happened": int((known & (examples.known_at < examples.occurred_at)).sum()),
        "rows repeated": len(examples) - len(np.unique(examples.id)),
        "windows not mature": sum(not _is_mature(window, as_of, maturity_days) for window in windows),
    }
    seen = _seen_windows(windows, external_until)
    if external_until is not None:
        faults["windows the external model was trained on"] = len(seen)
    listed = [f"{count} {name}" for name, count in faults.items() if count]
    if external_until is not None and seen:
        first = as_of + (external_until - min(dt.date.fromisoformat(window.start) for window in seen))
        listed.append(f"it is declared as trained until {external_until}: possible from the as of {first} on")
    missing = ["no rows"] * (not len(examples))
    return Verdict.of(
        NAME,
        outcome_of(listed, missing),
        summary="; ".join(listed + missing) or f"{len(examples)} examples, all known before {as_of}",
        observed={"rows": len(examples)}
        | {name.removeprefix("rows ").replace(" ", "_"): count for name, count in faults.items()},
        required={
            "occurred_from": start.isoformat(),
            "occurred_before": end.isoformat(),
            "known_before": as_of.isoformat(),
        }
        | ({"judged_from": external_until.isoformat()} if external_until else {}),
    )


def _seen_windows(windows: Sequence[WindowCount], external_until: dt.date | None) -> list[WindowCount]:
    """The windows of calibration and judgement that begin before an external model's training data ended."""
    if external_until is None:
        return []
    judging = [window for window in windows if window.name == "holdout" or window.name.startswith("validation_")]
    return [window for window in judging if dt.date.fromisoformat(window.start) < external_until]


def _is_mature(window: WindowCount, as_of: dt.date, maturity_days: int) -> bool:
    """Whether the waiting time of a window's last day was over when its labels were read, no later than `as_of`."""
    known_at = dt.date.fromisoformat(window.known_at)
    return known_at <= as_of and dt.date.fromisoformat(window.end) + dt.timedelta(days=maturity_days) <= known_at
