"""The interface of destinations that a decision log is shipped to."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol, get_args

Cause = Literal["unreachable", "access", "topic", "record_size", "destination", "log", "other"]
"""Why shipping fails: nothing answers; a credential, a permission or TLS is refused; the topic does not exist; too many
records are over the destination's limit; the destination's disk or content is faulty; the log cannot be read; the rest.
"""
CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)


class ShippingError(Exception):
    """Delivery failed or is uncertain; `is_lost` if the whole segment must be shipped again."""

    def __init__(self, message: str, *, cause: Cause = "other", is_lost: bool = False) -> None:
        super().__init__(message)
        self.cause: Cause = cause
        self.is_lost = is_lost


class OversizedLine(NamedTuple):
    """A line over the destination's limit, by its position in the batch; ``None`` if the limit cannot be read."""

    position: int
    limit_bytes: int | None


class Sink(Protocol):
    """Accepts a segment's lines in order; after a crash, the same lines again.

    Only the shipper's thread calls it, and it may block.
    """

    @property
    def destination(self) -> str:
        """Name of the destination, without secrets; under another name the log is shipped from its beginning."""

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> Sequence[OversizedLine]:
        """Return once these lines, which start at byte `offset`, are delivered durably.

        Parameters
        ----------
        segment_name
            Path of the segment relative to the log's folder.
        lines
            Complete lines with their newlines.

        Returns
        -------
        Sequence[OversizedLine]
            The lines that the destination refuses because of their size; all others are delivered.

        Raises
        ------
        ShippingError
            If the delivery failed or is uncertain.
        """

    def finish(self, segment_name: str, seal: bytes) -> None:
        """Accept the seal of a segment whose lines are all delivered; raises as `ship`."""

    def close(self) -> None:
        """Close connections."""
