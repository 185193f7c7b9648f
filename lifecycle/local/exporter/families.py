"""All metrics of the lifecycle, named by Prometheus's conventions.

Labels are models, columns, and kinds that the program defines; never a value of a customer.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Family:
    """A metric; the name of a counter is without ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


Sample = tuple[Family, tuple[str, ...], float]
"""A value of a metric, by its label values."""


def _gauge(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"lifecycle_{name}", "gauge", help_text, labels)


def _counter(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"lifecycle_{name}", "counter", help_text, labels)


JUDGED_DAY: Final = _gauge("judged_day_timestamp_seconds", "Start of the newest day with a verdict", "model")
HAS_VERDICT: Final = _gauge("has_verdict", "1 if the newest day's part could be judged", "model", "part")
DRIFT_PSI: Final = _gauge("drift_psi", "Population stability index of the last whole weeks", "model", "column")
DRIFT_PSI_LIMIT: Final = _gauge("drift_psi_limit", "PSI above which a column alarms", "model")
OUTSIDE_SHARE: Final = _gauge("drift_outside_share", "Share of rows outside the reference's values", "model", "column")
OUTSIDE_LIMIT: Final = _gauge("drift_outside_share_limit", "Share above which a column alarms", "model")

ALARM_STANDING: Final = _gauge("alarm_standing", "1 while an alarm on the champion stands", "model")
ALARM_ONSET: Final = _gauge("alarm_onset_timestamp_seconds", "First day of the change that alarms", "model")
ALARM_SINCE: Final = _gauge("alarm_since_timestamp_seconds", "Date of the verdict that began the alarm", "model")
ALARM_FINDINGS: Final = _gauge("alarm_findings", "Findings of the standing alarm", "model", "severity")

RECALL: Final = _gauge("recall", "Recall at capacity on matured outcomes", "model")
RECALL_LOWER: Final = _gauge("recall_lower_limit", "Lower limit of the recall, 95 % confidence, one-sided", "model")
RECALL_UPPER: Final = _gauge("recall_upper_limit", "Upper limit of the recall, 95 % confidence, one-sided", "model")
RECALL_PROMISED: Final = _gauge("recall_promised", "Recall at capacity on the champion's holdout", "model")
RECALL_REQUIRED: Final = _gauge("recall_required", "The alarm's limit of the recall's upper limit", "model")
RECALL_POSITIVES: Final = _gauge("recall_positives", "Matured positives that the recall is measured on", "model")

COUNTED_DAY: Final = _gauge("counted_day_timestamp_seconds", "Start of the newest day that was counted", "model")
DECISIONS: Final = _gauge("decisions", "Decisions of the newest counted day", "model")
REFUSED: Final = _gauge("refused_requests", "Refused requests of the newest counted day", "model", "kind")
TRANSACTIONS: Final = _gauge("transactions", "Transactions of the newest matched day", "model")
UNACCOUNTED: Final = _gauge("unaccounted", "What the newest matched day cannot account for", "model", "cause")

ENTITIES: Final = _gauge("entities_per_day", "Mean of the entities a day that the champion stopped", "model", "band")
ENTITY_CAPACITY: Final = _gauge("entity_capacity_per_day", "Entities a day that bands were cut for", "model", "band")
OVER_CAPACITY: Final = _gauge("over_capacity", "1 if a band exceeds its capacity by more than chance", "model", "band")

RELEASE_NUMBER: Final = _gauge("release_number", "Number of the release in force", "model")
RELEASE_AS_OF: Final = _gauge("release_as_of_timestamp_seconds", "Knowledge cut-off of the champion", "model")
RELEASED: Final = _gauge("released_timestamp_seconds", "Time of the release in force", "model")
PROMOTION_HELD: Final = _gauge("promotion_held", "1 while a rollback holds automatic promotion", "model")
PROMOTION_FROZEN: Final = _gauge("promotion_frozen", "1 while promotion of every model is frozen")

CANDIDATES: Final = _gauge("candidates", "Judged candidates by their gates, without backtests", "model", "outcome")
RETRAININGS: Final = _counter("retrainings", "Retrainings that have ended, by outcome", "model", "outcome")
ALERTS: Final = _counter("alerts", "Alerts raised; the model is empty for those of the platform", "kind", "model")

UNREADABLE: Final = _gauge("unreadable_files", "Files that are damaged or cannot be read", "kind", "model")
UNREADABLE_LINES: Final = _counter("unreadable_alert_lines", "Damaged lines of the file of alerts")

FAMILIES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
