"""Status of the server's parts in the types of its telemetry; neither side knows the other."""

import time

from serving.http.routes.health import WorkersReadiness
from serving.log.shipping.shipper import Shipper
from serving.log.writer import DecisionLog
from serving.process.workers import worker_states
from serving.slots.slots import Slots
from serving.telemetry.statuses import LogStatus, ModelStatus, ShippingStatus, SlotStatus, StoreStatus


def store_status(slots: Slots) -> StoreStatus:
    """Status of the release store and of each model."""
    return StoreStatus(
        models={model: _model_status(slots, model) for model in slots.statuses},
        # A store that was never read ages from the server's start, so that the alert on its age finds it.
        poll_age_seconds=time.monotonic() - (slots.began_at if slots.polled_at is None else slots.polled_at),
        load_failures=slots.load_failures,
    )


def log_status(log: DecisionLog) -> LogStatus:
    """Status of the decision log."""
    return LogStatus(log.failure, log.lag_seconds, log.writes, log.write_failures, log.unrecorded, log.lost_segments)


def workers_readiness() -> WorkersReadiness | None:
    """Restarts of the workers; ``None`` in a server without workers."""
    states = worker_states()
    return None if states is None else WorkersReadiness(restarts=states.restarts, crash_loop=list(states.crash_loop))


def shipping_status(shipper: Shipper) -> ShippingStatus:
    """Status of the log's shipping."""
    return ShippingStatus(
        shipper.failure, shipper.lag_bytes, shipper.shipped_records, shipper.failures, len(shipper.quarantined)
    )


def _model_status(slots: Slots, model: str) -> ModelStatus:
    serving = slots.models.get(model)
    release = None if serving is None else serving.held.release
    statuses = []
    for last in slots.journal.of_model(model):
        is_in_force = release is not None and release.number == last.release_number
        bundle = getattr(release, last.slot) if is_in_force else None
        as_of = None if bundle is None else bundle.as_of
        statuses.append(SlotStatus(last.slot, last.state, last.bundle_digest, as_of))
    number = None if release is None else release.number
    status = slots.statuses[model]
    return ModelStatus(number, status.error is not None, tuple(statuses), status.hold is not None)
