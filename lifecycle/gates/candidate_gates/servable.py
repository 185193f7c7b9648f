"""What a bundle costs the server that loads it: time, memory, size, within the model's budgets."""

from collections.abc import Mapping

from lifecycle.gates.outcomes import outcome_of
from lifecycle.gates.served_evidence import Costs, NotServed, Refused, ServedEvidence
from lifecycle.spec.gates import ServabilityBudgets
from serving.contract.documents import Verdict

NAME = "servable"
DESCRIPTION = "Loading, memory, decisions, explanations and size of the bundle in a real server are within budgets."

BUDGETED: Mapping[str, tuple[str, str]] = {
    "load_seconds": ("loading", "s of CPU"),
    "memory_mb": ("memory", "MB"),
    "decision_ms": ("a decision", "ms of CPU"),
    "explanation_ms": ("reasons", "ms of CPU"),
    "bundle_mb": ("the bundle", "MB"),
}
"""What each measure is called and its unit. ``maximum_<name>`` is the budget."""


def servable(found: ServedEvidence, budgets: ServabilityBudgets) -> Verdict:
    """Every measure is at most its budget.

    Times decide by the processor time of the server's process, the smallest of several repeats: other work on the
    machine lengthens wall-clock times at random, which are shown only. FAIL over a budget or if the server refuses the
    bundle, INCONCLUSIVE if there is no server to measure.
    """
    required = budgets.model_dump()
    if isinstance(found, NotServed):
        return Verdict.of(NAME, "INCONCLUSIVE", found.reason, {}, required)
    if isinstance(found, Refused):
        return Verdict.of(NAME, "FAIL", f"the server refuses the bundle: {found.message}", {}, required)
    measured = _measured(found.costs)
    told, faults = [], []
    for name, (words, unit) in BUDGETED.items():
        value, budget = measured[name], required[f"maximum_{name}"]
        if value is None:
            continue
        told.append(f"{words} {value:.3g} of {budget:g} {unit}")
        if value > budget:
            faults.append(f"{words}: {value:.3g} {unit}, {value - budget:.3g} over the budget of {budget:g}")
    return Verdict.of(
        NAME,
        outcome_of(faults, []),
        "; ".join(faults or told),
        observed=measured | _wall_clock(found.costs),
        required=required,
    )


def _measured(costs: Costs) -> dict[str, float | None]:
    return {
        "load_seconds": costs.load_cpu_seconds,
        "memory_mb": costs.memory_bytes / 1e6,
        "decision_ms": costs.decision_cpu_us / 1e3,
        "explanation_ms": None if costs.explanation_cpu_us is None else costs.explanation_cpu_us / 1e3,
        "bundle_mb": costs.bundle_bytes / 1e6,
    }


def _wall_clock(costs: Costs) -> dict[str, float | None]:
    """Shown, without a budget."""
    times = {
        "decision_p50": costs.latency_p50_us,
        "decision_p99": costs.latency_p99_us,
        "explained_p50": costs.explained_p50_us,
        "explained_p99": costs.explained_p99_us,
    }
    shown = {f"wall_clock/{name}_ms": None if value is None else value / 1e3 for name, value in times.items()}
    return {"wall_clock/load_seconds": costs.load_seconds, **shown}
