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


def read_headers(scope: Any) -> dict[bytes, bytes]:
    """The headers of an ASGI scope by their names; of a repeated one the last."""
    return dict(scope["headers"])
