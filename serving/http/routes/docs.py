"""``/docs`` and ``/openapi.json``: the OpenAPI document, and Swagger UI to read it; ``/`` leads there.

Swagger UI's files come with the package `fastapi-swagger`, so that the page loads nothing from another host.
"""

from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from serving.http.descriptions import errors, text

_PAGE: Final = files("serving.http") / "static"
_SWAGGER_UI: Final = files("fastapi_swagger") / "resources"
ASSETS: Final = {
    "docs.js": (_PAGE, "text/javascript"),
    "favicon-32x32.png": (_SWAGGER_UI, "image/png"),
    "swagger-ui-bundle.js": (_SWAGGER_UI, "text/javascript"),
    "swagger-ui.css": (_SWAGGER_UI, "text/css"),
}
"""Files that the page loads: the folder of each, and its media type."""

_CLOSED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": _CLOSED,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""A browser loads and runs nothing, sends no form, and shows the answer in no frame."""
PAGE_HEADERS: Final = SECURITY_HEADERS | {
    "Content-Security-Policy": (
        f"{_CLOSED}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
    )
}
"""The same, but the page loads scripts, styles and images of this server, and calls it."""


def docs_router(openapi: Callable[[], dict[str, Any]]) -> APIRouter:
    """The routes; `openapi` makes the document. Plain functions, since making it would block the event loop."""
    router = APIRouter(tags=["operations"], responses=errors(401, 403))

    @router.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs", headers=SECURITY_HEADERS)

    @router.get("/openapi.json", operation_id="openapi", summary="This document")
    def document() -> JSONResponse:
        return JSONResponse(openapi(), headers=SECURITY_HEADERS)

    @router.get(
        "/docs",
        operation_id="docs",
        summary="This document in Swagger UI",
        response_class=Response,
        responses=text("text/html"),
    )
    def page() -> HTMLResponse:
        return HTMLResponse(_file(_PAGE, "docs.html"), headers=PAGE_HEADERS)

    @router.get("/docs/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        folder, media_type = ASSETS[name]
        return Response(_file(folder, name), media_type=media_type, headers=SECURITY_HEADERS)

    return router


def _file(folder: Traversable, name: str) -> bytes:
    return (folder / name).read_bytes()
