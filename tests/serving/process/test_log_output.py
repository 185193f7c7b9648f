"""Standard error that nobody reads: nothing blocks, what does not fit is counted, and the rest arrives later."""

import contextlib
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from serving.process.log_output import QueuedHandler, QueuedStream
from tests.harness.paths import ROOT
from tests.harness.server_process import URL, eventually
from tests.harness.small_models import SmallStore, score_request

PIPE_BYTES = 4096


@contextlib.contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds as much as it can: its ends for reading and for writing."""
    read, write = os.pipe()
    assert fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES
    os.write(write, b"x" * PIPE_BYTES)
    try:
        yield read, write
    finally:
        os.close(read)
        with contextlib.suppress(OSError):
            os.close(write)


def read_until(descriptor: int, text: bytes) -> bytes:
    content = b""
    while text not in content:
        content += os.read(descriptor, 1 << 16)
    return content


def test_a_full_pipe_blocks_no_thread_and_what_does_not_fit_is_said_once_it_is_read() -> None:
    with full_pipe() as (read, write):
        stream = QueuedStream(write, most_characters=1000)
        began = time.monotonic()
        for number in range(300):
            stream.write(f"line {number:04}\n")
        assert not stream.drain(0.05)
        assert time.monotonic() - began < 5
        dropped = stream.dropped
        assert 300 - dropped <= 200, "what waits is bounded"
        content = read_until(read, b"were dropped while nothing read them\n")
        assert f"{dropped} lines were dropped".encode() in content
        assert content.count(b"line ") == 300 - dropped
        stream.write("after\n")
        assert b"dropped" not in read_until(read, b"after\n"), "it is said once"


def test_a_closed_pipe_loses_lines_and_is_counted() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = QueuedStream(write)
    stream.write("one\ntwo\n")
    assert stream.drain(10)
    assert stream.dropped == 2
    os.close(write)


def test_log_records_and_other_writers_share_the_queue_and_keep_their_order() -> None:
    read, write = os.pipe()
    stream = QueuedStream(write)
    logger = logging.Logger("a test")
    logger.addHandler(QueuedHandler(stream))
    logger.warning("first")
    print("second", file=stream)
    writers = [threading.Thread(target=logger.warning, args=("other",)) for _ in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    logger.handlers[0].flush()
    os.close(write)
    with os.fdopen(read) as content:
        assert content.read().splitlines() == ["first", "second"] + ["other"] * 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_server_whose_log_nobody_reads_serves_releases_and_stops(store: SmallStore, workers: int) -> None:
    store.publish(1)
    port = free_port()
    environment = store.environment(SERVING_PORT=str(port), SERVING_WORKERS=str(workers))
    with full_pipe() as (read, write):
        command = [sys.executable, "-m", "serving"]
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=write)
        try:
            os.close(write)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

                def release() -> int | None:
                    with contextlib.suppress(httpx.TransportError):
                        models = client.get("/v1/models").json()["models"]
                        return models[0]["release_number"] if models else None
                    return None

                eventually(lambda: release() == 1)
                store.publish(2)
                eventually(lambda: release() == 2)
                assert client.post(URL, json=score_request("d1")).json()["release_number"] == 2
                assert "serving_log_lines_dropped_total 0.0" in client.get("/metrics").text
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            process.wait(timeout=60)
            assert time.monotonic() - began < 30
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert b"x" * PIPE_BYTES in os.read(read, 1 << 16), "nothing read it until now"
