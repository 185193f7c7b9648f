import asyncio
import base64
import hashlib
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.openapi.page_headers import SecurityHeaders, content_security_policy, raw_headers, security_headers

STYLE = "p { color: red }"


def answer_of(app: ASGIApp) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(SecurityHeaders(app)), base_url="http://test"
        ) as client:
            return await client.get("/")

    return asyncio.run(ask())


def directives(policy: str) -> dict[str, str]:
    return {name: rest for name, _, rest in (each.strip().partition(" ") for each in policy.split(";"))}


@pytest.mark.parametrize("style", [None, STYLE])
def test_a_page_loads_nothing_and_is_kept_nowhere(style: str | None) -> None:
    headers = security_headers(style)
    policy = directives(headers.pop("Content-Security-Policy"))
    assert headers == {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    assert {name: policy[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert "unsafe" not in str(policy)
    assert "script-src" not in policy


def test_only_the_style_sheet_that_is_named_applies() -> None:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert directives(content_security_policy(STYLE))["style-src"] == f"'sha256-{digest}'"
    assert "style-src" not in directives(content_security_policy())


def test_the_wrapper_adds_what_an_answer_lacks() -> None:
    answer = answer_of(PlainTextResponse("hello", headers={"cache-control": "max-age=60"}))
    expected = {name.lower(): value for name, value in security_headers().items()} | {"cache-control": "max-age=60"}
    assert {name: answer.headers[name] for name in expected} == expected
    assert answer.headers.get_list("cache-control") == ["max-age=60"]
    assert answer.text == "hello"


def test_what_is_not_http_passes_the_wrapper_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    scope = {"type": "lifespan"}
    asyncio.run(SecurityHeaders(app)(scope, receive, send))
    assert seen == [(scope, receive, send)]


def test_raw_headers_are_what_asgi_asks_for() -> None:
    assert raw_headers({"X-Frame-Options": "DENY"}) == ((b"x-frame-options", b"DENY"),)
