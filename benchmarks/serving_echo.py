"""Minimal ASGI application: reads the body and answers as many bytes as a score response has."""

import json
import os
from typing import Any

ANSWER_BYTES = {path: int(size) for path, size in json.loads(os.environ["BENCHMARK_ANSWER_BYTES"]).items()}
"""Size of the answer by path."""
_ANSWERS = {path: b"x" * size for path, size in ANSWER_BYTES.items()}
_HEADERS = {
    path: [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    for path, size in ANSWER_BYTES.items()
}


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer once the body is complete."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    path = scope["path"]
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS[path]})
    await send({"type": "http.response.body", "body": _ANSWERS[path]})
