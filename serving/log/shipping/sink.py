"""Where a decision log is shipped to."""

from collections.abc import Sequence
from typing import Protocol


class ShippingError(Exception):
    """Lines that were not delivered, or of which nobody knows; `is_lost` if the whole segment must be shipped again."""

    def __init__(self, message: str, *, is_lost: bool = False) -> None:
        super().__init__(message)
        self.is_lost = is_lost


class Sink(Protocol):
    """Takes lines in the order in which they stand in a segment; the same ones again after a crash.

    Called on the shipper's thread only, which it may block.
    """

    @property
    def destination(self) -> str:
        """Names what it delivers to, without secrets: another name gets the log from its beginning."""

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> None:
        """Return once these lines, the first of which stands at byte `offset`, are delivered for good.

        Parameters
        ----------
        segment_name
            Path of the segment from the log's folder.
        lines
            Complete lines with their newlines.

        Raises
        ------
        ShippingError
            If they are not delivered, or nobody knows.
        """

    def finish(self, segment_name: str, seal: bytes) -> None:
        """Take the seal of a segment whose lines are all delivered; raises `ShippingError` as `ship`."""

    def close(self) -> None:
        """Let go of connections."""
