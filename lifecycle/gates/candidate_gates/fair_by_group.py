"""No group of a protected attribute is treated worse beyond the limits of the model's jurisdiction."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.group_evidence import (
    DECISIONS,
    ChampionDifference,
    GroupComparison,
    GroupFigures,
    PartitionEvidence,
    holm,
)
from lifecycle.spec.fairness import FairnessLimits, FairnessSpec, ProtectedSpec
from serving.contract.documents import Outcome, Verdict

NAME = "fair_by_group"
DESCRIPTION = "No group of a protected attribute is declined, stopped or misjudged more than the jurisdiction's limits."
WITHHELD_BELOW = 10
"""The events of a smaller group are not shown: they could say what happened to one person."""
UNDECLARED = (
    "the model's file does not say which attributes are protected; add `protected: {relation: ..., columns: [...]}`, "
    "or `protected: {none: why}`"
)


@dataclass(frozen=True)
class FairnessEvidence:
    """What the gate judges: each partition of the holdout, and how well the features predict each attribute."""

    partitions: tuple[PartitionEvidence, ...]
    proxy_auc: dict[str, dict[str, float]]
    """ROC AUC of each group against the others by attribute; a report, which blocks nothing."""


@dataclass(frozen=True)
class _Findings:
    """Reasons of each kind; the worst kind decides."""

    faults: list[str]
    doubts: list[str]
    notes: list[str]


def fair_by_group(
    protected: ProtectedSpec | None, evidence: FairnessEvidence | str | None, fairness: FairnessSpec
) -> Verdict:
    """Rates of the decisions by group are within the limits, and the worst disparity is no worse than the champion's.

    A limit is broken if the value is beyond it *and* the difference is significant after Holm's correction over all
    comparisons; beyond it without significance, the verdict is inconclusive. 29 CFR 1607.4 D has both halves: four
    fifths as the rule of thumb, and no adverse impact where differences "are based on small numbers and are not
    statistically significant". A group too small to judge makes the verdict inconclusive from
    `fairness.minimum_group_share` of the rows on; so do a share of unknown attributes above its limit, fewer than two
    groups to compare, and a model's file that says nothing on protected attributes.

    Parameters
    ----------
    evidence
        A text is the reason why the protected attributes could not be read.
    """
    if protected is None:
        return _verdict("INCONCLUSIVE", UNDECLARED, fairness)
    if protected.none is not None:
        return _verdict("PASS", f"no protected attributes: {protected.none}", fairness)
    if not isinstance(evidence, FairnessEvidence):
        return _verdict("INCONCLUSIVE", evidence or "the protected attributes were not read", fairness)
    found = _findings(evidence, fairness)
    outcome: Outcome = "FAIL" if found.faults else "INCONCLUSIVE" if found.doubts else "PASS"
    return _verdict(outcome, "; ".join([*found.faults, *found.doubts, *found.notes]), fairness, evidence)


def _findings(evidence: FairnessEvidence, fairness: FairnessSpec) -> _Findings:
    limits, found = fairness.limits, _Findings([], [], [])
    comparisons = [comparison for partition in evidence.partitions for comparison in partition.comparisons]
    limited = [comparison for comparison in comparisons if _limit(comparison.measure, limits) is not None]
    adjusted = holm([comparison.p_value for comparison in limited])
    for comparison, p_value in zip(limited, adjusted, strict=True):
        if _is_beyond(comparison, limits):
            is_significant = p_value < 1 - fairness.confidence
            (found.faults if is_significant else found.doubts).append(_comparison_text(comparison, p_value))
    if limits != FairnessLimits():
        if not evidence.partitions:
            found.doubts.append("no partition of the rows by a protected attribute")
        for partition in evidence.partitions:
            found.doubts.extend(_gaps(partition, fairness))
        compared = [
            difference
            for partition in evidence.partitions
            for difference in partition.champion
            if _limit(difference.measure, limits) is not None
        ]
        p_values = holm([difference.p_value for difference in compared])
        for difference, p_value in zip(compared, p_values, strict=True):
            _judge_against_champion(difference, p_value, fairness, found)
    names = ", ".join(partition.name for partition in evidence.partitions)
    small = sum(not group.is_judged for partition in evidence.partitions for group in partition.groups)
    found.notes.append(f"{len(comparisons)} comparisons between groups of {names}, profile {fairness.profile}")
    if small:
        found.notes.append(f"{small} groups too small to judge")
    return found


def _gaps(partition: PartitionEvidence, fairness: FairnessSpec) -> Iterator[str]:
    """What is missing to judge one attribute or intersection."""
    rows = max(partition.rows, 1)
    if partition.missing_rows / rows > fairness.maximum_missing_share:
        yield (
            f"{partition.name} is unknown for {partition.missing_rows / rows:.1%} of the rows, "
            f"above {fairness.maximum_missing_share:.1%}"
        )
    for group in partition.groups:
        if not group.is_judged and group.rows / rows >= fairness.minimum_group_share:
            yield (
                f"{partition.name} = {group.name} has {group.rows} rows and {_events(group)} events, where "
                f"{fairness.minimum_rows} and {fairness.minimum_events} are needed"
            )
    if sum(group.is_judged for group in partition.groups) < 2:
        yield f"{partition.name} has fewer than two groups that can be judged"


def _judge_against_champion(
    difference: ChampionDifference, p_value: float, fairness: FairnessSpec, found: _Findings
) -> None:
    interval, margin = difference.difference, fairness.champion_margin
    if interval.low > -margin:
        return
    text = (
        f"{difference.partition}: {difference.measure} ({difference.decision}) against the champion's "
        f"{_text(interval)}, margin {margin}"
    )
    is_surely_worse = interval.value < -margin and p_value < 1 - fairness.confidence
    (found.faults if is_surely_worse else found.doubts).append(text)


def _limit(measure: str, limits: FairnessLimits) -> float | None:
    return {
        "impact_ratio": limits.minimum_impact_ratio,
        "opportunity_difference": limits.maximum_opportunity_difference,
        "calibration_shift": limits.maximum_calibration_shift,
    }[measure]


def _is_beyond(comparison: GroupComparison, limits: FairnessLimits) -> bool:
    """Whether the value itself is beyond its limit; one that is not defined is."""
    limit, value = _limit(comparison.measure, limits), comparison.value.value
    if limit is None:
        return False
    return not (value >= limit if comparison.measure == "impact_ratio" else abs(value) <= limit)


def _comparison_text(comparison: GroupComparison, p_value: float) -> str:
    return (
        f"{comparison.partition} = {comparison.group} against {comparison.reference}: {comparison.measure} "
        f"({comparison.decision}) {_text(comparison.value)}, p {p_value:.2g}"
    )


def _text(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _events(group: GroupFigures) -> str:
    return f"fewer than {WITHHELD_BELOW}" if group.rows < WITHHELD_BELOW else str(group.events)


def _verdict(
    outcome: Outcome, summary: str, fairness: FairnessSpec, evidence: FairnessEvidence | None = None
) -> Verdict:
    """The one place that turns an outcome into a verdict."""
    limits = fairness.limits
    return Verdict.of(
        NAME,
        outcome,
        summary,
        observed=_observed(evidence.partitions, evidence.proxy_auc) if evidence else {},
        required=limits.model_dump()
        | fairness.model_dump(include={
            "profile", "minimum_rows", "minimum_events", "minimum_group_share", "maximum_missing_share",
            "champion_margin", "confidence",
        }),
    )  # fmt: skip


def _observed(partitions: Sequence[PartitionEvidence], proxy_auc: dict[str, dict[str, float]]) -> dict[str, Any]:
    worst = {
        f"{partition.name}/{measure}": pick(values)
        for partition in partitions
        for measure, pick in (("impact_ratio", min), ("opportunity_difference", max))
        if (values := _known_values(partition, measure))
    }
    return {
        **worst,
        **{f"{partition.name}/missing_rows": partition.missing_rows for partition in partitions},
        "groups": [_group_row(partition.name, group) for partition in partitions for group in partition.groups],
        "comparisons": [_comparison_row(each) for partition in partitions for each in partition.comparisons],
        "champion": [
            {"partition": each.partition, "decision": each.decision, "measure": each.measure, **_row(each.difference)}
            for partition in partitions
            for each in partition.champion
        ],
        "proxy_auc": proxy_auc,
    }


def _known_values(partition: PartitionEvidence, measure: str) -> list[float]:
    values = [each.value.value for each in partition.comparisons if each.measure == measure]
    return [value for value in values if not math.isnan(value)]


def _group_row(partition: str, group: GroupFigures) -> dict[str, Any]:
    row: dict[str, Any] = {
        "partition": partition,
        "group": group.name,
        "outcome": "JUDGED" if group.is_judged else "INCONCLUSIVE",
        "rows": group.rows,
        "events": None if group.rows < WITHHELD_BELOW else group.events,
    }
    for decision in DECISIONS:
        for rate in ("selection_rate", "tpr", "fpr", "precision"):
            row[f"{decision}_{rate}"] = _number(group.metrics[decision][rate]) if group.metrics else None
    return row | {"calibration": _number(group.calibration)}


def _comparison_row(comparison: GroupComparison) -> dict[str, Any]:
    names = {name: getattr(comparison, name) for name in ("partition", "group", "reference", "decision", "measure")}
    return names | _row(comparison.value) | {"p_value": comparison.p_value}


def _row(interval: Interval) -> dict[str, Any]:
    return {"value": _number(interval.value), "low": _number(interval.low), "high": _number(interval.high)}


def _number(value: float | None) -> float | None:
    """JSON has no ``NaN``."""
    return None if value is None or math.isnan(value) else value
