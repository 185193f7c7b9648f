"""What a request carries in addition to its body."""

import msgspec

from serving.wire.trace_parent import TraceParent


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """What a request brings beside its body.

    `arrived_at` and `deadline` are on the clock of `time.perf_counter`, in seconds. `is_explained` asks for reasons
    whatever the decision is.
    """

    caller: str | None
    trace: TraceParent | None
    arrived_at: float
    deadline: float
    is_explained: bool
    announced_bytes: int | None

    @property
    def trace_id(self) -> str | None:
        """The caller's W3C trace id."""
        return None if self.trace is None else self.trace.trace_id
