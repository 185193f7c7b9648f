"""Live requests: what a risk engine sends while its transactions happen."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

CONNECTIONS = 16
TIMEOUT_SECONDS = 10.0


@dataclass
class Replay:
    """What became of the requests that were sent; `releases` counts answers by the release that gave them."""

    sent: int = 0
    failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    releases: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


def replay(
    url: str,
    model: str,
    requests: Sequence[dict[str, Any]],
    on_sent: Callable[[int], None],
    per_second: float | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    result: Replay | None = None,
) -> Replay:
    """Send `requests` in order over several connections, each once; an answer other than 200 counts as failed.

    Parameters
    ----------
    per_second
        Pace; ``None`` sends as fast as the server answers.
    should_stop
        Asked before each request; what was not sent by then is not sent.
    result
        Counted into while the requests are sent, for another thread to look at; a new one if not given.
    """
    counted = result if result is not None else Replay()
    asyncio.run(_replay(url, model, requests, on_sent, per_second, should_stop, counted))
    return counted


async def _replay(
    url: str,
    model: str,
    requests: Sequence[dict[str, Any]],
    on_sent: Callable[[int], None],
    per_second: float | None,
    should_stop: Callable[[], bool],
    result: Replay,
) -> None:
    queue = iter(enumerate(requests))
    started = time.monotonic()
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=TIMEOUT_SECONDS) as client:

        async def send_next() -> None:
            for index, request in queue:
                if should_stop():
                    return
                if per_second is not None:
                    await asyncio.sleep(max(0.0, started + index / per_second - time.monotonic()))
                await _send(client, model, request, result)
                on_sent(1)

        await asyncio.gather(*(send_next() for _ in range(CONNECTIONS)))
    result.seconds = time.monotonic() - started


async def _send(client: httpx.AsyncClient, model: str, request: dict[str, Any], result: Replay) -> None:
    result.sent += 1
    try:
        response = await client.post(f"/v1/models/{model}/score", json=request)
    except httpx.TransportError as error:
        result.failed += 1
        result.failures[type(error).__name__] += 1
        return
    if response.status_code != 200:
        result.failed += 1
        result.failures[f"status {response.status_code}"] += 1
        return
    result.releases[response.json()["release_number"]] += 1


class BackgroundTraffic:
    """Steady requests in a thread of their own, so that a reload happens under load."""

    def __init__(self, url: str, model: str, requests: Iterable[dict[str, Any]], per_second: float) -> None:
        self._stopped = threading.Event()
        self.result = Replay()
        self._thread = threading.Thread(
            target=self._run, args=(url, model, list(requests), per_second), name="traffic", daemon=True
        )

    def _run(self, url: str, model: str, requests: list[dict[str, Any]], per_second: float) -> None:
        replay(url, model, requests, lambda _: None, per_second, self._stopped.is_set, self.result)

    def __enter__(self) -> "BackgroundTraffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
