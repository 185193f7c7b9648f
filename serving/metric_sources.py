"""How the server's parts look to monitoring: the one place that knows both."""

import time

from serving.decision_log import DecisionLog
from serving.metrics import LogSeen, ModelSeen, SlotSeen, StoreSeen
from serving.slots import Champion, Slots, Status


def store_seen(slots: Slots) -> StoreSeen:
    """What the slots say of the release store and of each model."""
    champions = slots.champions
    return StoreSeen(
        models={model: _model_seen(status, champions.get(model)) for model, status in slots.statuses.items()},
        poll_age_seconds=None if slots.polled_at is None else time.monotonic() - slots.polled_at,
        load_failures=slots.load_failures,
    )


def log_seen(log: DecisionLog) -> LogSeen:
    """What the decision log says of itself."""
    return LogSeen(log.failure, log.lag_seconds)


def _model_seen(status: Status, champion: Champion | None) -> ModelSeen:
    if champion is None:
        return ModelSeen(None, status.state == "error", (SlotSeen("champion", status.state, None, None),))
    release = champion.held.release
    slot = SlotSeen("champion", status.state, champion.bundle_digest, release.champion.as_of)
    return ModelSeen(release.number, status.state == "error", (slot,))
