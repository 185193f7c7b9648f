"""What the protocol stamps on a request when its head arrives."""

from typing import Final

Arrival = tuple[float, int]
"""When the request's head was read (`time.perf_counter`, seconds), and how many requests were in flight then."""


ARRIVAL: Final = "serving.arrival"
"""Key of an ASGI scope that holds an `Arrival`."""

BODY_IS_WHOLE: Final = "serving.body_is_whole"
"""Key of an ASGI scope that is there once the last byte of the body has come."""
