"""Context of a request: caller, trace and time limits."""

import msgspec

from serving.wire.trace_parent import TraceParent


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """All of a request except its body.

    `arrived_at` and `deadline` are seconds of `time.perf_counter`. `is_explained` asks for reasons for any decision.
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
