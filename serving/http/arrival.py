"""Keys that the protocol sets in the ASGI scope of a request that arrives."""

from typing import Final

Arrival = tuple[float, int]
"""Time at which the request's head was read (`time.perf_counter`, seconds), and requests in flight at that time."""

ARRIVAL: Final = "serving.arrival"
"""Key of an ASGI scope that holds an `Arrival`."""

BODY_IS_WHOLE: Final = "serving.body_is_whole"
"""Key of an ASGI scope that is present once the last byte of the body has arrived."""
