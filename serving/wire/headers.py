"""Request headers that this server reads, by their lower-case names."""

from typing import Any, Final

Header = tuple[bytes, bytes]

LENGTH: Final = b"content-length"
KEY: Final = b"x-api-key"
AUTHORIZATION: Final = b"authorization"
TIMEOUT: Final = b"x-timeout-ms"
EXPLAIN: Final = b"x-explain"
TRACE: Final = b"traceparent"
ENCODING: Final = b"content-encoding"
READ: Final = frozenset({LENGTH, KEY, AUTHORIZATION, TIMEOUT, EXPLAIN, TRACE, ENCODING})


def read_headers(scope: Any) -> dict[bytes, bytes]:
    """The headers of an ASGI scope that this server reads."""
    return {name: value for name, value in scope["headers"] if name in READ}
