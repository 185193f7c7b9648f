"""Latency and throughput of the score route, against an ASGI application that echoes, in the same run.

    python benchmarks/serving.py [--json] [--seconds 5]

The model has 500 trees of 31 leaves and 30 inputs; every decision is on the disk before it is answered. Both servers
are one uvicorn process with uvloop and httptools. `CPU us` is what that process takes of the processors for one
request: it holds where other work shares the machine, as the rates do not. The load comes from this process over
keep-alive connections (an asyncio protocol that sends prepared bytes and reads the status and the length, so that it
takes less than the servers).
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Started as a script, this file's folder comes first and its name hides the package it measures.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "benchmarks")]

TREES, LEAVES, INPUTS = 500, 31, 30
CONNECTIONS = (1, 16, 64)
MODEL = "benchmark"
ID_WIDTH = 12


@dataclass(frozen=True)
class Measurement:
    """One server under one number of connections; latencies in milliseconds."""

    server: str
    connections: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    failures: int


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least an ASGI application can do with a body: send it back."""
    if scope["type"] != "http":
        return
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": message["body"]})


class Caller(asyncio.Protocol):
    """One connection that sends the next request when the answer to the last one is whole."""

    def __init__(self, next_request: Callable[[], bytes], is_over: Callable[[], bool]) -> None:
        self._next_request = next_request
        self._is_over = is_over
        self.latencies: list[float] = []
        self.failures = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer once its announced length is here."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        if b"content-length: " in lowered:
            if len(body) < int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0]):
                return
        elif not body.endswith(b"0\r\n\r\n"):
            return
        self.latencies.append(time.perf_counter() - self._sent_at)
        self.failures += not head.startswith(b"HTTP/1.1 200")
        if self._is_over():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell whoever waits that there is no more."""
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self._received = b""
        self._sent_at = time.perf_counter()
        self._transport.write(self._next_request())


def train(home: Path) -> dict[str, str]:
    """Release a model of the benchmark's size and return the environment of a server for it."""
    import lightgbm
    import msgspec
    import numpy as np

    from lifecycle.publishing.bundles import write_bundle
    from lifecycle.publishing.keys import ensure_keys
    from lifecycle.publishing.release_store import ReleaseStore
    from lifecycle.settings import Settings
    from serving.contract import Bands, Calibration, Deciding, Feature, GoldenRow, Lineage, Verdict, encode
    from serving.probability import probability

    settings = Settings(home=home)
    keys = ensure_keys(settings)
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(20_000, INPUTS))
    labels = (matrix[:, :5].sum(axis=1) + generator.normal(size=20_000) > 2).astype(float)
    names = [f"input_{index}" for index in range(INPUTS)]
    parameters = {"objective": "binary", "num_leaves": LEAVES, "verbosity": -1, "num_threads": 2, "seed": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, labels, feature_name=names), TREES)
    calibration = Calibration(slope=1.0, intercept=0.0)
    schema = tuple(Feature(name=name, dtype="float") for name in names)
    bands = Bands(review_from=0.5, decline_from=0.9)
    deciding = Deciding(schema_version=1, model=MODEL, features=schema, calibration=calibration, bands=bands)
    margins = booster.predict(matrix[:20], raw_score=True).tolist()
    golden = [
        GoldenRow(features=dict(zip(names, row, strict=True)), margin=margin, score=probability(margin, calibration))
        for row, margin in zip(matrix[:20].tolist(), margins, strict=True)
    ]
    files = {
        "model.txt": booster.model_to_string().encode(),
        "deciding.json": encode(deciding),
        "golden.jsonl": b"\n".join(map(msgspec.json.encode, golden)),
        "card.html": b"",
    }
    lineage = Lineage(
        as_of="2026-01-01", training_set_digest="", code_commit=None, parameters=parameters, seed=1, library_versions={}
    )
    verdicts = (Verdict(gate="benchmark", is_passed=True, summary="made for the benchmark"),)
    root = settings.release_store
    bundle = write_bundle(root, files, lineage=lineage, verdicts=verdicts, signing_key=keys.signing_key)
    ReleaseStore(root, keys).publish(MODEL, bundle, by="benchmark", reason="benchmark")
    return {
        "SERVING_STORE": str(root),
        "SERVING_PUBLIC_KEY": str(keys.public_key_path),
        "SERVING_PSEUDONYM_KEY": str(keys.pseudonym_key_path),
        "SERVING_LOG_DIR": str(settings.decision_log_dir),
        "SERVING_CACHE_DIR": str(home / "cache"),
    }


