"""The server's real parts, for connections that a test drives, and requests to them."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from serving.http.fast_path.whole_requests import WholeRequest
from serving.process.app import ServingApp, create_app
from tests.harness.api import URL, settings_of
from tests.harness.small_models import SmallStore, golden_rows, score_request


def request(decision_id: str, *lines: str, features: Any = None) -> bytes:
    body = json.dumps(score_request(decision_id, features=features or golden_rows(1)[0].features)).encode()
    head = [f"POST {URL} HTTP/1.1", "Host: risk", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


@contextlib.contextmanager
def started(store: SmallStore, **settings: Any) -> Iterator[ServingApp]:
    store.publish(1, can_explain=True)
    app = create_app(settings_of(store, **settings))
    app.parts.start()
    try:
        yield app
    finally:
        app.parts.scoring.close()
        app.parts.log.close()
        app.parts.shadows.close()


@contextlib.contextmanager
def submitted(app: ServingApp) -> Iterator[list[WholeRequest]]:
    """The requests that connections submit to the application's batcher."""
    batcher, requests = app.batcher, []
    assert batcher is not None
    submit = batcher.submit

    def observed_submit(request: WholeRequest) -> None:
        requests.append(request)
        submit(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batcher, "submit", observed_submit)
        yield requests
