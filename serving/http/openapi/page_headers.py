"""Headers that keep a browser from doing more with a page of this server than show it.

A scored answer needs none of them; pages that people open do. Nothing is loaded from anywhere, no script runs, no form
is sent, no frame holds the page, and nothing of it is kept or told to the next site.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]
"""Raw headers as ASGI has them: lower-case names and values."""

_CLOSED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def style_source(style: str) -> str:
    """The source that allows exactly this inline style sheet.

    Examples
    --------
    >>> style_source("p{color:red}")
    "'sha256-p0bF+un5yUb9MBO6xRb8kPHlY2BdpHVtLiFkDrZPF64='"
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


def content_security_policy(style: str | None = None) -> str:
    """A policy that allows nothing but the given inline style sheet and images that stand in the page itself."""
    if style is None:
        return _CLOSED
    return f"{_CLOSED}; style-src {style_source(style)}; img-src data:"


def security_headers(style: str | None = None) -> dict[str, str]:
    """The headers of a page, or of JSON where there is no style sheet."""
    return {
        "Content-Security-Policy": content_security_policy(style),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def raw_headers(headers: dict[str, str]) -> Headers:
    """`headers` as ASGI has them."""
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items())


RAW_SECURITY_HEADERS: Final = raw_headers(security_headers())
"""For whoever answers ASGI messages directly."""


class SecurityHeaders:
    """An application whose answers have the headers; one that an answer has already stays as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                missing = [(name, value) for name, value in RAW_SECURITY_HEADERS if name not in names]
                message = {**message, "headers": [*given, *missing]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
