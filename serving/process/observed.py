"""How the server's parts look to monitoring: the one place that knows both."""

import time

from serving.log.shipping.shipper import Shipper
from serving.log.writer import DecisionLog
from serving.slots.slots import Slots
from serving.telemetry.metrics import LogStatus, ModelStatus, ShippingStatus, SlotStatus, StoreStatus


def store_status(slots: Slots) -> StoreStatus:
    """What the slots say of the release store and of each model."""
    return StoreStatus(
        models={model: _model_status(slots, model) for model in slots.statuses},
        # A store that was never read ages from the start on: it is the one an alert has to find.
        poll_age_seconds=time.monotonic() - (slots.began_at if slots.polled_at is None else slots.polled_at),
        load_failures=slots.load_failures,
    )


def log_status(log: DecisionLog) -> LogStatus:
    """What the decision log says of itself."""
    return LogStatus(log.failure, log.lag_seconds, log.writes, log.write_failures, log.unrecorded)


def shipping_status(shipper: Shipper) -> ShippingStatus:
    """How far the log has come on its way elsewhere."""
    return ShippingStatus(shipper.failure, shipper.lag_bytes, shipper.shipped_records)


def _model_status(slots: Slots, model: str) -> ModelStatus:
    serving = slots.models.get(model)
    release = None if serving is None else serving.held.release
    seen = []
    for last in slots.journal.of_model(model):
        stands = getattr(release, last.slot) if release is not None and release.number == last.release_number else None
        seen.append(SlotStatus(last.slot, last.state, last.bundle_digest, None if stands is None else stands.as_of))
    number = None if release is None else release.number
    return ModelStatus(number, slots.statuses[model].error is not None, tuple(seen))
