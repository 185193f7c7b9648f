"""Sends live requests as a risk engine does."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

CONNECTIONS = 8
TIMEOUT_SECONDS = 10.0
HEADERS = {"Content-Type": "application/json"}


@dataclass
class Replay:
    """Result of the requests; `releases` counts answers by release."""

    sent: int = 0
    failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    releases: Counter[int] = field(default_factory=Counter)


class _Sender:
    """Sends each request once, in order, over several connections."""

    def __init__(
        self, url: str, model: str, requests: Sequence[dict[str, Any]], result: Replay, per_second: float | None
    ) -> None:
        self._netloc = urlsplit(url).netloc
        self._path = f"/v1/models/{model}/score"
        self._queue = iter(enumerate(requests))
        self._result = result
        self._per_second = per_second
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def send(self, should_stop: Callable[[], bool], on_sent: Callable[[int], None]) -> None:
        """Send requests over one connection until all are sent.

        The standard library's client uses the least CPU, which it shares with the server.
        """
        connection = http.client.HTTPConnection(self._netloc, timeout=TIMEOUT_SECONDS)
        while not should_stop():
            with self._lock:
                index, request = next(self._queue, (0, None))
            if request is None:
                break
            if self._per_second is not None:
                time.sleep(max(0.0, self._started + index / self._per_second - time.monotonic()))
            failure, release = self._answer(connection, msgspec.json.encode(request))
            with self._lock:
                self._count(failure, release)
            on_sent(1)
        connection.close()

    def _answer(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[str | None, int | None]:
        try:
            connection.request("POST", self._path, body, HEADERS)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__, None
        if response.status != 200:
            return f"status {response.status}", None
        return None, msgspec.json.decode(content)["release_number"]

    def _count(self, failure: str | None, release: int | None) -> None:
        self._result.sent += 1
        if failure is not None:
            self._result.failed += 1
            self._result.failures[failure] += 1
        elif release is not None:
            self._result.releases[release] += 1


def replay(
    url: str,
    model: str,
    requests: Sequence[dict[str, Any]],
    *,
    on_sent: Callable[[int], None] = lambda _: None,
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
        Checked before each request; the remaining requests are dropped.
    result
        Updated while the requests are sent, so that another thread can read it; a new one by default.
    """
    counted = result if result is not None else Replay()
    sender = _Sender(url, model, requests, counted, per_second)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for future in [threads.submit(sender.send, should_stop, on_sent) for _ in range(CONNECTIONS)]:
            future.result()
    return counted


class BackgroundTraffic:
    """Steady requests from a thread, so that a reload happens under load."""

    def __init__(self, url: str, model: str, requests: Sequence[dict[str, Any]], per_second: float) -> None:
        self._stopped = threading.Event()
        self.result = Replay()
        self._thread = threading.Thread(target=self._run, args=(url, model, requests, per_second), name="traffic")

    def _run(self, url: str, model: str, requests: Sequence[dict[str, Any]], per_second: float) -> None:
        replay(url, model, requests, per_second=per_second, should_stop=self._stopped.is_set, result=self.result)

    def __enter__(self) -> "BackgroundTraffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
