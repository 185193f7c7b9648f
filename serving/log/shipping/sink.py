"""The interface of destinations that a decision log is shipped to."""

from collections.abc import Sequence
from typing import Protocol


class ShippingError(Exception):
    """Delivery failed or is uncertain; `is_lost` if the whole segment must be shipped again."""

    def __init__(self, message: str, *, is_lost: bool = False) -> None:
        super().__init__(message)
        self.is_lost = is_lost


class Sink(Protocol):
    """Accepts a segment's lines in order; after a crash, the same lines again.

    Only the shipper's thread calls it, and it may block.
    """

    @property
    def destination(self) -> str:
        """Name of the destination, without secrets; under another name the log is shipped from its beginning."""

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> None:
        """Return once these lines, which start at byte `offset`, are delivered durably.

        Parameters
        ----------
        segment_name
            Path of the segment relative to the log's folder.
        lines
            Complete lines with their newlines.

        Raises
        ------
        ShippingError
            If the delivery failed or is uncertain.
        """

    def finish(self, segment_name: str, seal: bytes) -> None:
        """Accept the seal of a segment whose lines are all delivered; raises as `ship`."""

    def close(self) -> None:
        """Close connections."""
