"""The model card's section on decisions by group, from the verdict of the gate `fair_by_group`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.gates.candidate_gates.fair_by_group import NAME, UNDECLARED, WITHHELD_BELOW
from lifecycle.spec.risk_model import RiskModelSpec

Row = tuple[str, ...]
LIMITS = ("minimum_impact_ratio", "maximum_opportunity_difference", "maximum_calibration_shift")
RATES = ("declined_selection_rate", "stopped_selection_rate", "stopped_tpr", "stopped_fpr", "stopped_precision")
"""Of a group, as the columns of its row."""


@dataclass(frozen=True)
class FairnessSection:
    """A statement, and tables of text; without groups the tables are empty."""

    statement: str
    groups: tuple[Row, ...] = ()
    disparities: tuple[Row, ...] = ()
    champion: tuple[Row, ...] = ()
    limits: tuple[Row, ...] = ()
    proxies: tuple[Row, ...] = ()


def fairness_section(spec: RiskModelSpec, evidence: GateEvidence) -> FairnessSection:
    """Groups, rates, disparities and limits; or the reason of the model's file for having no groups."""
    verdict = next((verdict for verdict in evidence.verdicts if verdict.gate == NAME), None)
    if spec.protected is None:
        return FairnessSection(f"Decisions were not compared by group: {UNDECLARED}.")
    if spec.protected.none is not None:
        return FairnessSection(f"Decisions were not compared by group: {spec.protected.none}")
    if verdict is None:
        return FairnessSection(f"Decisions were not compared by group: the candidate has no verdict of {NAME}.")
    observed, required = verdict.observed, verdict.required
    if not observed:
        return FairnessSection(f"Decisions were not compared by group: {verdict.summary}.", limits=_limits(required))
    return FairnessSection(
        statement=(
            f"Decisions of the judged model on the holdout by {', '.join(spec.protected.columns)}, which are no "
            f"inputs. A group with fewer than {required['minimum_rows']} rows or {required['minimum_events']} events "
            f"is not judged; the events of fewer than {WITHHELD_BELOW} rows are withheld. An event is a "
            f"{spec.label.names.positive}; stopped is reviewed or declined."
        ),
        groups=(*(_group(row) for row in observed["groups"]), *_unknown(observed)),
        disparities=tuple(_disparity(row) for row in observed["comparisons"]),
        champion=tuple(
            (row["partition"], row["decision"], _words(row["measure"]), _number(row["value"]), _interval(row))
            for row in observed["champion"]
        ),
        limits=_limits(required),
        proxies=tuple(
            (attribute, group, _number(auc))
            for attribute, groups in sorted(observed["proxy_auc"].items())
            for group, auc in sorted(groups.items())
        ),
    )


def _group(row: Mapping[str, Any]) -> Row:
    events = f"fewer than {WITHHELD_BELOW}" if row["events"] is None else f"{row['events']:,}"
    numbers = [_number(row[name]) for name in (*RATES, "calibration")]
    return row["partition"], row["group"], f"{row['rows']:,}", events, *numbers


def _unknown(observed: Mapping[str, Any]) -> list[Row]:
    """A row for each attribute that some rows lack."""
    ending = "/missing_rows"
    counts = {name.removesuffix(ending): count for name, count in observed.items() if name.endswith(ending)}
    rates = ("-",) * (len(RATES) + 1)
    return [(partition, "unknown", f"{rows:,}", "-", *rates) for partition, rows in counts.items() if rows]


def _disparity(row: Mapping[str, Any]) -> Row:
    against = f"{row['group']} against {row['reference']}"
    measure = f"{_words(row['measure'])}, {row['decision']}"
    return row["partition"], against, measure, _number(row["value"]), _interval(row), f"{row['p_value']:.2g}"


def _limits(required: Mapping[str, Any]) -> tuple[Row, ...]:
    if not required:
        return ()
    limits = ((_words(name), "none" if required[name] is None else f"{required[name]:g}") for name in LIMITS)
    margin = ("champion margin", f"{required['champion_margin']:g}")
    return (("profile", str(required["profile"])), *limits, margin)


def _interval(row: Mapping[str, Any]) -> str:
    ends: Sequence[Any] = (row["low"], row["high"])
    return " to ".join(_number(end) for end in ends)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _words(name: str) -> str:
    return name.replace("_", " ")
