"""Score requests for one decision that are whole: head and body arrived in one read, or before their turn."""

from collections.abc import Mapping
from typing import Protocol

from serving.http.answers import Answer
from serving.http.arrival import Arrival


class WholeRequest(Protocol):
    """A request on its way to the batcher, which calls `reply` exactly once.

    `disconnected` is set by the connection when the caller disconnects; the reply to such a request goes nowhere.
    """

    model: str
    headers: Mapping[bytes, bytes]
    arrival: Arrival
    body: bytes
    disconnected: bool

    def reply(self, answer: Answer | None) -> None:
        """Take the answer, or ``None`` if the request must wait for something and belongs in an ASGI task."""
