"""Metrics with known values."""

from serving.telemetry.metrics import Metrics
from serving.telemetry.statuses import LogStatus, ModelStatus, ShippingStatus, SlotStatus, StoreStatus

BUNDLE = "ab" * 32

NULLABLE = ((1, "mean"), (2, "count"))

LABELS = f'bundle="{BUNDLE}",model="m",slot="champion"'

NAMES = {
    "serving_api_keys_failing", "serving_derived_sent_total", "serving_errors_total", "serving_explain_failures_total",
    "serving_feature_missing_total", "serving_load_failures_total", "serving_log_failing", "serving_log_lag_seconds",
    "serving_log_lines_dropped_total", "serving_log_segments_lost_total", "serving_log_unrecorded_total",
    "serving_log_writes_total", "serving_model_age_seconds", "serving_model_error",
    "serving_model_loaded", "serving_poll_age_seconds", "serving_promotion_held", "serving_release_number",
    "serving_repeats_total", "serving_request_duration_seconds", "serving_requests_in_flight",
    "serving_requests_shed_total", "serving_requests_total", "serving_score", "serving_shadow_dropped_total",
    "serving_shadow_failures_total", "serving_shipped_records_total", "serving_shipping_failing",
    "serving_shipping_failures_total", "serving_shipping_lag_bytes", "serving_shipping_quarantined_records",
    "serving_slot_state", "serving_slot_transitions_total", "serving_tls_certificate_end_seconds",
    "serving_unseen_categories_total", "serving_workers",
}  # fmt: skip
"""Dashboards and alerts are built on these names: one that goes or changes is a change of behaviour."""


def model_seen(number: int | None, *slots: SlotStatus, has_error: bool = False) -> ModelStatus:
    return ModelStatus(number, has_error, slots)


def champion(bundle: str = BUNDLE, state: str = "serving") -> SlotStatus:
    return SlotStatus("champion", state, bundle, "2026-01-31")


def fed() -> Metrics:
    """Metrics in which something of each kind happened."""
    metrics = Metrics()
    metrics.begin()
    metrics.watch(
        store=lambda: StoreStatus({"m": model_seen(7, champion())}, poll_age_seconds=1.5, load_failures=2),
        log=lambda: LogStatus(None, 0.25, writes=5, write_failures=1, unrecorded=3),
        shipping=lambda: ShippingStatus(
            None, lag_bytes=900, shipped_records=4, failures={"unreachable": 3}, quarantined=1
        ),
    )
    metrics.slot("m", "champion", BUNDLE, NULLABLE).decided("review", 0.42, 0.0007, (1.0, None, 3))
    metrics.failed("InvalidRequest")
    metrics.shed("capacity")
    metrics.repeated()
    metrics.shadow_dropped("m")
    metrics.completed("m", derived_sent=1, unseen=2)
    metrics.transition("m", "champion", "serving")
    metrics.in_flight += 2
    metrics.certificate_end_seconds = 1.8e9
    return metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()
