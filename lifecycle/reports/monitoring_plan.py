"""The plan by which a released model is monitored, as a table of a report."""

from lifecycle.spec.risk_model import RiskModelSpec


def monitoring_plan(spec: RiskModelSpec) -> tuple[tuple[str, str], ...]:
    """Item and plan, as text."""
    drift = spec.drift
    return (
        ("every day at (UTC)", spec.monitor_at),
        ("window", f"{drift.window_days} days, at least {drift.minimum_rows:,} decisions"),
        ("drift of each feature and of the score", f"PSI at most {drift.maximum_psi:g}"),
        ("rows outside the reference's support", f"at most {drift.maximum_outside_share:.2%}, unless usual"),
        ("live recall", f"at most {drift.recall_tolerance:g} below the holdout's interval"),
        ("retraining after an alarm", "automatic" if spec.retraining.is_enabled else "by a person"),
    )
