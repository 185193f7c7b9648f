"""The candidate is not inferior to the champion."""

import datetime as dt

from lifecycle.gates.candidate_gates.differences import difference_text, observed_difference
from lifecycle.gates.comparison import ChampionComparison
from lifecycle.gates.growing_evidence import Looked
from lifecycle.modelling.evaluation import Interval
from lifecycle.spec.cadence import LONGEST_PERIOD_DAYS
from lifecycle.spec.examples import Cadence
from lifecycle.spec.gates import GatesSpec
from lifecycle.spec.training import TrainingSpec
from serving.contract.documents import Outcome, Verdict

NAME = "not_worse_than_champion"
DESCRIPTION = "Not worse than the champion beyond the interval, on days that neither was fitted on."


def not_worse_than_champion(
    candidate_digest: str,
    champion_digest: str | None,
    comparison: ChampionComparison | None,
    gates: GatesSpec,
    training: TrainingSpec,
    maturity_days: int,
    cadence: Cadence = "event",
) -> Verdict:
    """The judged model is not inferior to the champion on the gate's metric: the interval is not below 0.

    With `gates.margin`: the lower end of the difference over the looked-at folds is above ``-margin``
    (`lifecycle.gates.looks`); INCONCLUSIVE if all folds do not decide.

    Passes without a champion, and if the candidate is the champion. Too few positives on the unseen days are no
    evidence: the verdict is INCONCLUSIVE and names the first ``as_of`` whose whole holdout is unseen by the champion.

    Parameters
    ----------
    comparison
        With another champion; ``None`` if that champion was fitted on the whole holdout.
    """
    outcome, summary = _against_champion(candidate_digest, champion_digest, comparison, gates)
    required: dict[str, object] = {
        "metric": gates.metric,
        "confidence": gates.confidence,
        "minimum_positives": gates.minimum_positives,
    }
    if gates.margin is not None:
        required["low_above"] = -gates.margin
    observed: dict[str, object] = {"champion": champion_digest}
    if comparison is not None:
        observed |= {
            "unseen_start": comparison.unseen_start.isoformat(),
            "unseen_end": comparison.unseen_end.isoformat(),
            "rows": comparison.rows,
            "positives": comparison.positives,
        }
        if comparison.difference is not None:
            observed |= observed_difference(comparison.difference[gates.metric])
        if comparison.looked is not None:
            observed |= comparison.looked.observed()
        if outcome == "INCONCLUSIVE" and _is_thin(comparison, gates):
            possible = comparison.champion_trained_until + dt.timedelta(
                days=training.holdout * LONGEST_PERIOD_DAYS[cadence] + maturity_days
            )
            summary += f"; the whole holdout is unseen from as_of {possible} on"
    return Verdict.of(
        NAME,
        outcome,
        summary,
        observed=observed,
        required=required,
    )


def _against_champion(
    candidate_digest: str, champion_digest: str | None, comparison: ChampionComparison | None, gates: GatesSpec
) -> tuple[Outcome, str]:
    if champion_digest is None:
        return "PASS", "there is no champion to compare with"
    if candidate_digest == champion_digest:
        return "PASS", "the candidate is the champion, byte for byte"
    if comparison is None:
        return "INCONCLUSIVE", "not enough evidence: the champion was fitted on all days of the holdout"
    if _is_thin(comparison, gates) or comparison.difference is None:
        return "INCONCLUSIVE", (
            f"not enough evidence: {comparison.positives} positive examples on the days that neither model has seen, "
            f"below {gates.minimum_positives}"
        )
    if comparison.looked is not None:
        return _within_margin(comparison.looked, gates)
    return _not_inferior(comparison.difference[gates.metric], gates)


def _not_inferior(interval: Interval, gates: GatesSpec) -> tuple[Outcome, str]:
    difference = f"the champion's: {difference_text(interval)}"
    if interval.high >= 0:
        return "PASS", f"{gates.metric} not below {difference}"
    if interval.high < 0:
        return "FAIL", f"{gates.metric} below {difference}"
    return "INCONCLUSIVE", f"{gates.metric} not comparable with {difference}"


def _is_thin(comparison: ChampionComparison, gates: GatesSpec) -> bool:
    looked = comparison.looked
    return (comparison.positives if looked is None else looked.positives) < gates.minimum_positives


def _within_margin(looked: Looked, gates: GatesSpec) -> tuple[Outcome, str]:
    interval = difference_text(looked.looks[-1].interval)
    folds = f"{len(looked.looks)} of {looked.possible} folds, {looked.positives} positive examples"
    words: dict[Outcome, str] = {
        "PASS": f"less than {gates.margin} below",
        "FAIL": "below",
        "INCONCLUSIVE": f"not shown to be less than {gates.margin} below",
    }
    outcome = looked.decision.outcome or "INCONCLUSIVE"
    return outcome, f"{gates.metric} {words[outcome]} the champion's: {interval} after {folds}"
