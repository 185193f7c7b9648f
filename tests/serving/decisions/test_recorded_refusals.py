"""Every way to a decision records its refusals in the same terms: model, feature, kind of fault, day, number."""

import asyncio
import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from serving.contract.documents import RejectionRecord
from serving.process.app import create_app
from tests.harness.api import URL, settings_of
from tests.harness.driven_connection import Connection
from tests.harness.in_process_client import InProcessClient
from tests.harness.protocol_steps import record, tensors
from tests.harness.small_models import EXAMPLE, MODEL, SmallStore, score_request

SECRET = "a new kind"
FAULTS: dict[str, tuple[str, Any]] = {"category": ("kind", SECRET), "null": ("amount", None), "range": ("amount", -1.0)}


def invalid(fault: str) -> dict[str, Any]:
    feature, value = FAULTS[fault]
    return score_request("d1", features={**EXAMPLE, feature: value})


def native(client: InProcessClient, fault: str) -> int:
    return client.post(URL, json=invalid(fault)).status_code


def batch(client: InProcessClient, fault: str) -> int:
    return client.post(f"{URL}/batch", json={"requests": [score_request("d0"), invalid(fault)]}).status_code


def open_inference(client: InProcessClient, fault: str) -> int:
    body = tensors(score_request("d0"), invalid(fault))
    return client.post(f"/v2/models/{MODEL}/infer", json=body).status_code


def mlflow(client: InProcessClient, fault: str) -> int:
    feature, value = FAULTS[fault]
    return client.post("/invocations", json={"dataframe_records": [record("d1", **{feature: value})]}).status_code


def mlflow_csv(client: InProcessClient, fault: str) -> int:
    feature, value = FAULTS[fault]
    row = record("d1", **{feature: value})
    table = io.StringIO()
    csv.writer(table).writerows([list(row), list(row.values())])
    return client.request(
        "POST", "/invocations", content=table.getvalue().encode(), headers={"content-type": "text/csv"}
    ).status_code


def terms(rejection: RejectionRecord) -> tuple[Any, ...]:
    return rejection.kind, rejection.model, rejection.feature, rejection.fault, rejection.count


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("ask", "count"), [(native, 1), (batch, 2), (open_inference, 2), (mlflow, 1), (mlflow_csv, 1)])
def test_every_protocol_records_what_it_refuses(
    store: SmallStore, ask: Callable[[InProcessClient, str], int], count: int, fault: str
) -> None:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600))) as client:
        assert ask(client, fault) == 422
    [rejection] = store.rejections()
    feature = FAULTS[fault][0]
    # A tensor's null is refused before its rows exist, and so before they are counted.
    seen = 1 if ask is open_inference and fault == "null" else count
    assert terms(rejection) == ("InvalidRequest", MODEL, feature, fault, seen)
    assert SECRET not in repr(rejection)


def test_the_fast_path_records_what_it_refuses_with_the_day_of_the_event(store: SmallStore) -> None:
    store.publish(1)
    app = create_app(settings_of(store, poll_seconds=3600))
    body = json.dumps({**invalid("category"), "occurred_at": "2026-01-31T23:30:00-01:00"}).encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def ask() -> None:
        async with app.router.lifespan_context(app):
            await Connection(app).ask(head + body)

    asyncio.run(ask())
    [rejection] = store.rejections()
    assert terms(rejection) == ("InvalidRequest", MODEL, "kind", "category", 1)
    assert str(rejection.occurred_on) == "2026-02-01"
