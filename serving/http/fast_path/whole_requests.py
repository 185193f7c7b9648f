"""Score requests for one decision that arrived whole, head and body in one read."""

from collections.abc import Callable, Mapping

from serving.http.answers import Answer
from serving.http.arrival import Arrival

Reply = Callable[[Answer | None], None]
"""Takes the answer to a request, or ``None`` if the request must wait for something and belongs in an ASGI task."""


class WholeRequest:
    """A request on its way to the batcher, which calls `reply` exactly once.

    `is_gone` is set by the connection when the caller disconnects; the reply to such a request goes nowhere.
    """

    __slots__ = ("arrival", "body", "headers", "is_gone", "model", "reply")

    def __init__(self, model: str, headers: Mapping[bytes, bytes], arrival: Arrival, body: bytes, reply: Reply) -> None:
        self.model = model
        self.headers = headers
        self.arrival = arrival
        self.body = body
        self.reply = reply
        self.is_gone = False