def score_bodies() -> Callable[[], bytes]:
    """A function that gives a request's bytes, each with an id of its own."""
    features = {f"input_{index}": round(0.1 * index - 1.5, 4) for index in range(INPUTS)}
    marker = "#" * ID_WIDTH
    body = json.dumps(
        {
            "decision_id": marker,
            "transaction_id": "1",
            "entity_key": "4711",
            "occurred_at": "2026-01-31T12:00:00Z",
            "features": features,
        }
    ).encode()
    head = f"POST /v1/models/{MODEL}/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    before, _, after = request.partition(marker.encode())
    count = iter(range(10**ID_WIDTH))
    return lambda: before + f"{next(count):0{ID_WIDTH}d}".encode() + after


def cpu_seconds(pid: int) -> float:
    """What a process has taken of the processors so far, from ``/proc`` (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(
    server: str, pid: int, port: int, connections: int, seconds: float, body: Callable[[], bytes]
) -> Measurement:
    """Load a server for `seconds`, after a fifth of that to warm up."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    for duration in (seconds / 5, seconds):
        began, cpu_began = time.perf_counter(), cpu_seconds(pid)

        def is_over(end: float = began + duration) -> bool:
            return time.perf_counter() >= end

        callers: list[Caller] = []
        for _ in range(connections):
            _, caller = await loop.create_connection(lambda is_over=is_over: Caller(body, is_over), "127.0.0.1", port)  # type: ignore[misc]
            callers.append(caller)
        await asyncio.gather(*(caller.ended for caller in callers))
        took = time.perf_counter() - began
        latencies = [latency for caller in callers for latency in caller.latencies]
        cpu_us = (cpu_seconds(pid) - cpu_began) / len(latencies) * 1e6
        failures = sum(caller.failures for caller in callers)
    cuts = statistics.quantiles(latencies, n=100)
    return Measurement(server, connections, len(latencies) / took, cuts[49] * 1e3, cuts[98] * 1e3, cpu_us, failures)


@contextlib.contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """The process id of a server that takes connections at `port` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=os.environ | environment, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Expected a server at port {port}, got none from {' '.join(command)}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(seconds: float) -> list[Measurement]:
    """Measure both servers under each number of connections."""
    import uvloop

    measurements = []
    body = score_bodies()
    with tempfile.TemporaryDirectory(dir=ROOT) as home:
        environment = train(Path(home))
        echo_port, score_port = free_port(), free_port()
        uvicorn = ["uvicorn", "benchmarks.serving:echo", "--no-access-log", "--loop", "uvloop", "--http", "httptools"]
        environment["SERVING_PORT"] = str(score_port)
        servers = [("echo", [*uvicorn, "--port", str(echo_port)], echo_port), ("score", ["serving"], score_port)]
        for connections in CONNECTIONS:
            for name, command, port in servers:
                with running(command, port, environment) as pid:
                    measurements.append(uvloop.run(measure(name, pid, port, connections, seconds, body)))
    return measurements


def report(measurements: list[Measurement]) -> None:
    """Print a table, the score route's rate beside the echo's of the same number of connections."""
    print("server   connections  requests/s  of echo   p50 ms   p99 ms   CPU us  failures")
    echoes = {each.connections: each.requests_per_second for each in measurements if each.server == "echo"}
    for each in measurements:
        share = each.requests_per_second / echoes[each.connections]
        print(
            f"{each.server:8}{each.connections:12d}{each.requests_per_second:12,.0f}{share:9.2f}"
            f"{each.p50_ms:9.2f}{each.p99_ms:9.2f}{each.cpu_us:9.0f}{each.failures:10d}"
        )


def main() -> None:
    """Measure and print."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each measurement takes")
    arguments = parser.parse_args()
    measurements = run(arguments.seconds)
    if arguments.json:
        print(json.dumps([asdict(each) for each in measurements], indent=2))
    else:
        report(measurements)


if __name__ == "__main__":
    main()
