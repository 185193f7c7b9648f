"""On no slice of the rows is the candidate worse than the model in force."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.gates.candidate_gates.differences import difference_text
from lifecycle.gates.outcomes import outcome_of
from lifecycle.modelling.group_evidence import holm
from lifecycle.modelling.slices import BRIER, SliceFigures, SliceGain
from lifecycle.spec.slices import SliceLimits
from serving.contract.documents import Outcome, Verdict

NAME = "not_worse_by_slice"
DESCRIPTION = "On no slice surely worse than the champion, or than the baseline where no champion can be compared."


@dataclass(frozen=True)
class SliceEvidence:
    """The slices, of which features, and which model they are compared with: ``champion`` or ``baseline``."""

    against: str
    features: tuple[str, ...]
    slices: tuple[SliceFigures, ...]


def not_worse_by_slice(evidence: SliceEvidence | None, limits: SliceLimits) -> Verdict:
    """No slice has a loss that is significant after Holm's correction over all slices and both metrics.

    A slice that has too few examples of one outcome is not judged. If the model's file declares the slices, one of at
    least `limits.minimum_share` of the rows that is too small makes the verdict INCONCLUSIVE. With `limits.margin`, the
    lower end of the ranking metric's gain must also be above ``-margin`` on each judged slice: INCONCLUSIVE otherwise.
    Each slice is an intersection of such demands, which need no correction (Berger, Multiparameter Hypothesis Testing
    and Acceptance Sampling (1982)).

    Parameters
    ----------
    evidence
        ``None`` if the candidate is the champion.
    """
    if evidence is None:
        return _verdict("PASS", "the candidate is the champion, byte for byte", limits)
    if not evidence.features:
        return _verdict("PASS", "no slices: no feature is a category or a flag, and none is declared", limits)
    faults = list(_losses(evidence.slices, 1 - limits.confidence))
    doubts = list(_doubts(evidence.slices, limits))
    judged = sum(bool(each.gains) for each in evidence.slices)
    note = f"{judged} of {len(evidence.slices)} slices by {', '.join(evidence.features)} against the {evidence.against}"
    if judged < len(evidence.slices):
        note += f", the others with fewer than {limits.minimum_positives} examples of one outcome"
    return _verdict(outcome_of(faults, doubts), "; ".join([*faults, *doubts, note]), limits, evidence)


def _losses(slices: Sequence[SliceFigures], level: float) -> Iterator[str]:
    found = [(each, gain) for each in slices for gain in each.gains]
    adjusted = holm([gain.p_value for _, gain in found])
    for (each, gain), p_value in zip(found, adjusted, strict=True):
        if gain.gain.value < 0 and p_value < level:
            yield f"worse on {each.name}: {_text(gain)}, p {p_value:.2g}"


def _doubts(slices: Sequence[SliceFigures], limits: SliceLimits) -> Iterator[str]:
    rows = _rows_by_feature(slices)
    for each in slices:
        if limits.by is not None and not each.gains and each.rows / rows[each.feature] >= limits.minimum_share:
            yield (
                f"{each.name} has {each.positives} positive examples among {each.rows}, where "
                f"{limits.minimum_positives} of each outcome are needed"
            )
        for gain in each.gains:
            if limits.margin is not None and gain.metric != BRIER and not gain.gain.low > -limits.margin:
                yield f"not shown to be less than {limits.margin} below on {each.name}: {_text(gain)}"


def _rows_by_feature(slices: Sequence[SliceFigures]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for each in slices:
        rows[each.feature] = rows.get(each.feature, 0) + each.rows
    return rows


def _text(gain: SliceGain) -> str:
    metric = "Brier score, gain" if gain.metric == BRIER else gain.metric
    return f"{metric} {difference_text(gain.gain)}"


def _verdict(outcome: Outcome, summary: str, limits: SliceLimits, evidence: SliceEvidence | None = None) -> Verdict:
    return Verdict.of(
        NAME,
        outcome,
        summary,
        observed=_observed(evidence) if evidence else {},
        required=limits.model_dump(include={"confidence", "minimum_positives", "minimum_share", "margin"}),
    )


def _observed(evidence: SliceEvidence) -> dict[str, Any]:
    rows = [_row(each) for each in evidence.slices]
    gains = [gain.gain.value for each in evidence.slices for gain in each.gains if gain.metric != BRIER]
    return {
        "against": evidence.against,
        "judged": sum(bool(each.gains) for each in evidence.slices),
        "least_gain": min(gains, default=None),
        "slices": rows,
    }


def _row(each: SliceFigures) -> dict[str, Any]:
    ranking = next((gain for gain in each.gains if gain.metric != BRIER), None)
    brier = next((gain for gain in each.gains if gain.metric == BRIER), None)
    return {
        "slice": each.name,
        "outcome": "JUDGED" if each.gains else "INCONCLUSIVE",
        "rows": each.rows,
        "positives": each.positives,
        "metric": ranking.metric if ranking else None,
        "ranking": _numbers(ranking),
        "brier": _numbers(brier),
    }


def _numbers(gain: SliceGain | None) -> dict[str, float] | None:
    if gain is None:
        return None
    interval = gain.gain
    return {"gain": interval.value, "low": interval.low, "high": interval.high, "p_value": gain.p_value}
