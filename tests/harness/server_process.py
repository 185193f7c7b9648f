"""The real server in a process of its own, and load on it."""

import contextlib
import queue
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.paths import ROOT
from tests.harness.small_models import MODEL, SmallStore, golden_rows, score_request

URL = f"/v1/models/{MODEL}/score"

_ADDRESS = re.compile(r"serving on (https?://\S+)")


@dataclass
class Server:
    """A running server and a client for it; `said` collects the lines of its standard error."""

    process: "subprocess.Popen[str]"
    verify: ssl.SSLContext | bool = True
    said: list[str] = field(default_factory=list)
    client: httpx.Client = field(init=False)
    listening: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(timeout=60, verify=self.verify)

    def begin(self) -> None:
        """Wait until it answers."""
        addresses: queue.Queue[str] = queue.Queue()
        self.listening = threading.Thread(target=self._listen, args=(addresses,), daemon=True)
        self.listening.start()
        try:
            self.client.base_url = addresses.get(timeout=120)
        except queue.Empty:
            pytest.fail("the server printed no address:\n" + "".join(self.said))
        eventually(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/healthz").status_code == 200
        return False

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        self.process.send_signal(with_signal)
        self.process.wait(timeout=60)

    def close(self) -> None:
        """Kill the process if it still runs, and close the client."""
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        self.client.close()
        self.listening.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _listen(self, addresses: "queue.Queue[str]") -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if match := _ADDRESS.search(line):
                addresses.put(match[1])


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


def launch(store: SmallStore, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "serving"]
    return subprocess.Popen(command, env=store.environment(**environment), cwd=ROOT, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def served(store: SmallStore, verify: ssl.SSLContext | bool = True, /, **environment: str) -> Iterator[Server]:
    server = Server(launch(store, **environment), verify)
    try:
        server.begin()
        yield server
    finally:
        server.close()


@dataclass
class Load:
    """Sends requests one after the other until `is_over` is set; keeps answers and failures."""

    server: Server
    prefix: str
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(base_url=str(self.server.client.base_url), timeout=60) as client:
            for index in range(1_000_000):
                if self.is_over.is_set():
                    return
                decision_id = f"{self.prefix}{index}"
                features = golden_rows(1)[index % 8].features
                try:
                    response = client.post(URL, json=score_request(decision_id, features=features))
                except httpx.TransportError as error:
                    self.failures.append(type(error).__name__)
                    return
                if response.status_code == 200:
                    self.answers[decision_id] = response.json()
                else:
                    self.failures.append(response.text)


@contextlib.contextmanager
def under_load(server: Server, clients: int = 3) -> Iterator[list[Load]]:
    loads = [Load(server, f"c{client}-") for client in range(clients)]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    try:
        yield loads
    finally:
        for load in loads:
            load.is_over.set()
        for thread in threads:
            thread.join()


def failed_start(store: SmallStore, **environment: str) -> str:
    process = launch(store, **environment)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    return stderr


def worker_pids(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
