"""The gates that a candidate must pass before it is registered: one function for each, returning a `Verdict`.

Models are compared by paired bootstrap differences: both are evaluated on the same draws of cards, so that the
difficulty of a draw cancels out. The candidate must be superior to the baseline (the interval of the difference is
above 0) and not inferior to the champion (the interval is not below 0). These are the two uses of a confidence interval
in ICH E9, Statistical Principles for Clinical Trials (1998), section 3.3.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from lifecycle.gates.comparison import ChampionComparison
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.training_set import Examples, labels
from lifecycle.spec.risk_model import GatesSpec, TrainingSpec
from lifecycle.tables.arrays import days, instant
from serving.contract.documents import Verdict

ENOUGH_EVIDENCE = "enough_evidence"
POINT_IN_TIME = "point_in_time"
BEATS_BASELINE = "beats_baseline"
NOT_WORSE_THAN_CHAMPION = "not_worse_than_champion"
DESCRIPTIONS = {
    ENOUGH_EVIDENCE: "Enough rows and frauds in the training window, and enough frauds in the holdout.",
    POINT_IN_TIME: "No example and no label of the frozen training set is later than its cut-off.",
    BEATS_BASELINE: "Better than a logistic regression on the same windows.",
    NOT_WORSE_THAN_CHAMPION: "Not worse than the champion beyond the interval, on days that neither was fitted on.",
}
GATES = tuple(DESCRIPTIONS)


@dataclass(frozen=True)
class Evidence:
    """Rows and frauds of one window."""

    rows: int
    frauds: int


def enough_evidence(judged: Evidence, holdout: Evidence, gates: GatesSpec) -> Verdict:
    """Enough rows and frauds in the window the judged model was fitted on, and enough frauds in the holdout."""
    faults = []
    if judged.rows < gates.minimum_rows:
        faults.append(f"{judged.rows} rows to fit on, below {gates.minimum_rows}")
    if judged.frauds < gates.minimum_frauds:
        faults.append(f"{judged.frauds} frauds to fit on, below {gates.minimum_frauds}")
    if holdout.frauds < gates.minimum_frauds:
        faults.append(f"{holdout.frauds} frauds in the holdout, below {gates.minimum_frauds}")
    return Verdict(
        gate=ENOUGH_EVIDENCE,
        is_passed=not faults,
        summary="; ".join(faults) or f"{judged.frauds} frauds to fit on, {holdout.frauds} in the holdout",
        observed={
            "training_rows": judged.rows,
            "training_frauds": judged.frauds,
            "holdout_rows": holdout.rows,
            "holdout_frauds": holdout.frauds,
        },
        required={"minimum_rows": gates.minimum_rows, "minimum_frauds": gates.minimum_frauds},
    )


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
        gate=POINT_IN_TIME,
        is_passed=not faults,
        summary="; ".join(faults) or f"{len(examples)} examples, all known before {as_of}",
        observed=observed,
        required={"occurred_from": str(start), "occurred_before": str(end), "reported_before": as_of.isoformat()},
    )


def beats_baseline(difference: dict[str, Interval], gates: GatesSpec) -> Verdict:
    """The judged model is superior to logistic regression on the gate's metric: the whole interval is above 0.

    `difference` is candidate minus baseline on the holdout, by metric (`modelling.evaluation.paired_difference`).
    """
    interval = difference[gates.metric]
    is_passed = bool(interval.low > 0)
    return Verdict(
        gate=BEATS_BASELINE,
        is_passed=is_passed,
        summary=f"{gates.metric} {'above' if is_passed else 'not clearly above'} the baseline's: {_text(interval)}",
        observed=_observed(interval),
        required={"metric": gates.metric, "confidence": gates.confidence, "low_above": 0.0},
    )


def not_worse_than_champion(
    candidate_digest: str,
    champion_digest: str | None,
    comparison: ChampionComparison | None,
    gates: GatesSpec,
    training: TrainingSpec,
    maturity_days: int,
) -> Verdict:
    """The judged model is not inferior to the champion on the gate's metric: the interval is not below 0.

    Passes without a champion, and if the candidate is the champion. Too few frauds on the unseen days are no evidence:
    the verdict fails and names the first ``as_of`` whose whole holdout is unseen by the champion.

    Parameters
    ----------
    comparison
        With another champion; ``None`` if that champion was fitted on the whole holdout.
    """
    is_passed, summary = _against_champion(candidate_digest, champion_digest, comparison, gates)
    observed: dict[str, object] = {"champion": champion_digest}
    if comparison is not None:
        observed |= {
            "unseen_start": comparison.unseen_start.isoformat(),
            "unseen_end": comparison.unseen_end.isoformat(),
            "rows": comparison.rows,
            "frauds": comparison.frauds,
        }
        if comparison.difference is not None:
            observed |= _observed(comparison.difference[gates.metric])
        if not is_passed and _is_thin(comparison, gates):
            possible = comparison.champion_trained_until + dt.timedelta(days=training.holdout_days + maturity_days)
            summary += f"; the whole holdout is unseen from as_of {possible} on"
    return Verdict(
        gate=NOT_WORSE_THAN_CHAMPION,
        is_passed=is_passed,
        summary=summary,
        observed=observed,
        required={"metric": gates.metric, "confidence": gates.confidence, "minimum_frauds": gates.minimum_frauds},
    )


def _against_champion(
    candidate_digest: str, champion_digest: str | None, comparison: ChampionComparison | None, gates: GatesSpec
) -> tuple[bool, str]:
    if champion_digest is None:
        return True, "there is no champion to compare with"
    if candidate_digest == champion_digest:
        return True, "the candidate is the champion, byte for byte"
    if comparison is None:
        return False, "not enough evidence: the champion was fitted on all days of the holdout"
    if _is_thin(comparison, gates) or comparison.difference is None:
        return False, (
            f"not enough evidence: {comparison.frauds} frauds on the days that neither model has seen, "
            f"below {gates.minimum_frauds}"
        )
    interval = comparison.difference[gates.metric]
    is_passed = bool(interval.high >= 0)
    word = "not below" if is_passed else "below"
    return is_passed, f"{gates.metric} {word} the champion's: {_text(interval)}"


def _is_thin(comparison: ChampionComparison, gates: GatesSpec) -> bool:
    return comparison.frauds < gates.minimum_frauds


def _text(interval: Interval) -> str:
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _observed(interval: Interval) -> dict[str, object]:
    return {"difference": interval.value, "low": interval.low, "high": interval.high}
