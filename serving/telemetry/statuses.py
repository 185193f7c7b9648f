"""States of the server's parts as the metrics show them."""

from collections.abc import Mapping
from typing import NamedTuple

from serving.contract.documents import SlotName


class SlotStatus(NamedTuple):
    """The bundle that one slot of a model holds or loads; `as_of` is a date such as ``2026-01-31``."""

    slot: SlotName
    state: str
    bundle_digest: str | None
    as_of: str | None


class ModelStatus(NamedTuple):
    """State of one model; `release_number` is ``None`` if no release answers."""

    release_number: int | None
    has_error: bool
    slots: tuple[SlotStatus, ...]
    is_promotion_held: bool = False


class StoreStatus(NamedTuple):
    """Result of the last poll of the release store."""

    models: Mapping[str, ModelStatus]
    poll_age_seconds: float | None
    load_failures: int


class LogStatus(NamedTuple):
    """State of the decision log; counts only rise."""

    failure: str | None
    lag_seconds: float
    writes: int = 0
    write_failures: int = 0
    unrecorded: int = 0
    lost_segments: int = 0


class ShippingStatus(NamedTuple):
    """Progress of shipping the decision log; the counts only rise, but that of the records in quarantine."""

    failure: str | None
    lag_bytes: int
    shipped_records: int
    failures: Mapping[str, int]
    quarantined: int
